// Package gate decides whether an artifact may pass, and why.
//
// Evidence and a policy go in, a Verdict comes out. It is pure and offline: the
// same evidence and policy give the same answer anywhere. A Verdict cannot be
// made by any other package, and the release room takes nothing else.
package gate
