// Package fault holds the gateway's errors: each has a stable code to branch
// on, what went wrong, where (file:line) and the command that mends it.
//
// No text in here ever holds a credential: callers name an upstream by its
// address without user information.
package fault

import (
	"errors"
	"strings"
)

// Code is the stable name of a kind of error. It is itself an error, so that
// errors.Is(err, fault.Checksum) asks for the kind.
type Code string

// The codes. They are part of the command line's contract.
const (
	Checksum     Code = "gw-checksum"      // bytes are not the ones that were promised
	UpstreamDown Code = "gw-upstream-down" // no answer, or 5xx, after all retries: safe to retry
	Credential   Code = "gw-credential"    // the upstream refused who we are
	NotFound     Code = "gw-not-found"     // the upstream does not have it
	Lockfile     Code = "gw-lockfile"      // a lockfile or manifest cannot be read, or disagrees
	ForeignHost  Code = "gw-foreign-host"  // an address that is not a configured upstream
	NotMember    Code = "gw-not-member"    // asked for something outside the allow-set
	TooYoung     Code = "gw-too-young"     // younger than min_age, or of unknown age
	Malware      Code = "gw-malware"       // the feed of known malware names it
	Feed         Code = "gw-feed"          // that feed cannot be read, or is too old
	Lookalike    Code = "gw-lookalike"     // a new name that can be taken for another
	Internal     Code = "gw-internal-name" // a name of the project's owner, from somebody else's registry
	Limit        Code = "gw-limit"         // larger, deeper or more than is accepted
	Archive      Code = "gw-archive"       // an archive that must not be unpacked
	Config       Code = "gw-config"        // the client configuration of this machine does not serve
	Purl         Code = "gw-purl"          // not a package URL that can be fetched
	Store        Code = "gw-store"         // the gateway's own store failed
	Tampered     Code = "gw-tampered"      // stored bytes no longer have their digest
)

// Error returns the code.
func (c Code) Error() string { return string(c) }

// Error is one failure of the gateway.
type Error struct {
	Code  Code
	What  string // one clause, lower case
	Where string // file:line, or empty
	Do    string // the next command to type, or empty
	Err   error  // cause, or nil
}

// New returns an error without place or cause.
func New(code Code, what string) *Error { return &Error{Code: code, What: what} }

// Wrap returns an error with a cause.
func Wrap(code Code, what string, err error) *Error { return &Error{Code: code, What: what, Err: err} }

// At says where the error is.
func (e *Error) At(where string) *Error { e.Where = where; return e }

// Mend says which command mends it.
func (e *Error) Mend(do string) *Error { e.Do = do; return e }

// Error gives place, text and cause in one line. Bytes that a terminal could
// take for a command are left out.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Where != "" {
		b.WriteString(Clean(e.Where) + ": ")
	}
	b.WriteString(Clean(e.What))
	if e.Err != nil {
		b.WriteString(": " + Clean(e.Err.Error()))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, Code) work.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// CodeOf returns the code of the outermost Error in err's chain.
func CodeOf(err error) (Code, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Code, true
	}
	return "", false
}

// maxText bounds how much of a foreign text is repeated to a person.
const maxText = 500

// Clean makes a foreign text safe to print on one line: control characters and
// characters that change the direction of writing become '?', and it is cut.
func Clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) || r == 0xfffd || isBidi(r) {
			return '?'
		}
		return r
	}, s)
}

func isBidi(r rune) bool {
	return r == 0x200e || r == 0x200f || r == 0x61c || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) || r == 0x2028 || r == 0x2029
}
