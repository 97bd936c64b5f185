package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
)

const (
	npmSum = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
	goSum  = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
)

func someAllowances() []boundary.Allowance {
	return []boundary.Allowance{
		{Package: "pkg:npm/%40acme/pad@1.0.0", Sum: npmSum, Reason: `says "why": yes # no`, Until: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)},
		{Package: "pkg:golang/mod.example/greet@v1.2.0", Sum: goSum, Reason: "r"},
		{Stage: "build", Limit: "memory", UpTo: 3 << 29, Reason: "r"},
		{Stage: "build", Limit: "time", UpTo: int64(90 * time.Second), Reason: "r"},
		{Stage: "build", Limit: "pids", UpTo: 5000, Reason: "r"},
	}
}

// What is appended reads back as it was meant, whatever stood before.
func TestAppendAllow(t *testing.T) {
	text, err := []byte("# ours\n"), error(nil)
	for i, a := range someAllowances() {
		if text, err = AppendAllow(text, a); err == nil && i == 0 {
			t.Fatal("added to a file that is no list")
		}
		if i == 0 {
			text, err = AppendAllow(nil, a)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := LoadAllow(AllowFile, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for i, want := range someAllowances() {
		if got[i].Line == 0 || !same(got[i], want) {
			t.Errorf("%+v, want %+v", got[i], want)
		}
	}
	schema := compile(t, AllowSchemaID, AllowSchema())
	if err := schema.Validate(plain(t, parse(newReport("", text), text))); err != nil {
		t.Error(err)
	}
	for _, odd := range []string{"version: 1\nallow: [{ package: pkg:npm/a@1.0.0, sum: " + npmSum + ", reason: r }]\n", "version: 2\nallow:\n", "version: 1\nallow:\n  - {}\n"} {
		if out, err := AppendAllow([]byte(odd), someAllowances()[0]); err == nil {
			t.Errorf("added to %q: %s", odd, out)
		}
	}
}

// What the file cannot say is not written as something else.
func TestAppendAllowSaysWhatIsMeant(t *testing.T) {
	late, odd := someAllowances()[0], someAllowances()[2]
	late.Until = late.Until.Add(10 * time.Hour)
	odd.UpTo++
	for _, a := range []boundary.Allowance{late, odd} {
		if out, err := AppendAllow(nil, a); err == nil {
			t.Errorf("%+v is written as\n%s", a, out)
		}
	}
}

func TestLoadAllowRefuses(t *testing.T) {
	schema := compile(t, AllowSchemaID, AllowSchema())
	for name, c := range map[string]struct {
		entry, want string
		meaning     bool // a schema cannot say it
	}{
		"no version of a package":    {"package: pkg:npm/a, sum: " + npmSum + ", reason: r", "package URL with a version", false},
		"any version":                {"package: pkg:npm/a@*@1, sum: " + npmSum + ", reason: r", "package URL", false},
		"another ecosystem":          {"package: pkg:cargo/a@1.0.0, sum: " + npmSum + ", reason: r", "package URL", false},
		"no checksum":                {"package: pkg:npm/a@1.0.0, reason: r", "package and sum", false},
		"a weak checksum":            {"package: pkg:npm/a@1.0.0, sum: sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=, reason: r", "checksum", false},
		"the other's checksum":       {"package: pkg:npm/a@1.0.0, sum: \"" + goSum + "\", reason: r", "not of that ecosystem", true},
		"no reason":                  {"package: pkg:npm/a@1.0.0, sum: " + npmSum, `"reason" is missing`, false},
		"both":                       {"package: pkg:npm/a@1.0.0, sum: " + npmSum + ", stage: build, reason: r", "package and sum", false},
		"a limit of no stage":        {"limit: time, up_to: 4m, reason: r", "stage, limit and up_to", false},
		"another unit":               {"stage: build, limit: time, up_to: 4GiB, reason: r", "no length of time", true},
		"no amount":                  {"stage: build, limit: pids, up_to: lots, reason: r", "", false},
		"a limit that is nobody's":   {"stage: build, limit: output, up_to: 4GiB, reason: r", "no limit", false},
		"a day that there is not":    {"package: pkg:npm/a@1.0.0, sum: " + npmSum + ", reason: r, until: 2027-02-30", "no day", true},
		"a time":                     {"package: pkg:npm/a@1.0.0, sum: " + npmSum + ", reason: r, until: 2027-02-03T10:00:00Z", "no day", false},
		"a host":                     {"host: registry.example, reason: r", "no key", false},
		"a reason of several lines":  {"package: pkg:npm/a@1.0.0, sum: " + npmSum + ", reason: \"r\\ns\"", "reason", false},
		"a stage name that is none":  {"stage: \"*\", limit: time, up_to: 4m, reason: r", "stage name", false},
		"nothing at all, only words": {"reason: r", "package and sum", false},
	} {
		text := []byte("version: 1\nallow:\n  - { " + c.entry + " }\n")
		_, err := LoadAllow(AllowFile, text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if ok := schema.Validate(plain(t, parse(newReport("", text), text))) == nil; ok != c.meaning {
			t.Errorf("%s: the schema takes it: %v", name, ok)
		}
	}
}

// Exceptions give what they name to whom they name, while they are in force.
func TestExcept(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	p := &Pipeline{Stages: []Stage{
		{Name: "build", Zone: boundary.Build, Limits: Limits{Memory: 1 << 30, Time: time.Hour}},
		{Name: "test", Zone: boundary.Test}, {Name: "verify", Zone: boundary.Verify},
	}}
	list := append(someAllowances(),
		boundary.Allowance{Stage: "verify", Limit: "memory", UpTo: 1 << 40},
		boundary.Allowance{Stage: "test", Limit: "memory", UpTo: 1 << 40, Until: now},
		boundary.Allowance{Package: "pkg:npm/b@1.0.0", Sum: npmSum, Until: now})
	p.Except(list, now)
	want := []Limits{{Memory: 3 << 29, Time: time.Hour, PIDs: 5000}, {}, {}}
	for i, s := range p.Stages {
		if s.Limits != want[i] {
			t.Errorf("%s: %+v, want %+v", s.Name, s.Limits, want[i])
		}
	}
	if n := len(p.Gateway.Allow); n != 2 {
		t.Errorf("%d packages are let in: %+v", n, p.Gateway.Allow)
	}
}

func TestBoundsReadBack(t *testing.T) {
	for _, limit := range []string{"time", "memory", "disk", "pids"} {
		for _, n := range []int64{1, 1000, 1 << 20, 1<<20 + 1, 90 << 30, 16 << 30 * 2, int64(time.Hour), int64(50 * time.Hour), 99999} {
			if limit == "pids" && n > maxProcesses {
				continue
			}
			a := boundary.Allowance{Limit: limit, UpTo: n}
			got, err := ParseBound(limit, a.Bound())
			if err != nil || got < n || float64(got) > 1.1*float64(n)+float64(time.Second) {
				t.Errorf("%s of %d is written %s, read %d, %v", limit, n, a.Bound(), got, err)
			}
		}
	}
}
