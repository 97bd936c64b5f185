package boundary

import (
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func noon() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) }

func TestDecide(t *testing.T) {
	left := Allowance{Package: "pkg:npm/left-pad@1.3.0", Sum: "sha512-x", Reason: "r"}
	longer := Allowance{Stage: "build", Limit: "time", UpTo: 10, Reason: "r"}
	expired := left
	expired.Until = noon()
	for name, c := range map[string]struct {
		tried   Attempt
		allowed []Allowance
		want    bool
		rule    Rule
		fix     string // what the narrowest fix admits; empty: there is none
	}{
		"a package by version":             {Attempt{Class: ClassPackage, Zone: Fetch, Target: "pkg:npm/left-pad@1.3.0"}, []Allowance{left}, true, "", ""},
		"the question for its versions":    {Attempt{Class: ClassPackage, Zone: Fetch, Target: "pkg:npm/left-pad"}, []Allowance{left}, true, "", ""},
		"another version":                  {Attempt{Class: ClassPackage, Zone: Fetch, Target: "pkg:npm/left-pad@1.3.1"}, []Allowance{left}, false, SP3, "pkg:npm/left-pad@1.3.1"},
		"a name that begins like it":       {Attempt{Class: ClassPackage, Zone: Fetch, Target: "pkg:npm/left"}, []Allowance{left}, false, SP3, "pkg:npm/left"},
		"an expired exception":             {Attempt{Class: ClassPackage, Zone: Fetch, Target: "pkg:npm/left-pad@1.3.0"}, []Allowance{expired}, false, SP3, "pkg:npm/left-pad@1.3.0"},
		"no package of an ecosystem":       {Attempt{Class: ClassPackage, Zone: Fetch, Target: "/index.html"}, nil, false, SP3, ""},
		"a package with a wrong checksum":  {Attempt{Class: ClassPackage, Zone: Fetch, Target: "pkg:npm/left-pad@1.3.0", Fault: "gw-checksum"}, []Allowance{left}, false, SP3, ""},
		"a package in another zone":        {Attempt{Class: ClassPackage, Zone: Build, Target: "pkg:npm/left-pad@1.3.0"}, []Allowance{left}, false, SP3, ""},
		"more time":                        {Attempt{Class: ClassLimit, Zone: Build, Stage: "build", Target: "time", Amount: 5}, []Allowance{longer}, true, "", ""},
		"more than the exception":          {Attempt{Class: ClassLimit, Zone: Build, Stage: "build", Target: "time", Amount: 10}, []Allowance{longer}, false, SP3, "more time for stage build"},
		"another stage":                    {Attempt{Class: ClassLimit, Zone: Build, Stage: "lint", Target: "time", Amount: 5}, []Allowance{longer}, false, SP3, "more time for stage lint"},
		"a limit of a confined command":    {Attempt{Class: ClassLimit, Zone: Build, Target: "time", Amount: 5}, []Allowance{longer}, false, SP3, ""},
		"a limit that is the same for all": {Attempt{Class: ClassLimit, Zone: Build, Stage: "build", Target: "output", Amount: 5}, nil, false, SP3, ""},
		"a limit of a privileged zone":     {Attempt{Class: ClassLimit, Zone: Release, Stage: "build", Target: "time", Amount: 5}, []Allowance{longer}, false, SP5, ""},
		"a network":                        {Attempt{Class: ClassNet, Zone: Build, Stage: "build", Target: "192.0.2.1:443"}, []Allowance{left, longer}, false, SP3, ""},
		"a file":                           {Attempt{Class: ClassFile, Zone: Build, Stage: "build", Target: "/etc/x"}, []Allowance{left, longer}, false, SP3, ""},
		"what is trusted later":            {Attempt{Class: ClassFile, Zone: Build, Target: ".git/hooks/x", Fault: "trusted-later"}, nil, false, SP8, ""},
		"a credential":                     {Attempt{Class: ClassCanary, Zone: Build, Target: "file"}, nil, false, SP1, ""},
		"something new":                    {Attempt{Class: "syscall", Zone: Build, Target: "bpf"}, []Allowance{left, longer}, false, SP3, ""},
		"nothing at all":                   {Attempt{}, []Allowance{{}}, false, SP5, ""},
	} {
		got := Decide(c.tried, c.allowed, noon())
		fix := ""
		if got.Fix != nil {
			fix = got.Fix.String()
		}
		if got.Allowed != c.want || got.Rule != c.rule || fix != c.fix {
			t.Errorf("%s: allowed %v by %s, fix %q; want %v, %s, %q", name, got.Allowed, got.Rule, fix, c.want, c.rule, c.fix)
		}
		if got.Why == "" || !got.Allowed && got.Fix == nil && got.Do == "" && c.tried.Class != "syscall" {
			t.Errorf("%s: not explained: %+v", name, got)
		}
	}
}

