package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
)

var update = flag.Bool("update", false, "write what is wanted from what is got")

func authority(s string) boundary.Authority {
	a, err := boundary.ParseAuthority(s)
	if err != nil {
		panic(err)
	}
	return a
}

// native is the graph of a small pipeline that breaks no rule.
func native() boundary.Graph {
	return boundary.Graph{
		Nodes: []boundary.Node{
			{ID: "source", Taints: []boundary.Taint{{Why: "the project's own code: nobody here verified it"}}},
			{ID: "packages", Taints: []boundary.Taint{{Why: "other people's code, as web/package-lock.json, go.sum names it"}}},
			{ID: "fetch", Zone: boundary.Fetch, Routes: []boundary.Route{{Host: "gateway", Gateway: true}}, Holds: []boundary.Holding{{Authority: authority("fetch:npm")}}, Taints: []boundary.Taint{{Why: "runs npm ci --ignore-scripts --no-audit --no-fund"}}},
			{ID: "build", Zone: boundary.Build, Holds: []boundary.Holding{{Authority: boundary.ProjectCode()}}, Taints: []boundary.Taint{{Why: "runs one"}, {Why: "runs two"}, {Why: "runs three"}, {Why: "runs four"}}},
			{ID: "verify", Zone: boundary.Verify, Code: []boundary.Code{{Name: "sallyport", Pinned: true}}},
			{ID: "release", Zone: boundary.Release, Holds: []boundary.Holding{{Authority: authority("sign:release"), Identity: "key"}}, Routes: []boundary.Route{{Host: "registry.example"}}},
		},
		Flows: []boundary.Flow{
			{From: "source", To: "build", Kind: boundary.KindSource, Name: "tree", Digest: "source:tree"},
			{From: "source", To: "fetch", Kind: boundary.KindSource, Name: "tree", Digest: "source:tree"},
			{From: "packages", To: "fetch", Kind: boundary.KindPackage, Name: "npm", Digest: "materials:npm"},
			{From: "fetch", To: "build", Kind: boundary.KindTree, Name: "node_modules", Digest: "fetch:node_modules"},
			{From: "build", To: "verify", Kind: boundary.KindArtifact, Name: "server", Digest: "build:server"},
			{From: "verify", To: "release", Kind: boundary.KindArtifact, Name: "server", Digest: "build:server"},
		},
		Gates:      []boundary.Gate{{Judge: "verify", Subject: "build:server", Verdict: true, Approvals: boundary.Approvals{Count: 2, ByDigest: true}}},
		Identities: []boundary.Identity{{ID: "key", Revoked: true}},
	}
}

// workflow is a CI job in which everything meets.
func workflow() boundary.Graph {
	at := func(line int) boundary.Place { return boundary.Place{File: "release.yml", Line: line} }
	return boundary.Graph{
		Nodes: []boundary.Node{
			{ID: "test", Title: "npm test", Zone: boundary.Test, Domain: "job test", Routes: []boundary.Route{{Host: "*"}}, Taints: []boundary.Taint{{Why: "runs npm test", Where: at(9)}}},
			{ID: "r1", Title: "npm ci && npm run build", Zone: boundary.Release, Domain: "job release", Identity: "repo", Taints: []boundary.Taint{{Why: "runs npm ci", Where: at(21)}}},
			{ID: "r2", Title: "npm publish", Zone: boundary.Release, Domain: "job release", Identity: "repo", Code: []boundary.Code{{Name: "actions/setup-node@v4"}}, Holds: []boundary.Holding{{Authority: authority("publish:npm"), Identity: "NPM_TOKEN", Enters: "step environment", Where: at(25)}}},
		},
		Flows:      []boundary.Flow{{From: "test", To: "r1", Kind: boundary.KindCache, Name: "~/.npm", Where: at(19)}},
		Identities: []boundary.Identity{{ID: "NPM_TOKEN", TTL: 24 * time.Hour}},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs: look at it, then run the test with -update\n%s", file, got)
	}
}

func TestGolden(t *testing.T) {
	for name, g := range map[string]boundary.Graph{"native": native(), "workflow": workflow(), "empty": {}} {
		crossings := boundary.Check(g)
		o := Options{Title: name}
		golden(t, name+".svg", SVG(g, crossings, o))
		golden(t, name+".mmd", []byte(Mermaid(g, crossings, o)))
		golden(t, name+".dot", []byte(DOT(g, crossings, o)))
	}
}

