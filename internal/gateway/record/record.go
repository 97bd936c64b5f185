// Package record is the book of one gateway session: what was served, what was
// refused, and the first thing that went wrong on our side.
//
// Every entry is bounded, since the code that causes entries is hostile.
package record

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// MaxDenials bounds the different refusals that are kept one by one. Further
// ones are counted in the last.
const MaxDenials = 200

// Beyond says what a session answers beside the members of its plan.
type Beyond int

// What is answered.
const (
	Nothing   Beyond = iota
	Reachable        // what the manifests want and, transitively, what that wants: to make a lockfile
	Anything         // whatever is asked for, to learn what that is
)

// Options say whose book it is.
type Options struct {
	Run      string // decimal number of the run
	Stage    string
	Zone     boundary.Zone
	OnDenial func(evidence.Denial) // called once for each different refusal; may be nil
	Allowed  []boundary.Allowance  // exceptions, also those that have run out
	Next     func() int            // number of the next denial in this run; nil: counted in this book
	Now      func() time.Time      // nil: time.Now
}

// Book is the record of one session. It is safe for concurrent use.
type Book struct {
	o Options

	mu      sync.Mutex
	served  map[string]evidence.Material
	denials []*evidence.Denial
	index   map[string]*evidence.Denial
	count   int
	first   error
}

// New returns an empty book.
func New(o Options) *Book {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Book{o: o, served: map[string]evidence.Material{}, index: map[string]*evidence.Denial{}}
}

// Refusal is what a protocol's handler knows about a refused request.
type Refusal struct {
	Class   string // package or net; empty means package
	Package string // purl or name@version, where known
	Target  string // what was asked for
	Why     string
	Where   string // file:line of the entry, where known
	Do      string // next command; empty: what boundary.Decide says
	Fault   string // what was wrong beside that no lockfile names it; nothing admits it then
}

// Deny notes a refusal and returns it with its id. The same refusal again gets
// the same id and a higher count.
func (b *Book) Deny(r Refusal) evidence.Denial {
	b.mu.Lock()
	d, fresh := b.deny(r)
	copied := *d
	b.mu.Unlock()
	if fresh && b.o.OnDenial != nil {
		b.o.OnDenial(copied)
	}
	return copied
}

func (b *Book) deny(r Refusal) (*evidence.Denial, bool) {
	if r.Class == "" {
		r.Class = "package"
	}
	key := r.Class + "\x00" + r.Target + "\x00" + r.Why
	if d := b.index[key]; d != nil {
		d.Count++
		return d, false
	}
	if len(b.denials) >= MaxDenials {
		last := b.denials[len(b.denials)-1]
		last.Count++
		return last, false
	}
	d := b.write(r)
	b.denials = append(b.denials, d)
	b.index[key] = d
	return d, true
}

func (b *Book) write(r Refusal) *evidence.Denial {
	b.count++
	n := b.count
	if b.o.Next != nil {
		n = b.o.Next()
	}
	id := fmt.Sprintf("D-%s-%d", b.o.Run, n)
	tried := boundary.Attempt{Class: boundary.Class(r.Class), Zone: b.o.Zone, Stage: b.o.Stage,
		Target: fault.Clean(cmp.Or(r.Package, r.Target)), Fault: r.Fault}
	now := b.o.Now().UTC()
	no := boundary.Refuse(tried, b.o.Allowed, now)
	if no.Expired != nil {
		r.Why = no.Why
	}
	return &evidence.Denial{
		ID: id, Class: r.Class, Stage: b.o.Stage, Zone: b.o.Zone,
		Package: fault.Clean(r.Package), Target: fault.Clean(r.Target), Tried: tried, Rule: no.Rule,
		Why: fault.Clean(r.Why), Where: fault.Clean(r.Where), Do: cmp.Or(r.Do, no.Remedy(id)), Time: now, Count: 1,
	}
}

// Served notes that a material went into the zone. The same one twice is one.
func (b *Book) Served(m evidence.Material) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := m.Kind + "\x00" + m.PURL
	if old, ok := b.served[key]; ok {
		m.Cached = old.Cached // where it came from the first time
	}
	b.served[key] = m
}

// Fail notes an error that is not the zone's fault. The first one is kept.
func (b *Book) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first == nil {
		b.first = err
	}
}

// Err returns the first error noted with Fail.
func (b *Book) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first
}

// Materials returns what was served, sorted.
func (b *Book) Materials() []evidence.Material {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]evidence.Material, 0, len(b.served))
	for _, m := range b.served {
		list = append(list, m)
	}
	Sort(list)
	return list
}

// Denials returns what was refused, in order.
func (b *Book) Denials() []evidence.Denial {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]evidence.Denial, 0, len(b.denials))
	for _, d := range b.denials {
		list = append(list, *d)
	}
	return list
}

// Sort puts materials into the one order in which they are digested and shown.
func Sort(list []evidence.Material) {
	slices.SortFunc(list, func(a, b evidence.Material) int {
		return cmp.Or(cmp.Compare(a.PURL, b.PURL), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Sum, b.Sum), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}
