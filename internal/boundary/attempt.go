package boundary

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Class is a kind of thing that a zone refuses.
type Class string

// The classes of refusals.
const (
	ClassNet     Class = "net"     // a connection, a name, a socket
	ClassPackage Class = "package" // a package, at the gateway
	ClassFile    Class = "file"    // a file of the host, or one that is trusted later
	ClassLimit   Class = "limit"   // more time, memory, disk or processes than given
	ClassCanary  Class = "canary"  // a credential that is worth nothing
)

// Attempt is one thing that code in a zone tried. It holds names alone, as the
// one who refused it saw them.
type Attempt struct {
	Class Class  `json:"class"`
	Zone  Zone   `json:"zone"`
	Stage string `json:"stage,omitempty"` // empty: a confined command, which is no stage of a pipeline
	// Target is an address; a package URL, without a version where none was asked
	// for; a path; or the name of a limit: time, memory, disk, pids.
	Target string `json:"target"`
	// Amount is the bound that was reached, of a limit: nanoseconds, bytes or a
	// number; zero: unknown.
	Amount int64 `json:"amount,omitempty"`
	// Fault says what else was wrong with it, such as a checksum. Nothing admits
	// such an attempt.
	Fault string `json:"fault,omitempty"`
}

// Allowance is one entry of .sallyport/allow.yaml, an exception that somebody
// gave a reason for. It admits one package by the digest of its bytes, or more
// of one resource to one stage. There is none for a network, a file or a secret.
type Allowance struct {
	Package string    `json:"package,omitempty"` // package URL with a version
	Sum     string    `json:"sum,omitempty"`     // the ecosystem's checksum: sha512-..., h1:...
	Stage   string    `json:"stage,omitempty"`
	Limit   string    `json:"limit,omitempty"`
	UpTo    int64     `json:"up_to,omitempty"` // in the unit of Attempt.Amount
	Reason  string    `json:"reason"`
	Until   time.Time `json:"until,omitzero"` // from then on it admits nothing; zero: no end
	Line    int       `json:"line,omitempty"` // in its file
}

// InForce tells whether the allowance has not run out.
func (a Allowance) InForce(now time.Time) bool { return a.Until.IsZero() || now.Before(a.Until) }

// String names what it admits.
func (a Allowance) String() string {
	if a.Package != "" {
		return a.Package
	}
	return fmt.Sprintf("more %s for stage %s", a.Limit, a.Stage)
}

// Refuse is Decide about an attempt that was refused, whatever the reason: an
// exception that names it changes nothing about that.
func Refuse(t Attempt, allowed []Allowance, now time.Time) Answer {
	if no := Decide(t, allowed, now); !no.Allowed {
		return no
	}
	return refusal(t)
}

// Bound is how much of a limit it gives, as its file says it: rounded up to a
// whole number of the smallest unit that can say it.
func (a Allowance) Bound() string {
	const kib, most = 1 << 10, 99999
	switch a.Limit {
	case "pids":
		return strconv.FormatInt(a.UpTo, 10)
	case "time":
		s := (a.UpTo + int64(time.Second) - 1) / int64(time.Second)
		if s <= 9999 {
			return fmt.Sprintf("%ds", s)
		}
		return fmt.Sprintf("%dm", (s+59)/60)
	}
	v := (a.UpTo + kib - 1) / kib
	for _, unit := range []string{"KiB", "MiB", "GiB"} {
		if v <= most && (v%1024 != 0 || v < 1024) {
			return fmt.Sprintf("%d%s", v, unit)
		}
		v = (v + 1023) / 1024
	}
	return fmt.Sprintf("%dTiB", v)
}

// Terms is all that it says, in one line: what an auditor reads.
func (a Allowance) Terms() string {
	out := a.Package + " " + a.Sum
	if a.Package == "" {
		out = fmt.Sprintf("stage %s, %s up to %s", a.Stage, a.Limit, a.Bound())
	}
	if !a.Until.IsZero() {
		out += ", until " + a.Until.Add(-1).Format(time.DateOnly)
	}
	return out + ": " + a.Reason
}

// names tells whether the allowance is about that attempt. A question about the
// versions of a package is about each of them.
func (a Allowance) names(t Attempt) bool {
	switch t.Class {
	case ClassPackage:
		return a.Package != "" && (a.Package == t.Target || versionless(t.Target) && strings.HasPrefix(a.Package, t.Target+"@"))
	case ClassLimit:
		return a.Limit != "" && a.Limit == t.Target && t.Stage != "" && a.Stage == t.Stage && a.UpTo > t.Amount
	}
	return false
}

// versionless tells whether a package URL has no version.
func versionless(purl string) bool {
	return strings.HasPrefix(purl, "pkg:") && !strings.Contains(purl, "@")
}

