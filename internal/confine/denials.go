package confine

import (
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
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
			Verdict: "an alarm: the command took a credential", Do: "find what in it reads credentials, before it runs where there are real ones",
		})
	}
	if res.Limit != "" {
		all = append(all, evidence.Denial{
			Class: "limit", Target: res.Limit, Count: 1,
			Why: "a zone's resources are bounded", Verdict: "the cause: the command was ended at this limit",
		})
	}
	for i := range all {
		d := &all[i]
		d.ID = fmt.Sprintf("D-exec-%d", i+1)
		d.Stage, d.Zone = "exec", r.Zone
		if d.Do == "" || strings.HasPrefix(d.Do, "sallyport why") { // this very text is what why would say
			d.Do = remedy(d.Class)
		}
		if d.Time.IsZero() {
			d.Time = time.Now()
		}
		if d.Tried == (boundary.Attempt{}) {
			d.Tried = boundary.Attempt{Class: boundary.Class(d.Class), Zone: r.Zone, Target: d.Target}
		}
		d.Rule = boundary.Decide(d.Tried, nil, d.Time).Rule
		if d.Verdict == "" {
			d.Verdict = verdict(out.ExitCode)
		}
	}
	return all
}

// remedy is the narrowest way to what was refused.
func remedy(class string) string {
	switch class {
	case "package":
		return "add it to the project, so that the lockfile names it: npm install --package-lock-only, or go get"
	case "net":
		return "make it a dependency that the lockfile names; what is no package, commit or fetch by digest before"
	}
	return ""
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
	d := evidence.Denial{Class: "file", Target: b.Target, Process: b.Process, Package: b.Package, Time: b.Time, Count: b.Count, Why: "the zone does not let it"}
	if b.What == "connect" || strings.HasPrefix(b.What, "net") {
		d.Class = "net"
		d.Why = fmt.Sprintf("%s has no network", r.Zone)
		if r.Zone == boundary.Fetch {
			d.Why = "the gateway is the only road out of fetch, and gives what a lockfile names"
		} else {
			d.Do = "fetch it in the fetch zone: sallyport exec --zone fetch -- COMMAND"
		}
	}
	return d
}
