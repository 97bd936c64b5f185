// Verifies Sigstore bundles with @sigstore/verify, an implementation that shares
// no code with ours. One JSON request per line on stdin, one answer per line:
//
//   {"bundle": path, "root": path, "identity": "...", "issuer": "...",
//    "sha256": hex, "predicateType": "..."}   ->   {"ok": bool, "error": "..."}
//
// @sigstore/verify checks log, timestamp, SCT, certificate, signature and
// identity. That the statement is about the artifact and says what is wanted is the
// caller's part by its interface, so it is done here.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { bundleFromJSON } from '@sigstore/bundle'
import { TrustedRoot } from '@sigstore/protobuf-specs'
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify'

const escape = s => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

function check (want) {
  const root = TrustedRoot.fromJSON(JSON.parse(readFileSync(want.root, 'utf8')))
  const verifier = new Verifier(toTrustMaterial(root), {
    ctlogThreshold: 1, tlogThreshold: 1, timestampThreshold: 1
  })
  const bundle = bundleFromJSON(JSON.parse(readFileSync(want.bundle, 'utf8')))
  verifier.verify(toSignedEntity(bundle), {
    subjectAlternativeName: `^${escape(want.identity)}$`,
    extensions: { issuer: want.issuer }
  })
  const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString('utf8'))
  if (!statement.subject.some(s => s.digest.sha256 === want.sha256)) {
    throw new Error('the statement is not about the artifact')
  }
  if (statement.predicateType !== want.predicateType) {
    throw new Error(`predicate type is ${statement.predicateType}`)
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer = { ok: true }
  try {
    check(JSON.parse(line))
  } catch (e) {
    answer = { ok: false, error: `${e.code ?? e.name}: ${e.message}` }
  }
  console.log(JSON.stringify(answer))
}
