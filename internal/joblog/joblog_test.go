package joblog

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"testing"
)

// obeyed is what runners do: an independent statement of the rule.
var obeyed = regexp.MustCompile(`(?m)(^|[\r\n])[\s\x{85}\x{a0}\x{2000}-\x{200a}\x{3000}]*::|##\[|##vso\[|##teamcity\[`)

func through(text string, cut func() int) string {
	var out bytes.Buffer
	w := NewWriter(&out)
	for len(text) > 0 {
		n := min(len(text), cut())
		if _, err := w.Write([]byte(text[:n])); err != nil {
			panic(err)
		}
		text = text[n:]
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
	return out.String()
}

func TestWriter(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n":                     "plain\n",
		"::add-path::/x\n":            "\\::add-path::/x\n",
		"  \t::set-env name=A::b":     "  \t\\::set-env name=A::b",
		"a::b ::c\n":                  "a::b ::c\n",
		": :\n:\n::\n":                ": :\n:\n\\::\n",
		"x ##vso[task.complete]":      "x #\\#vso[task.complete]",
		"###vso[a] ####[b]":           "##\\#vso[a] ###\\#[b]",
		"## heading\n##\n# c ##vs":    "## heading\n##\n# c ##vs",
		"##vs##vso[x]":                "##vs#\\#vso[x]",
		"\r::x":                       "\r\\::x",
		"##teamcity[buildNumber '1']": "#\\#teamcity[buildNumber '1']",
		":##[x":                       ":#\\#[x",
		"\u00a0\u2003::x":             "\u00a0\u2003\\::x",
	} {
		for n := range 4 {
			if got := through(in, func() int { return n + 1 }); got != want {
				t.Errorf("%q in pieces of %d gives %q, not %q", in, n+1, got, want)
			}
		}
	}
}

// Whatever is written in whatever pieces, nothing that a runner obeys comes out,
// and nothing is lost but what Disarm adds.
func TestWriterLetsNoCommandThrough(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []byte("::::####[[vsoteamcity \n\r\tx\\")
	for range 20000 {
		text := make([]byte, r.IntN(40))
		for i := range text {
			text[i] = alphabet[r.IntN(len(alphabet))]
		}
		got := through(string(text), func() int { return 1 + r.IntN(5) })
		if obeyed.MatchString(got) {
			t.Fatalf("%q became %q, which a runner obeys", text, got)
		}
		if !obeyed.Match(text) && got != string(text) {
			t.Fatalf("%q became %q", text, got)
		}
	}
}

func TestDisarm(t *testing.T) {
	for in, want := range map[string]string{"a": "a", " ::x": ` \::x`, "y ##[z]": `y #\#[z]`, "##teamcity[x]": `#\#teamcity[x]`, "## x": "## x"} {
		if got := Disarm(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}

func TestObeyed(t *testing.T) {
	env := map[string]string{}
	lookup := func(n string) (string, bool) { v, ok := env[n]; return v, ok }
	if Obeyed(lookup) {
		t.Error("no runner here")
	}
	env["GITHUB_ACTIONS"] = "false"
	if Obeyed(lookup) {
		t.Error("it says that it is none")
	}
	env["TF_BUILD"] = "True"
	if !Obeyed(lookup) {
		t.Error("Azure's runner is not known")
	}
}
