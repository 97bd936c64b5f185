// Package ledger is the tamper-evident log: append, checkpoint, prove.
//
// It is a C2SP tlog-tiles log (transparency-dev/tessera, POSIX) in one
// directory. Each crossing of the boundary is one entry; so is each signature,
// in the form that Sigstore bundles point to. Entries carry digests, never
// secrets or personal data, and are at most 64 KiB.
package ledger
