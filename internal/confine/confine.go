// Package confine runs one command of an existing checkout in a zone, with
// nothing to configure.
//
// The working directory is writable, at the same path as outside; the rest of
// the machine is not there. The environment is an allow-list, HOME is thrown
// away, the only network is the gateway, and that only in the fetch zone. What
// is trusted later (.git, CI files, editor and agent settings) cannot be
// changed, credentials in the checkout are seen empty.
//
// It does not vet what the command leaves in the checkout: code that it wrote
// there runs with your authority once you run it outside.
package confine
