// Package secrets looks for credentials and canaries in what leaves a zone:
// artifacts, trees and logs.
//
// Two things are looked for. Rules know the shapes of credentials (provider
// tokens, private keys, passwords in assignments and URLs). Values are exact
// bytes that must not leave (canaries, secrets the controller knows), found raw,
// reversed, and in hexadecimal or base64, nested up to three times, wrapped into
// lines or not. Gzip, bzip2, tar and zip are opened to a depth of three.
//
// A finding carries the place, the rule and a keyed hash of the match, never the
// match. The package does not promise that clean bytes hold no secret: encryption
// and compressions that it does not know hide one. Hostile input is bounded; what
// a bound cut short is listed in Report.Incomplete, and such a report is not clean.
package secrets

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
)

// Options choose what a Scanner looks for.
type Options struct {
	// Key keys the fingerprints, so that a short secret cannot be guessed from
	// one. Equal keys give equal fingerprints. Empty: a random key.
	Key []byte
	// Values are exact bytes that must not be found.
	Values []Value
	// ValuesOnly leaves the shapes of credentials out.
	ValuesOnly bool
	// Now tells an expired token from a live one. Zero: tokens do not expire.
	Now time.Time
	// Limits bound the work; zero fields take the defaults.
	Limits Limits
}

// Value is a canary or a known secret.
type Value struct {
	Rule   string // the rule that a finding names: "canary:env", "known:npm-token"
	Secret []byte // at least MinValue bytes
}

// MinValue is the length of the shortest Value, in bytes: shorter ones would be
// found by chance.
const MinValue = 8

// Limits bound one scan.
type Limits struct {
	Expanded int64 // bytes that archives may expand to, together (default 4 GiB)
	Spool    int64 // bytes of a zip inside another archive, kept in memory (default 64 MiB)
	Entries  int   // files in a tree and entries in its archives (default 500,000)
	Findings int   // findings kept (default 1,000)
	Depth    int   // archives inside archives (default 3)
}

func (l Limits) withDefaults() Limits {
	if l.Expanded <= 0 {
		l.Expanded = 4 << 30
	}
	if l.Spool <= 0 {
		l.Spool = 64 << 20
	}
	if l.Entries <= 0 {
		l.Entries = 500_000
	}
	if l.Findings <= 0 {
		l.Findings = 1000
	}
	if l.Depth <= 0 {
		l.Depth = 3
	}
	return l
}

// Report is the outcome of one scan.
type Report struct {
	Findings   []evidence.Finding
	Bytes      int64    // scanned, expanded archives included
	Files      int      // files and archive entries
	Incomplete []string // what a limit or an encryption kept from being read
}

// Clean tells whether everything was read and nothing was found.
func (r Report) Clean() bool { return len(r.Findings) == 0 && len(r.Incomplete) == 0 }

// Merge adds what o found.
func (r *Report) Merge(o Report) {
	r.Findings = append(r.Findings, o.Findings...)
	r.Incomplete = append(r.Incomplete, o.Incomplete...)
	r.Bytes += o.Bytes
	r.Files += o.Files
}

// Scanner looks for one set of rules and values. It is safe for use by several
// goroutines.
type Scanner struct {
	key    []byte
	now    time.Time
	limits Limits
	rules  []compiled
	values []variant
	auto   *automaton

	classes [256]uint8 // of encoded runs
	buffers sync.Pool  // of *[]byte: windows
}

// New compiles the rules and the values into one automaton.
func New(o Options) (*Scanner, error) {
	s := &Scanner{key: o.Key, now: o.Now, limits: o.Limits.withDefaults(), classes: runClasses()}
	if len(s.key) == 0 {
		s.key = make([]byte, 32)
		if _, err := rand.Read(s.key); err != nil {
			return nil, fmt.Errorf("make fingerprint key: %w", err)
		}
	}
	if !o.ValuesOnly {
		var err error
		if s.rules, err = compileRules(Rules()); err != nil {
			return nil, err
		}
	}
	for _, v := range o.Values {
		if len(v.Secret) < MinValue {
			return nil, fmt.Errorf("value %s is %d bytes: at least %d are needed", v.Rule, len(v.Secret), MinValue)
		}
		s.values = append(s.values, variants(v)...)
	}
	s.auto = s.build()
	return s, nil
}

// build makes the automaton: the keywords of all rules, the first bytes of all
// variants of the values, and the marks of compressed data.
func (s *Scanner) build() *automaton {
	var b builder
	for i, r := range s.rules {
		for _, k := range r.Keywords {
			b.add(k, target{kind: hitRule, index: i, length: len(k)})
		}
	}
	for i, v := range s.values {
		n := min(len(v.text), keywordMax)
		b.add(string(v.text[:n]), target{kind: hitValue, index: i, length: n})
	}
	b.add(gzipMagic, target{kind: hitGzip, length: len(gzipMagic)})
	return b.compile()
}

// Reader scans one stream. where names it in findings.
func (s *Scanner) Reader(ctx context.Context, where string, r io.Reader) (Report, error) {
	w := s.walk(ctx)
	w.report.Files++
	if err := w.item(place{name: clean(where)}, r, 0); err != nil {
		return Report{}, fmt.Errorf("scan %s: %w", clean(where), err)
	}
	return w.report, nil
}

// Log scans the output of a stage. It differs from Reader in that a log is never
// an archive.
func (s *Scanner) Log(ctx context.Context, where string, r io.Reader) (Report, error) {
	w := s.walk(ctx)
	w.report.Files++
	k := w.sink(place{name: clean(where)})
	defer k.release()
	if _, err := k.ReadFrom(r); err != nil {
		return Report{}, fmt.Errorf("scan %s: %w", clean(where), err)
	}
	k.finish()
	return w.report, nil
}

// File scans one file, as an archive too where it is one.
func (s *Scanner) File(ctx context.Context, where, path string) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("scan %s: %w", clean(where), err)
	}
	defer f.Close()
	w := s.walk(ctx)
	if err := w.file(place{name: clean(where)}, f); err != nil {
		return Report{}, fmt.Errorf("scan %s: %w", clean(where), err)
	}
	return w.report, nil
}

func (s *Scanner) fingerprint(secret []byte) string {
	m := hmac.New(sha256.New, s.key)
	m.Write(secret)
	return hex.EncodeToString(m.Sum(nil)[:16])
}
