package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/store"
)

// memoKind is the kind of the store's records that remember stages.
const memoKind = "stage"

// inputs is everything that the outcome of a stage can depend on.
type inputs struct {
	Schema    string               `json:"schema"`
	Version   string               `json:"version"` // of Sallyport, whose sandbox and gateway it is
	Sandbox   string               `json:"sandbox"`
	Level     string               `json:"level"`
	Zone      boundary.Zone        `json:"zone"`
	Args      []string             `json:"args"`
	Dir       string               `json:"dir"`
	Env       []string             `json:"env"`
	Layers    []digest.Digest      `json:"layers"`
	Tools     []evidence.Toolchain `json:"tools"`
	Mounts    []sandbox.Mount      `json:"mounts"`
	Materials digest.Digest        `json:"materials,omitzero"`
	Declared  []string             `json:"declared"`
	Out       map[string]string    `json:"out,omitempty"`
	Reports   map[string]string    `json:"reports,omitempty"`
	Limits    sandbox.Limits       `json:"limits"`
	Variant   variant              `json:"variant"`
	NoHoney   bool                 `json:"no_honey,omitempty"` // nobody would have noticed a thief
	Learn     bool                 `json:"learn,omitempty"`    // the gateway gave whatever was asked for
	// Day is when names were looked up: what is published changes. Within a day
	// the same question gets the same answer.
	Day string `json:"day,omitempty"`
}

// key is the digest of a stage's inputs.
func (r *run) key(j *job) digest.Digest {
	spec := r.spec(j, "", store.Workspace{}, nil)
	in := inputs{
		Schema: "sallyport/stage/v1", Version: r.Version, Sandbox: r.rec.run.Isolation.Sandbox, Level: r.rec.run.Isolation.Level,
		Zone: j.stage.Zone, Args: spec.Args, Dir: spec.Dir, Env: spec.Env, Layers: j.layers, Tools: r.tools.Tools, Mounts: spec.Mounts,
		Declared: j.declared(), Out: j.stage.Out, Reports: j.stage.Reports, Limits: spec.Limits, Variant: j.variant, NoHoney: r.req.NoHoney,
	}
	if j.stage.Zone == boundary.Fetch && r.plan.allow != nil {
		in.Materials = r.plan.allow.Digest()
	}
	if in.Learn = r.req.Learn && j.stage.Zone == boundary.Fetch; in.Learn || j.resolve {
		in.Day = r.now().Format(time.DateOnly)
	}
	return digestOfJSON(in)
}

// declared are the paths that a stage hands on, sorted.
func (j *job) declared() []string {
	s, out := &j.stage, slices.Clone(j.hands)
	for _, k := range s.Keep {
		out = append(out, boxPath(k))
	}
	for _, o := range s.Out {
		if o != "." {
			out = append(out, boxPath(o))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// recall finds what a stage came to with the same inputs. What was changed on
// disk since is an error: someone did that.
func (r *run) recall(ctx context.Context, j *job, key digest.Digest) (*result, bool, error) {
	if r.req.NoCache {
		return nil, false, nil
	}
	b, err := r.Store.Record(memoKind, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		r.Store.DropRecord(memoKind, key)
		return nil, false, r.tampered(err)
	}
	var res result
	if err := json.Unmarshal(b, &res); err != nil {
		r.Store.DropRecord(memoKind, key)
		return nil, false, r.tampered(fmt.Errorf("memory of stage %s: %w: %w", j.stage.Name, err, store.ErrTampered))
	}
	err = r.whole(ctx, j, &res)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil // pruned
	}
	if err != nil {
		r.Store.DropRecord(memoKind, key)
		return nil, false, err
	}
	return &res, true, nil
}

// whole checks that everything that a stage handed on is still what it was.
func (r *run) whole(ctx context.Context, j *job, res *result) error {
	if !res.Layer.IsZero() {
		if err := r.Store.Check(ctx, res.Layer); err != nil {
			return r.tampered(err, res.Layer)
		}
	}
	for _, a := range res.Artifacts {
		f, err := r.Store.OpenBlob(a.Digest)
		if err != nil {
			return r.tampered(err)
		}
		f.Close()
	}
	return r.copyLog(j, res.Log)
}

// copyLog gives a remembered stage its log in this run.
func (r *run) copyLog(j *job, d digest.Digest) error {
	in, err := r.Store.OpenBlob(d)
	if err != nil {
		return r.tampered(err)
	}
	defer in.Close()
	out, err := os.OpenFile(r.rec.logPath(j.stage.Name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("copy log: %w", err)
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// remember keeps what a stage came to. Only stages that ended well come here.
func (r *run) remember(j *job, key digest.Digest, res *result) error {
	b, err := json.Marshal(res)
	if err != nil {
		return fmt.Errorf("remember stage %s: %w", j.stage.Name, err)
	}
	return r.Store.PutRecord(memoKind, key, b)
}

// tampered raises the alarm when an error means that stored bytes were changed,
// and removes those trees, so that they are made anew.
func (r *run) tampered(err error, trees ...digest.Digest) error {
	if !errors.Is(err, store.ErrTampered) {
		return err
	}
	r.log(ledger.Entry{Type: ledger.Alarm, Subjects: trees, Facts: map[string]string{"what": "stored content was changed on disk"}})
	for _, d := range trees {
		err = errors.Join(err, r.Store.DropTree(d))
	}
	return err
}
