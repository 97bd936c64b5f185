package confine

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/joblog"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// denials joins what the gateway refused, what the zone refused, and what was
// moved away, and says of each whether it may be why the command failed.
func (r *Request) denials(res sandbox.Result, out Outcome) []evidence.Denial {
	var all []evidence.Denial
	if r.Road != nil {
		all = append(all, r.Road.Denials()...)
	}
	for _, b := range res.Blocked {
		all = append(all, r.blocked(b))
	}
	for _, in := range out.Intruders {
		all = append(all, evidence.Denial{
			Class: "file", Target: in.Name, Count: 1,
			Tried: boundary.Attempt{Class: boundary.ClassFile, Zone: r.Zone, Target: in.Name, Fault: "trusted-later"},
			Why:   in.Name + " is read with more authority later; what the command put there was moved away",
			Do:    "look at " + in.Kept,
		})
	}
	for _, a := range out.Alarms {
		all = append(all, evidence.Denial{
			Class: "canary", Target: string(a.Kind), Count: 1, Why: a.Said(),
			Verdict: "an alarm: the command took a credential",
		})
	}
	if res.Limit != "" {
		all = append(all, evidence.Denial{
			Class: "limit", Target: res.Limit, Count: 1,
			Tried:   boundary.Attempt{Class: boundary.ClassLimit, Zone: r.Zone, Target: res.Limit, Amount: res.Bound},
			Verdict: "the cause: the command was ended at this limit",
		})
	}
	if out.ExitCode != 0 {
		all = append(all, r.heard()...)
	}
	for i := range all {
		r.explain(&all[i], i+1, out.ExitCode)
	}
	return all
}

// hear listens to a stream of the command.
func (r *Request) hear(to io.Writer) io.Writer {
	if to == nil {
		to = io.Discard
	}
	return r.ear.Stream(to)
}

// heard is what the command's programs say of files that they could not have:
// the zone has none of the host, and lets nobody write to what is trusted later.
// It is their own word, which the sandbox cannot see for itself.
func (r *Request) heard() []evidence.Denial {
	var all []evidence.Denial
	for _, w := range r.ear.Wishes() {
		d := evidence.Denial{Class: "file", Target: w.Target, Count: 1}
		switch w.Kind {
		case joblog.WishFile:
			if _, err := os.Lstat(w.Target); err != nil {
				continue // nor has the host
			}
		case joblog.WishWrite:
			if name := r.trusted(w.Target); name != "" {
				d.Tried = boundary.Attempt{Class: boundary.ClassFile, Zone: r.Zone, Target: w.Target, Fault: "trusted-later"}
				d.Why = name + " is read with more authority later: a confined command cannot change it"
				d.Do = "let a job that runs no code of others write it"
			}
		default:
			continue
		}
		all = append(all, d)
	}
	return all
}

// trusted is the name at the top of the checkout that a path lies below, if it
// is one that is trusted later.
func (r *Request) trusted(name string) string {
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(inside(r.Dir), name)
		if err != nil {
			return ""
		}
		name = rel
	}
	top, _, _ := strings.Cut(name, "/")
	if slices.Contains(trustedLater, top) {
		return top
	}
	return ""
}

// explain fills in what is said alike of every refusal.
func (r *Request) explain(d *evidence.Denial, n, code int) {
	d.ID = fmt.Sprintf("D-%s-%d", r.ID, n)
	d.Stage, d.Zone = "exec", r.Zone
	if d.Time.IsZero() {
		d.Time = time.Now()
	}
	if d.Tried == (boundary.Attempt{}) {
		d.Tried = boundary.Attempt{Class: boundary.Class(d.Class), Zone: r.Zone, Target: d.Target}
	}
	no := boundary.Refuse(d.Tried, r.Allowed, d.Time)
	d.Rule, d.Why, d.Do = no.Rule, cmp.Or(d.Why, no.Why), cmp.Or(d.Do, no.Remedy(d.ID))
	if d.Verdict == "" {
		d.Verdict = verdict(code)
	}
}

// verdict does not pretend to know: only a command that ended well rules a
// refusal out as the cause.
func verdict(code int) string {
	if code == 0 {
		return "not the cause of a failure: the command ended well"
	}
	return fmt.Sprintf("may be the cause: the command ended with code %d", code)
}

func (r *Request) blocked(b sandbox.Blocked) evidence.Denial {
	d := evidence.Denial{Class: "file", Target: b.Target, Process: b.Process, Package: b.Package, Time: b.Time, Count: b.Count}
	if b.Net() {
		d.Class = "net"
		if r.Zone != boundary.Fetch {
			d.Do = "fetch it in the fetch zone: sallyport exec --zone fetch -- COMMAND"
		}
	}
	return d
}
