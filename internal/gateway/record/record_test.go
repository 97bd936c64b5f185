package record

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
)

func TestFloodOfDenialsIsBounded(t *testing.T) {
	told := 0
	b := New(Options{Run: "1", Stage: "fetch", Zone: boundary.Fetch, OnDenial: func(evidence.Denial) { told++ }})
	for i := range 10 * MaxDenials {
		b.Deny(Refusal{Target: fmt.Sprint("x", i), Why: "no"})
	}
	d := b.Denials()
	if len(d) != MaxDenials || told != MaxDenials {
		t.Errorf("%d kept, %d told", len(d), told)
	}
	total := 0
	for _, x := range d {
		total += x.Count
	}
	if total != 10*MaxDenials {
		t.Errorf("%d counted", total)
	}
}

func TestDenialIsSafeToPrint(t *testing.T) {
	b := New(Options{Run: "1", Zone: boundary.Fetch})
	d := b.Deny(Refusal{Target: "a\x1b[2J\nb\u202ec", Why: "\r", Package: "\x00"})
	if d.Target != "a?[2J?b?c" || d.Why != "?" || d.Package != "?" || d.Class != "package" || d.Do == "" || d.Rule != boundary.SP3 {
		t.Errorf("%+v", d)
	}
}

func TestFirstErrorAndFirstOriginStay(t *testing.T) {
	b := New(Options{Run: "1"})
	first := errors.New("first")
	b.Fail(first)
	b.Fail(errors.New("second"))
	if !errors.Is(b.Err(), first) {
		t.Error(b.Err())
	}
	m := evidence.Material{PURL: "pkg:npm/a@1", Kind: "npm.tgz"}
	b.Served(m)
	m.Cached = true
	b.Served(m)
	if got := b.Materials(); len(got) != 1 || got[0].Cached {
		t.Errorf("%+v", got)
	}
}

// What is kept of a refusal gives the same answer when it is asked again, and
// offers an exception only for what is merely not named.
func TestDenialCanBeAskedAgain(t *testing.T) {
	b := New(Options{Run: "1", Stage: "fetch", Zone: boundary.Fetch})
	for _, c := range []struct {
		r   Refusal
		fix bool
	}{
		{Refusal{Package: "pkg:npm/a@1.0.0", Target: "a@1.0.0", Why: "not named"}, true},
		{Refusal{Package: "pkg:npm/b@1.0.0", Target: "b@1.0.0", Why: "wrong bytes", Fault: "gw-checksum"}, false},
		{Refusal{Class: "net", Target: "example.invalid:443", Why: "no route"}, false},
	} {
		d := b.Deny(c.r)
		got := boundary.Decide(d.Tried, nil, d.Time)
		if got.Allowed || got.Rule != d.Rule || (got.Fix != nil) != c.fix {
			t.Errorf("%+v gives %+v", d.Tried, got)
		}
	}
}
