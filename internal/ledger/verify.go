package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/internal/sign/inclusion"
)

// Report is what a walk through the whole log has found.
type Report struct {
	Origin     string         `json:"origin"`
	Size       uint64         `json:"size"`
	Root       string         `json:"root"` // base64
	Checkpoint string         `json:"checkpoint"`
	Kinds      map[string]int `json:"kinds"` // count of records of each kind
	First      time.Time      `json:"first,omitzero"`
	Last       time.Time      `json:"last,omitzero"`
	Compared   []uint64       `json:"compared,omitempty"` // sizes of the earlier checkpoints that the log continues
	Unsigned   uint64         `json:"unsigned,omitempty"` // records on disk that no checkpoint covers yet
}

// Verify walks the log: the latest checkpoint's signature, every tile, every
// record's hash and form, and that the log continues the last checkpoint that
// its key signed and each signed checkpoint in known (from bundles, run
// records, witnesses). It returns ErrForked or ErrDamaged when it does not.
func (r *Reader) Verify(ctx context.Context, known ...string) (Report, error) {
	cp, seen, err := r.latest()
	if err != nil {
		return Report{}, err
	}
	rep := Report{Origin: r.Origin(), Size: cp.Size, Root: cp.Root.String(), Checkpoint: cp.Note, Kinds: map[string]int{}}
	t := r.tree(cp)
	if rep.Compared, err = r.compare(t, seen, known); err != nil {
		return rep, err
	}
	for rec, err := range t.records(ctx) {
		if err != nil {
			return rep, err
		}
		rep.count(rec)
	}
	n, _, err := r.integrated()
	if err != nil {
		return rep, err
	}
	if n > cp.Size {
		rep.Unsigned = n - cp.Size
	}
	return rep, nil
}

// compare checks that the tree continues what was seen of it before.
func (r *Reader) compare(t tree, seen inclusion.Checkpoint, known []string) ([]uint64, error) {
	old := []inclusion.Checkpoint{seen}
	for i, n := range known {
		c, err := inclusion.ParseCheckpoint([]byte(n), r.v)
		if err != nil {
			return nil, fmt.Errorf("known checkpoint %d: %w", i+1, err)
		}
		old = append(old, c)
	}
	var sizes []uint64
	for _, c := range old {
		if err := t.contains(c); err != nil {
			return nil, err
		}
		if c.Note != "" {
			sizes = append(sizes, c.Size)
		}
	}
	return sizes, nil
}

func (rep *Report) count(rec Record) {
	rep.Kinds[rec.Kind]++
	if rec.Entry == nil {
		return
	}
	if rep.First.IsZero() {
		rep.First = rec.Entry.Time
	}
	rep.Last = rec.Entry.Time
}
