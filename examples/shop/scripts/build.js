// Bundles the web app into build. Each file bears a fingerprint of its
// bytes, so that browsers can keep it for ever and never see an old one.
import { build } from 'esbuild';
import { createRequire } from 'node:module';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const xxhash = createRequire(import.meta.url)('xxhash');
const web = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'web');
const out = path.join(web, '..', 'build');

export function fingerprint(bytes) {
  return xxhash.hash64(bytes, 0).toString('hex').slice(0, 12);
}

export async function bundle() {
  await rm(out, { recursive: true, force: true });
  await mkdir(out);
  const result = await build({
    entryPoints: [path.join(web, 'src', 'app.js'), path.join(web, 'src', 'app.css')],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    outdir: out,
    logLevel: 'warning',
  });
  let page = await readFile(path.join(web, 'src', 'index.html'), 'utf8');
  for (const file of result.outputFiles) {
    const { name, ext } = path.parse(file.path);
    const printed = `${name}.${fingerprint(Buffer.from(file.contents))}${ext}`;
    await writeFile(path.join(out, printed), file.contents);
    page = page.replace(`${name}${ext}`, printed);
  }
  await writeFile(path.join(out, 'index.html'), page);
  return result.outputFiles.length + 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(`build: ${await bundle()} files`);
}