// texts are the texts of an SVG; reading it also shows that it is well-formed.
func texts(t *testing.T, svg []byte) []string {
	t.Helper()
	var out []string
	dec := xml.NewDecoder(bytes.NewReader(svg))
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch tok := tok.(type) {
		case xml.CharData:
			out = append(out, string(tok))
		case xml.StartElement:
			if !slices.Contains([]string{"svg", "title", "desc", "style", "defs", "pattern", "line", "rect", "path", "text", "tspan", "g"}, tok.Name.Local) {
				t.Errorf("an element of someone else's: %s", tok.Name.Local)
			}
			for _, a := range tok.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "javascript:") {
					t.Errorf("an attribute that acts: %s", a.Name.Local)
				}
			}
		}
	}
}

// Every text of a graph is foreign. None may become markup, in any format.
func TestHostileText(t *testing.T) {
	evil := "</text><script>alert(1)</script>\"]; x -> y; `\n--\x1b[2J\u202e %%{init}%% &lt; #quot; end\\"
	g := boundary.Graph{
		Nodes: []boundary.Node{
			{ID: evil, Title: evil, Zone: boundary.Build, Domain: evil, Taints: []boundary.Taint{{Why: evil}}, Code: []boundary.Code{{Name: evil}}, Routes: []boundary.Route{{Host: evil}}},
			{ID: "b", Zone: boundary.Release, Domain: evil + "2", Holds: []boundary.Holding{{Authority: boundary.Authority{Verb: "sign", Object: evil}, Enters: evil, Where: boundary.Place{File: evil, Line: 1}}}},
		},
		Flows: []boundary.Flow{{From: evil, To: "b", Kind: boundary.Kind(evil), Name: evil, Digest: boundary.Ref(evil)}},
		Gates: []boundary.Gate{{Judge: evil, Subject: boundary.Ref(evil), Verdict: true}},
	}
	o := Options{Title: evil}
	crossings := boundary.Check(g)
	svg := SVG(g, crossings, o)
	if joined := strings.Join(texts(t, svg), ""); strings.ContainsAny(joined, "\x1b\u202e") {
		t.Error("a character that hides or commands is in the SVG")
	}
	for _, line := range strings.Split(Mermaid(g, crossings, o), "\n") {
		if strings.Contains(line, "script>") || strings.Contains(line, "%%{") || strings.Count(line, `"`)%2 != 0 || strings.Contains(line, "`") {
			t.Errorf("Mermaid: %s", line)
		}
	}
	for _, line := range strings.Split(DOT(g, crossings, o), "\n") {
		bare := strings.ReplaceAll(strings.ReplaceAll(line, `\\`, ""), `\"`, "")
		if strings.Count(bare, `"`)%2 != 0 || strings.ContainsAny(line, "\x1b\u202e") {
			t.Errorf("DOT: %s", line)
		}
	}
}

func TestSameGraphSameBytes(t *testing.T) {
	g := native()
	a := SVG(g, nil, Options{})
	slices.Reverse(g.Gates)
	if b := SVG(g, nil, Options{}); !bytes.Equal(a, b) {
		t.Error("two drawings of one graph differ")
	}
}

func TestWhatThePictureSays(t *testing.T) {
	all := strings.Join(texts(t, SVG(workflow(), boundary.Check(workflow()), Options{})), "\n")
	for _, want := range []string{"SP1", "SP3", "SP4", "SP5", "SP6", "SP7", "SP8", "cache ~/.npm, by name", "publish:npm", "actions/setup… (not pinned)", "any host", "in", "reaches the network", "release.yml:25"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in the picture", want)
		}
	}
	all = strings.Join(texts(t, SVG(native(), nil, Options{})), "\n")
	for _, want := range []string{"no crossing", "2 approvals", "and 1 more", "source, by digest", "npm packages, by digest", "gate: build:server passes with verdict + 2 approvals, for that very digest"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in the picture", want)
		}
	}
}

func TestDemand(t *testing.T) {
	for want, g := range map[string]boundary.Gate{
		"nothing demanded": {},
		"verdict":          {Verdict: true},
		"1 approval":       {Approvals: boundary.Approvals{Count: 1, ByDigest: true}},
		"verdict + 2 approvals + not for this digest": {Verdict: true, Approvals: boundary.Approvals{Count: 2}},
	} {
		if got := demand(g); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Many crossings and gates do not make a picture without end.
func TestLongLists(t *testing.T) {
	g := native()
	for i := range 40 {
		id := strings.Repeat("x", i+1)
		g.Nodes = append(g.Nodes, boundary.Node{ID: id, Zone: boundary.Build, Domain: "d", Taints: []boundary.Taint{{Why: "w"}}, Holds: []boundary.Holding{{Authority: authority("secret:a")}}})
		g.Gates = append(g.Gates, boundary.Gate{Judge: "verify", Subject: boundary.Ref(id), Verdict: i%2 == 0})
	}
	all := strings.Join(texts(t, SVG(g, boundary.Check(g), Options{})), "\n")
	for _, want := range []string{"more crossings", "more gates", "see below"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in the picture", want)
		}
	}
}