// Answer says whether an attempt is admitted, by what, and if not what is the
// least that would change it.
type Answer struct {
	Allowed bool
	By      *Allowance // that admits it
	Expired *Allowance // that would, had it not run out
	Rule    Rule       // that refuses it
	Why     string
	Fix     *Allowance // the narrowest that would admit it; its Sum, a version and a bound may still be to find. nil: no exception is safe
	Do      string     // what to do instead, or beside
}

// Decide tells whether code in a zone may do what it tries, under the exceptions
// of a pipeline at a moment. It is the one answer behind a run, a confined
// command, why, allow and learn. An attempt that it does not know is refused.
func Decide(t Attempt, allowed []Allowance, now time.Time) Answer {
	out := refusal(t)
	if out.Fix == nil {
		return out
	}
	for i := range allowed {
		a := &allowed[i]
		switch {
		case !a.names(t):
		case a.InForce(now):
			return Answer{Allowed: true, By: a, Why: fmt.Sprintf("allowed: %s", a.Reason)}
		case out.Expired == nil:
			out.Expired = a
			out.Why = fmt.Sprintf("the exception for it ran out on %s; %s", a.Until.Add(-1).Format(time.DateOnly), out.Why)
		}
	}
	return out
}

// refusal is what is said of an attempt that nothing admits.
func refusal(t Attempt) Answer {
	out := Answer{Rule: SP3}
	switch {
	case t.Zone < Fetch || t.Zone >= Verify:
		out.Rule, out.Why, out.Do = SP5, "no exception weakens a zone that runs none of the project's code", "move the work to a build stage"
	case t.Class == ClassNet:
		out.Why, out.Do = noNetwork(t.Zone, t.Stage)
	case t.Class == ClassPackage:
		out.notMember(t)
	case t.Class == ClassLimit:
		out.limit(t)
	case t.Class == ClassFile && t.Fault != "":
		out.Rule, out.Why, out.Do = SP8, "it is read with more authority later", "look at what the command wanted to put there"
	case t.Class == ClassFile:
		out.Why, out.Do = "a zone has files of its own: nothing of the host is mounted into it", "copy it into the project, or have an earlier stage make and keep it"
	case t.Class == ClassCanary:
		out.Rule, out.Why, out.Do = SP1, "it took a credential", "find what in it reads credentials, before it runs where there are real ones"
	default:
		out.Why = "the zone does not let it"
	}
	return out
}

func noNetwork(z Zone, stage string) (why, do string) {
	switch z {
	case Fetch:
		return "the gateway is the only road out of fetch, and gives what a lockfile names", "make it a dependency that the lockfile names; what is no package, commit"
	case Test:
		do = "let the tests skip what needs the network when CI is set"
		if stage != "" {
			do += "; or leave the stage out, which is recorded: sallyport run --without " + stage
		}
		return "test has no network", do
	}
	return z.String() + " has no network", "make it a dependency that the lockfile names: then fetch brings it, by digest; what is no package, commit"
}

// notMember refuses a package. Where it is asked for in fetch, and nothing was
// wrong but that no lockfile names it, one version can be let in by digest.
func (out *Answer) notMember(t Attempt) {
	out.Why, out.Do = "no lockfile names it", "make it a dependency that the lockfile names"
	npm, golang := strings.HasPrefix(t.Target, "pkg:npm/"), strings.HasPrefix(t.Target, "pkg:golang/")
	switch {
	case npm:
		out.Do = "add it to package-lock.json: npm install --package-lock-only NAME"
	case golang:
		out.Do = "add it to go.sum: go get MODULE"
	}
	switch {
	case t.Fault != "":
		out.Why, out.Do = "what came was not what was promised", "find out why first: no exception admits it"
	case t.Zone != Fetch:
		out.Why = t.Zone.String() + " has no network, and fetch did not bring it"
	case npm || golang:
		out.Fix = &Allowance{Package: t.Target}
	}
}

// limit refuses more of a resource. A stage can be given twice as much.
func (out *Answer) limit(t Attempt) {
	out.Why = "a zone's resources are bounded"
	switch {
	case t.Fault != "":
		out.Do = "mend that first"
	case t.Target != "time" && t.Target != "memory" && t.Target != "disk" && t.Target != "pids":
		out.Do = "let the stage do less of it: this limit is the same for all"
	case t.Stage == "" && t.Target == "time":
		out.Do = "give it longer: sallyport exec --timeout"
	case t.Stage == "":
		out.Do = "let the command do less of it: exec has one bound for all"
	default:
		out.Fix = &Allowance{Stage: t.Stage, Limit: t.Target, UpTo: 2 * max(0, t.Amount)}
		more := "..."
		if t.Amount > 0 {
			more = out.Fix.Bound()
		}
		out.Do = "write below the stage in sallyport.yaml: limits: { " + t.Target + ": " + more + " }"
	}
}

// Remedy is what to do about the refusal of that id, in one line: mend the cause,
// or have the narrowest exception made.
func (a Answer) Remedy(id string) string {
	if a.Fix == nil {
		return a.Do
	}
	return a.Do + "; or sallyport allow " + id + " --reason \"...\""
}
