package script

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// render writes facts in the words of the tests, one line each:
//
//	T1 npm 2:3 floating: npm install -g x
//	act publish npm 3:1: npm publish
func render(f Facts) string {
	var b strings.Builder
	for _, e := range f.Events {
		fmt.Fprintf(&b, "%s %s %s%s: %s\n", tierName(e.Tier), dash(e.Ecosystem), at(e.Where), flags(e), e.Text)
	}
	for _, a := range f.Acts {
		word := string(a.Class)
		if a.Attests {
			word += "+attests"
		}
		if a.Verifies {
			word = "verifies"
		}
		if a.Object != "" {
			word += "(" + a.Object + ")"
		}
		fmt.Fprintf(&b, "act %s %s %s: %s\n", word, a.Tool, at(a.Where), a.Text)
	}
	for _, c := range f.Credentials {
		word := ""
		for _, class := range c.Classes {
			word += "+" + string(class)
		}
		if c.OnDisk {
			word += " disk"
		}
		if c.LongLived {
			word += " long"
		}
		fmt.Fprintf(&b, "credential %s %s%s %s\n", c.Name, c.Kind, word, at(c.Where))
	}
	for _, s := range f.Stores {
		fmt.Fprintf(&b, "store %s %s%s reads=%v writes=%v %s\n", s.Kind, s.Name, map[bool]string{true: "*"}[s.Prefix], s.Reads, s.Writes, at(s.Where))
	}
	for _, g := range f.Gaps {
		fmt.Fprintf(&b, "gap %s: %s\n", at(g.Where), g.Why)
	}
	return b.String()
}

func tierName(t ci.Tier) string {
	return map[ci.Tier]string{ci.Executes: "T1", ci.Compiles: "T2", ci.ThirdParty: "T3", ci.Steered: "T4"}[t]
}

func at(p ci.Place) string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func flags(e ci.Event) string {
	s := ""
	for _, f := range []struct {
		name string
		on   bool
	}{{"floating", e.Floating}, {"unsandboxed", e.Unsandboxed}, {"pinned", e.Pinned}, {"own", e.Own}} {
		if f.on {
			s += " " + f.name
		}
	}
	return s
}
