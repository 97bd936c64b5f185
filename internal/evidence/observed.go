package evidence

import (
	"slices"

	"github.com/sallyport/sallyport/internal/boundary"
)

// Tainted tells whether other people's code runs in the stage's zone.
func (s *Stage) Tainted() bool { return s.Zone >= boundary.Fetch && s.Zone <= boundary.Test }

// Executed tells whether the stage's commands ran in this run.
func (s *Stage) Executed() bool { return !s.Cached && s.State != Skipped }

// Shown says what the stage's receipt shows: ReceiptClean only for a probe that
// ran in this stage's own zone, under its identity, and found nothing.
func (s *Stage) Shown() string {
	switch {
	case s.Receipt == nil:
		return ReceiptNone
	case s.Receipt.Clean() && s.Receipt.Zone == s.Zone && s.Receipt.Identity == s.Identity:
		return ReceiptClean
	}
	return ReceiptFailed
}

// What a receipt can show.
const (
	ReceiptClean  = "clean"
	ReceiptFailed = "failed"
	ReceiptNone   = "none"
)

// Gaps are the materials that keep the record of a run from being complete, by
// purl.
type Gaps struct {
	Unplanned  []string // served, but not in the allow-set
	Altered    []string // served with another checksum than planned
	Undigested []string // served without a digest
	Unpinned   []string // materials and manifests that no lockfile pins
}

// Complete tells whether all that the zones were given is known by digest and
// was planned. What is unpinned is known all the same.
func (g Gaps) Complete() bool {
	return len(g.Unplanned) == 0 && len(g.Altered) == 0 && len(g.Undigested) == 0
}

// Gaps compares what was served with what was planned. A material that was found
// while a lockfile was made has no entry in the plan; it is unpinned instead.
func (r *Run) Gaps() Gaps {
	type key struct{ purl, kind string }
	planned := make(map[string]bool, len(r.Planned))
	sums := make(map[key]string, len(r.Planned))
	for i := range r.Planned {
		p := &r.Planned[i]
		planned[p.PURL] = true
		sums[key{p.PURL, p.Kind}] = p.Sum
	}
	g := Gaps{Unpinned: slices.Clone(r.Unpinned)}
	for i := range r.Served {
		s := &r.Served[i]
		if s.Pin != PinLockfile && s.Pin != PinSumDB && s.Pin != PinSource && s.Pin != PinAllowed {
			g.Unpinned = append(g.Unpinned, s.PURL)
		}
		built := s.Pin == PinSource && s.PURL == r.Source.URI
		if !planned[s.PURL] && s.Pin != PinMade && !built {
			g.Unplanned = append(g.Unplanned, s.PURL)
		}
		if sum := sums[key{s.PURL, s.Kind}]; sum != "" && s.Sum != "" && sum != s.Sum {
			g.Altered = append(g.Altered, s.PURL)
		}
		if s.Digest.IsZero() {
			g.Undigested = append(g.Undigested, s.PURL)
		}
	}
	return g
}

// Tested tells whether the tests passed for the bytes of a.
func (r *Run) Tested(a Artifact) bool {
	return r.Tests != nil && r.Tests.Passed && slices.Contains(r.Tests.Subjects, a.Digest)
}

// Reproduced tells whether a second build of a was made and all second builds
// gave the same bytes.
func (r *Run) Reproduced(a Artifact) bool {
	made := false
	for i := range r.Rebuilds {
		b := &r.Rebuilds[i]
		if b.Artifact != a.Name {
			continue
		}
		if !b.Identical || b.Error != "" || b.First != a.Digest || b.Second != a.Digest {
			return false
		}
		made = true
	}
	return made
}
