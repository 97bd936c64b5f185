package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/sign/inclusion"
)

// Schema names the form of an entry.
const Schema = "sallyport/ledger/v1"

const (
	maxName  = 1024 // bytes of a run, stage, identity or fact name
	maxFacts = 64
)

// ErrEntry reports an entry that the ledger does not take.
var ErrEntry = errors.New("not a ledger entry")

// Type is the kind of crossing that an entry records.
type Type string

// The types of entries.
const (
	Plan          Type = "plan"
	IdentityBegun Type = "identity.begun"
	IdentityEnded Type = "identity.ended"
	Receipt       Type = "receipt"
	Denial        Type = "denial"
	Materials     Type = "materials"
	Verdict       Type = "verdict"
	Approval      Type = "approval"
	Signature     Type = "signature"
	Promotion     Type = "promotion"
	Alarm         Type = "alarm"
)

// Types returns every type of entry, in the order in which a run makes them.
func Types() []Type {
	return []Type{
		Plan, IdentityBegun, Receipt, Materials, Denial, IdentityEnded,
		Verdict, Approval, Signature, Promotion, Alarm,
	}
}

// Entry is one crossing of the boundary. It names large documents by digest and
// holds small facts only: the ledger never forgets, so nothing personal and
// nothing secret belongs here.
type Entry struct {
	Schema   string            `json:"schema"` // Append fills it in
	Type     Type              `json:"type"`
	Run      string            `json:"run,omitempty"`
	Stage    string            `json:"stage,omitempty"`
	Identity string            `json:"identity,omitempty"` // SPIFFE ID
	Time     time.Time         `json:"time"`               // Append fills in a zero one
	Subjects []digest.Digest   `json:"subjects,omitempty"`
	Data     digest.Digest     `json:"data,omitzero"` // of the document that the entry stands for
	Facts    map[string]string `json:"facts,omitempty"`
}

// Canonical returns the entry's only byte form, or an error that wraps ErrEntry.
func (e Entry) Canonical() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	e.Time = e.Time.UTC()
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	if b, err = jsoncanonicalizer.Transform(b); err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	if len(b) > inclusion.MaxLeaf {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", len(b), inclusion.MaxLeaf, ErrEntry)
	}
	return b, nil
}

func (e Entry) check() error {
	if e.Schema != Schema {
		return fmt.Errorf("schema %q is not %s: %w", e.Schema, Schema, ErrEntry)
	}
	if !slices.Contains(Types(), e.Type) {
		return fmt.Errorf("unknown type %q: %w", e.Type, ErrEntry)
	}
	if y := e.Time.Year(); e.Time.IsZero() || y < 1970 || y > 9999 {
		return fmt.Errorf("time %v: %w", e.Time, ErrEntry)
	}
	if len(e.Facts) > maxFacts {
		return fmt.Errorf("%d facts, more than %d: %w", len(e.Facts), maxFacts, ErrEntry)
	}
	names := []string{e.Run, e.Stage, e.Identity}
	for k, v := range e.Facts {
		names = append(names, k)
		if k == "" || !utf8.ValidString(v) {
			return fmt.Errorf("fact %q: %w", k, ErrEntry)
		}
	}
	for _, n := range names {
		if len(n) > maxName || !utf8.ValidString(n) || strings.ContainsFunc(n, unicode.IsControl) {
			return fmt.Errorf("name %.100q: %w", n, ErrEntry)
		}
	}
	return nil
}

// ParseEntry reads an entry in canonical form and refuses every other form, so
// that one entry has one hash.
func ParseEntry(b []byte) (Entry, error) {
	if len(b) > inclusion.MaxLeaf {
		return Entry{}, fmt.Errorf("%d bytes: %w", len(b), ErrEntry)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var e Entry
	if err := d.Decode(&e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Entry{}, fmt.Errorf("data after it: %w", ErrEntry)
	}
	again, err := e.Canonical()
	if err != nil {
		return Entry{}, err
	}
	if !bytes.Equal(b, again) {
		return Entry{}, fmt.Errorf("not in canonical form: %w", ErrEntry)
	}
	return e, nil
}

// Record is one leaf of the log: an entry of ours, or what Sigstore's clients
// look for (kind hashedrekord) and its certificates.
type Record struct {
	Index uint64 `json:"index"`
	Kind  string `json:"kind"`            // the entry's type, or the foreign record's kind
	Entry *Entry `json:"entry,omitempty"` // nil for a foreign record
	Leaf  []byte `json:"-"`               // the bytes that are hashed
}

// ParseRecord tells what a leaf is. A leaf that is neither an entry nor a
// record with kind and apiVersion is refused.
func ParseRecord(leaf []byte) (Record, error) {
	if len(leaf) > inclusion.MaxLeaf {
		return Record{}, fmt.Errorf("%d bytes: %w", len(leaf), ErrEntry)
	}
	var head struct {
		Schema     string `json:"schema"`
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal(leaf, &head); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	if head.Schema == "" && isKind(head.Kind) && isKind(head.APIVersion) {
		return Record{Kind: head.Kind, Leaf: leaf}, nil
	}
	e, err := ParseEntry(leaf)
	if err != nil {
		return Record{}, err
	}
	return Record{Kind: string(e.Type), Entry: &e, Leaf: leaf}, nil
}

func isKind(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~'
	})
}
