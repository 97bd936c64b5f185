package boundary

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseAuthority(t *testing.T) {
	for _, s := range []string{"fetch:npm", "secret:NAME", "sign:KEY", "publish:registry.example/shop", "deploy:prod", "reach:host:443", "run:project-code"} {
		a, err := ParseAuthority(s)
		if err != nil || a.String() != s {
			t.Errorf("%s: %v %v", s, a, err)
		}
	}
	for _, s := range []string{"", "fetch", "fetch:", ":npm", "fetch:nmp", "run:anything", "own:all", "reach:*", "secret:a b", "secret:a\n", "secret:é", "publish:" + strings.Repeat("x", 600), "Sign:k"} {
		if a, err := ParseAuthority(s); err == nil {
			t.Errorf("%q is taken as %v", s, a)
		}
	}
}

func TestAuthorityJSON(t *testing.T) {
	var h Holding
	if err := json.Unmarshal([]byte(`{"authority":"sign:k"}`), &h); err != nil || h.Authority.String() != "sign:k" {
		t.Errorf("%v %v", h, err)
	}
	if err := json.Unmarshal([]byte(`{"authority":"sign"}`), &h); err == nil {
		t.Error("an authority without an object is taken")
	}
	if b, err := json.Marshal(h); err != nil || string(b) != `{"authority":"sign:k"}` {
		t.Errorf("%s %v", b, err)
	}
	if err := json.Unmarshal([]byte(`{"authority":""}`), &h); err != nil || h.Authority != (Authority{}) {
		t.Errorf("%v %v", h, err)
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, authority string
		want               bool
	}{
		{"reach:*", "reach:a", true}, {"reach:a*", "reach:ab", true}, {"reach:a*", "reach:b", false},
		{"reach:a", "reach:ab", false}, {"reach:a", "secret:a", false}, {"secret:NPM_*", "secret:NPM_TOKEN", true},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil || p.Matches(auth(c.authority)) != c.want || p.String() != c.pattern {
			t.Errorf("%+v: %v %v", c, p, err)
		}
	}
	anywhere, _ := ParsePattern("reach:b")
	if !anywhere.Matches(Authority{VerbReach, "*"}) {
		t.Error("who can reach anywhere can reach b")
	}
	for _, s := range []string{"reach:*a", "reach:**", "run:x*", "x:*"} {
		if _, err := ParsePattern(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestSPIFFE(t *testing.T) {
	id, err := SPIFFE("sallyport.local", "shop", Build, "compile.web_2")
	if err != nil || id != "spiffe://sallyport.local/shop/build/compile.web_2" {
		t.Errorf("%s %v", id, err)
	}
	for name, f := range map[string]func() (string, error){
		"upper-case domain":  func() (string, error) { return SPIFFE("Sallyport.local", "shop", Build, "b") },
		"empty domain":       func() (string, error) { return SPIFFE("", "shop", Build, "b") },
		"port":               func() (string, error) { return SPIFFE("a:1", "shop", Build, "b") },
		"long domain":        func() (string, error) { return SPIFFE(strings.Repeat("a", 256), "shop", Build, "b") },
		"empty project":      func() (string, error) { return SPIFFE("a", "", Build, "b") },
		"dot-dot":            func() (string, error) { return SPIFFE("a", "..", Build, "b") },
		"slash":              func() (string, error) { return SPIFFE("a", "shop", Build, "b/release") },
		"slash in project":   func() (string, error) { return SPIFFE("a", "shop/release", Build, "b") },
		"percent":            func() (string, error) { return SPIFFE("a", "sh%6fp", Build, "b") },
		"space":              func() (string, error) { return SPIFFE("a", "shop", Build, "b c") },
		"no zone":            func() (string, error) { return SPIFFE("a", "shop", 0, "b") },
		"zone there is not":  func() (string, error) { return SPIFFE("a", "shop", 8, "b") },
		"longer than 2048":   func() (string, error) { return SPIFFE("a", "shop", Build, strings.Repeat("b", 2040)) },
		"trailing slash":     func() (string, error) { return "", CheckSPIFFE("spiffe://a/") },
		"other scheme":       func() (string, error) { return "", CheckSPIFFE("https://a/b") },
		"upper-case scheme":  func() (string, error) { return "", CheckSPIFFE("SPIFFE://a/b") },
		"query":              func() (string, error) { return "", CheckSPIFFE("spiffe://a/b?c") },
		"user of the domain": func() (string, error) { return "", CheckSPIFFE("spiffe://u@a/b") },
	} {
		if id, err := f(); err == nil {
			t.Errorf("%s: %q is taken", name, id)
		}
	}
	if err := CheckSPIFFE("spiffe://trust.example"); err != nil {
		t.Errorf("a trust domain alone is an ID: %v", err)
	}
}

func TestZoneText(t *testing.T) {
	for _, z := range Zones() {
		b, err := z.MarshalText()
		var back Zone
		if err != nil || back.UnmarshalText(b) != nil || back != z {
			t.Errorf("%s does not come back", z)
		}
	}
	var z Zone
	if z.UnmarshalText([]byte("prod")) == nil || z.UnmarshalText(nil) != nil {
		t.Error("wants: prod refused, empty taken")
	}
	if Rule("SP1").Text() == "" || Rule("SP10").Text() != "" {
		t.Error("wants: nine rules, each with a text")
	}
}
