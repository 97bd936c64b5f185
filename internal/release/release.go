// Package release signs and promotes. It is the only room with a way to a key,
// and takes nothing but a gate.Verdict: for each digest, provenance, SBOM and
// summary are signed, logged, and only then is the artifact promoted.
package release
