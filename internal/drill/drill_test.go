package drill

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "neighbour" {
		if err := Neighbour(os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func options(t *testing.T) Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return NewOptions(t.Context(), t.TempDir(), self, "neighbour")
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

// A canary is found in whatever form it leaves.
func TestOracle(t *testing.T) {
	k := newKit()
	secret := []byte("x=1\nTOKEN=" + k[Env] + "\nmore")
	b64 := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
	wrapped := func(b []byte) []byte {
		var out []byte
		for line := range slices.Chunk(b64(b), 60) {
			out = append(append(out, line...), '\n')
		}
		return out
	}
	back := func(b []byte) []byte { b = bytes.Clone(b); slices.Reverse(b); return b }
	forms := map[string][]byte{
		"raw": secret, "reversed": back(secret), "hex": []byte(hex.EncodeToString(secret)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(secret))),
		"base64": b64(secret), "base64 in lines": wrapped(secret), "base64 twice": b64(b64(secret)), "base64 twice in lines": wrapped(wrapped(secret)),
		"base64 for addresses": []byte(base64.RawURLEncoding.EncodeToString(secret)), "gzip": zipped(secret), "base64 of gzip": b64(zipped(secret)),
		"gzip of hex": zipped([]byte(hex.EncodeToString(secret))), "base64 of reversed": b64(back(secret)), "reversed base64": back(b64(secret)),
		"hex with dots": []byte(strings.Join(strings.SplitAfter(hex.EncodeToString(secret), "5"), ".")),
	}
	for shift := range 4 {
		forms[fmt.Sprintf("base64 from %d", shift)] = b64(append(bytes.Repeat([]byte("z"), shift), secret...))
		forms[fmt.Sprintf("base64 after %d letters", shift)] = append(bytes.Repeat([]byte("z"), shift), b64(secret)...)
	}
	for name, b := range forms {
		in := slices.Concat([]byte("before\n"), b, []byte("\nafter"))
		if name == "gzip" || name == "gzip of hex" {
			in = b
		}
		if got := k.find(in); !slices.Equal(got, []Source{Env}) {
			t.Errorf("%s: found %v", name, got)
		}
	}
	if got := newKit().find(slices.Concat(secret, b64(secret), zipped(secret))); len(got) > 0 {
		t.Errorf("another kit's canaries were found: %v", got)
	}
}

// The verdict is never better than what was seen.
func TestJudge(t *testing.T) {
	held := func(in ...*World) func(w *World) bool { return func(w *World) bool { return slices.Contains(in, w) } }
	for name, c := range map[string]struct {
		kind             Kind
		control, subject bool // the link held
		ran              bool
		stray            string
		said             string
		want             Outcome
		stops            int
	}{
		"stopped":                     {Theft, true, false, true, "", "", Stopped, 1},
		"leaked":                      {Theft, true, true, true, "", "", Leaked, 0},
		"leaked without a mark":       {Theft, true, true, false, "", "", Leaked, 0},
		"effect":                      {Harm, true, true, true, "", "", Effect, 0},
		"bounded":                     {Bound, true, true, true, "", "", Bounded, 0},
		"the control shows nothing":   {Theft, false, false, true, "", "", NotRun, 0},
		"control nothing, but leaked": {Theft, false, true, true, "", "", Leaked, 0},
		"nothing shows that it ran":   {Theft, true, false, false, "", "", NotRun, 1},
		"refused by name":             {Theft, true, false, false, "", "error[E-CODE]: no", Stopped, 1},
		"refused by another name":     {Theft, true, false, false, "", "error[E-OTHER]: no", NotRun, 1},
		"something else changed":      {Theft, true, false, true, "cache/x", "", Effect, 1},
		"the checkout changed":        {Theft, true, false, true, "src/x", "", Stopped, 1},
		"a way alone is no harm":      {Way, true, true, true, "", "", NotRun, 0},
		"a way that is shut, no harm": {Way, true, false, true, "", "", NotRun, 1},
	} {
		t.Run(name, func(t *testing.T) {
			control, subject := &World{mark: "m", sinks: &sinks{}}, &World{mark: "m", sinks: &sinks{}, strict: true}
			subject.steps.WriteString(c.said)
			if c.ran {
				subject.log.WriteString("drill: m\n")
			}
			if c.stray != "" {
				subject.note(c.stray)
			}
			var in []*World
			if c.control {
				in = append(in, control)
			}
			if c.subject {
				in = append(in, subject)
			}
			one := Case{Name: name, Refused: []string{"E-CODE"}}
			a := Attack{ID: "X", Technique: "X", Links: []Link{{"does it", "a wall", c.kind, held(in...)}}}
			r := one.judge(&a, control, subject)
			if r.Outcome != c.want || len(r.Stops) != c.stops {
				t.Errorf("%s with %v, not %s: %s", r.Outcome, r.Stops, c.want, r.Why)
			}
			if c.want == Bounded && !r.Good() || c.want == Leaked && r.Good() {
				t.Error("good and bad are mixed up")
			}
		})
	}
}

// What came through is a no; what could not be told is no yes, unless another
// replay of the same technique could.
func TestSummary(t *testing.T) {
	for name, c := range map[string]struct {
		results        []Result
		broke, unknown bool
	}{
		"all stopped":           {[]Result{{Technique: "R01", Outcome: Stopped}, {Technique: "R34", Outcome: Bounded}}, false, false},
		"one leaked":            {[]Result{{Technique: "R01", Outcome: Stopped}, {Technique: "R01", Outcome: Leaked}}, true, false},
		"one of a technique":    {[]Result{{Technique: "R06", Outcome: NotRun}, {Technique: "R06", Outcome: Stopped}}, false, false},
		"a technique not run":   {[]Result{{Technique: "R01", Outcome: Stopped}, {Technique: "G7", Outcome: NotRun}}, false, true},
		"an incident not run":   {[]Result{{Technique: "xz", Outcome: NotRun}}, false, true},
		"an effect and unknown": {[]Result{{Technique: "R01", Outcome: Effect}, {Technique: "xz", Outcome: NotRun}}, true, true},
	} {
		if s := Summarize(c.results); s.Broke() != c.broke || s.Unknown() != c.unknown {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// In a whole run nothing in the checkout may change either.
func TestStraysOfAWholeRun(t *testing.T) {
	w := &World{strict: true, whole: true}
	w.note("src/x")
	w.whole = false
	w.note("src/y")
	if !slices.Equal(w.strays, []string{"changes src/x"}) || !w.has("src/y") {
		t.Errorf("%v of %v", w.strays, w.changed)
	}
}

// The suite has every technique of the catalogue, and each can fail.
func TestSuiteIsWhole(t *testing.T) {
	ids, techniques, tongues := map[string]bool{}, map[string]bool{}, map[string]map[string]bool{}
	for _, c := range Suite() {
		for _, a := range c.Attacks {
			if ids[a.ID] {
				t.Errorf("%s is there twice", a.ID)
			}
			ids[a.ID], techniques[a.Technique] = true, true
			if tongues[a.Technique] == nil {
				tongues[a.Technique] = map[string]bool{}
			}
			tongues[a.Technique][c.Tongue] = true
			if !slices.ContainsFunc(a.Links, func(l Link) bool { return l.Kind != Way }) {
				t.Errorf("%s has no link that does harm: it cannot fail", a.ID)
			}
		}
	}
	for n := range 35 {
		if name := fmt.Sprintf("R%02d", n+1); !techniques[name] {
			t.Errorf("no case for %s", name)
		}
	}
	for n := range 15 {
		if name := fmt.Sprintf("G%d", n+1); !techniques[name] {
			t.Errorf("no case for %s", name)
		}
	}
	if n := len(incidentCases()); n != 12 {
		t.Errorf("%d incidents", n)
	}
	for _, c := range incidentCases() {
		if a := c.Attacks[0]; len(a.Story) < 3 || len(a.Links) < 2 {
			t.Errorf("%s tells no story", a.ID)
		}
	}
	for _, b := range behaviours() {
		if len(tongues[b.technique]) < 3 {
			t.Errorf("%s is replayed in %d tongues", b.technique, len(tongues[b.technique]))
		}
	}
}

func TestChoose(t *testing.T) {
	cs, err := Choose([]string{"r22", "R34"})
	if err != nil || len(List(cs)) != 3 {
		t.Errorf("%v, %v", List(cs), err)
	}
	if _, err := Choose([]string{"R22", "nothing"}); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("an attack that is not there: %v", err)
	}
}

// Where nothing stops it, the drill says so: a plain job loses.
func TestPlainLoses(t *testing.T) {
	cases, err := Choose([]string{"R22.cache", "R29.exec", "R34", "R10.python", "R11.python"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Outcome{"R22.cache": Leaked, "R29.exec": Effect, "R34": Bounded, "R10.python": Leaked, "R11.python": Leaked}
	for i := range cases {
		rs, err := Run(t.Context(), &cases[i], options(t), Plain{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if r.Outcome != want[r.ID] || r.Control != Shown {
				t.Errorf("%s: %s (%s), control %s", r.ID, r.Outcome, r.Why, r.Control)
			}
		}
	}
}

// What a hostile step printed is shown without anything that a terminal obeys.
func TestLastLine(t *testing.T) {
	w := &World{}
	w.log.WriteString("first\nlast \x1b]0;x\x07\u009b31m" + strings.Repeat("y", 500))
	if got := w.lastLine(); strings.ContainsAny(got, "\x1b\x07\u009b") || len(got) > 210 || !strings.HasPrefix(got, "last ") {
		t.Errorf("%q", got)
	}
}

func FuzzViews(f *testing.F) {
	f.Add([]byte("QkFDS0RPT1I="), "x")
	f.Add(zipped([]byte("abc")), "y")
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		k := kit{Env: "token-" + s}
		if bytes.Contains(b, []byte(k[Env])) != slices.Contains(k.find(b), Env) && bytes.Contains(b, []byte(k[Env])) {
			t.Error("a raw canary is not found")
		}
	})
}
