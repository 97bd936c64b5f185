// Package gateway is the only road out of a zone.
//
// It works in two phases. Plan: the closure of the project's lockfiles becomes
// the allow-set. Serve: a session answers requests of one zone for members of
// that set, after their checksums were verified; anything else is refused here,
// in the client's own error shape, without any upstream being asked, since a
// looked-up name is already a way out.
package gateway