func TestExpiredSaysSo(t *testing.T) {
	until := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	got := Decide(Attempt{Class: ClassPackage, Zone: Fetch, Target: "pkg:npm/a@1.0.0"}, []Allowance{{Package: "pkg:npm/a@1.0.0", Until: until}}, until)
	if got.Allowed || got.Expired == nil || !strings.Contains(got.Why, "ran out on 2026-11-25") {
		t.Errorf("%+v", got)
	}
}

// attempts are drawn from few values, so that exceptions meet them often.
func drawAttempt(r *rand.Rand) Attempt {
	pick := func(s ...string) string { return s[r.Intn(len(s))] }
	return Attempt{
		Class: Class(pick("net", "package", "file", "limit", "canary", "other")), Zone: Zone(r.Intn(9)), Stage: pick("", "build", "test"),
		Target: pick("pkg:npm/a", "pkg:npm/a@1.0.0", "pkg:npm/a@2.0.0", "pkg:npm/ab@1.0.0", "pkg:golang/a@v1.0.0", "192.0.2.1:443", "time", "memory", "output", ""),
		Amount: int64(r.Intn(4)), Fault: pick("", "", "", "gw-checksum"),
	}
}

func drawAllowance(r *rand.Rand) Allowance {
	pick := func(s ...string) string { return s[r.Intn(len(s))] }
	return Allowance{
		Package: pick("", "pkg:npm/a@1.0.0", "pkg:npm/ab@1.0.0", "pkg:golang/a@v1.0.0"), Stage: pick("", "build", "test"),
		Limit: pick("", "time", "memory", "output"), UpTo: int64(r.Intn(4)), Until: noon().Add(time.Duration(r.Intn(3)-1) * time.Hour),
	}
}

// One more exception never admits anything but what it names, and nothing in
// the zones that no exception reaches.
func TestAllowanceAdmitsOnlyWhatItNames(t *testing.T) {
	admitted := 0
	err := quick.Check(func(t Attempt, before []Allowance, one Allowance) bool {
		first := Decide(t, before, noon())
		then := Decide(t, append(before[:len(before):len(before)], one), noon())
		if first.Allowed && !then.Allowed {
			return false
		}
		if first.Allowed || !then.Allowed {
			return true
		}
		admitted++
		byName := t.Class == ClassPackage && t.Zone == Fetch && (one.Package == t.Target || strings.HasPrefix(one.Package, t.Target+"@"))
		byLimit := t.Class == ClassLimit && one.Stage == t.Stage && one.Stage != "" && one.Limit == t.Target && t.Amount < one.UpTo
		return *then.By == one && one.Until.After(noon()) && t.Fault == "" && t.Zone >= Fetch && t.Zone < Verify && (byName || byLimit)
	}, &quick.Config{MaxCount: 200_000, Values: func(v []reflect.Value, r *rand.Rand) {
		before := make([]Allowance, r.Intn(3))
		for i := range before {
			before[i] = drawAllowance(r)
		}
		v[0], v[1], v[2] = reflect.ValueOf(drawAttempt(r)), reflect.ValueOf(before), reflect.ValueOf(drawAllowance(r))
	}})
	if err != nil || admitted < 50 {
		t.Errorf("%v; %d attempts were admitted", err, admitted)
	}
}

// What is proposed admits the very attempt that it was proposed for.
func TestFixAdmitsTheAttempt(t *testing.T) {
	err := quick.Check(func(t Attempt) bool {
		got := Decide(t, nil, noon())
		if got.Fix == nil {
			return true
		}
		fix := *got.Fix
		if fix.Limit != "" && fix.UpTo == 0 {
			fix.UpTo = t.Amount + 1
		}
		if fix.Package != "" && versionless(fix.Package) {
			fix.Package += "@1.0.0"
		}
		return Decide(t, []Allowance{fix}, noon()).Allowed
	}, &quick.Config{MaxCount: 20_000, Values: func(v []reflect.Value, r *rand.Rand) { v[0] = reflect.ValueOf(drawAttempt(r)) }})
	if err != nil {
		t.Error(err)
	}
}
