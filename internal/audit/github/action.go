package github

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/credential"
	"github.com/sallyport/sallyport/internal/audit/script"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// action adds what a published action is known to do beyond being somebody
// else's code.
func (s *stepReader) action(ref string, uses tree.Node) {
	full, _, _ := strings.Cut(strings.ToLower(ref), "@")
	name := full
	if p := strings.SplitN(full, "/", 3); len(p) == 3 {
		name = p[0] + "/" + p[1]
	}
	s.floating(name, ref)
	s.toolCache(full, name, uses)
	switch name {
	case "actions/checkout":
		s.checkout(uses)
	case "actions/cache":
		s.cache(strings.TrimPrefix(full, name), uses)
	case "actions/upload-artifact", "actions/upload-pages-artifact":
		s.upload(name, uses)
	case "actions/download-artifact", "dawidd6/action-download-artifact":
		s.download(uses)
	case "step-security/harden-runner":
		if s.input("egress-policy") == "block" {
			s.job.Mitigations = append(s.job.Mitigations, ci.Mitigation{Text: "harden-runner blocks other hosts", Where: uses.Place()})
		}
	case "actions/github-script":
		s.steered(s.n.Get("with", "script"))
	case "goreleaser/goreleaser-action":
		s.goreleaser(uses)
	case "docker/build-push-action", "docker/bake-action", "depot/build-push-action", "depot/bake-action":
		s.imageBuild(uses)
	}
	s.does(full, name, ref, uses)
	s.mints(name, uses)
	s.commands(name)
}

// does adds what the table says of an action.
func (s *stepReader) does(full, name, ref string, uses tree.Node) {
	for _, row := range doers() {
		if !named(row.actions, full, name) || row.when != nil && !row.when(s) {
			continue
		}
		if row.runs != "" {
			s.executes(uses, row.runs, row.why)
		}
		for _, class := range row.classes {
			s.out.Acts = append(s.out.Acts, ci.Act{Class: class, Text: ref, Tool: row.tool, Attests: row.attests, Verifies: row.verifies, Where: uses.Place()})
		}
	}
}

// named tells whether a row is about an action: by its path, or by its
// repository.
func named(actions []string, full, name string) bool {
	for _, a := range actions {
		if a == full || a == name {
			return true
		}
	}
	return false
}

// executes adds third-party code that the action starts.
func (s *stepReader) executes(uses tree.Node, ecosystem, why string) {
	e := ci.Event{Tier: ci.Executes, Text: uses.Text(), Why: why, Ecosystem: ecosystem, Where: uses.Place()}
	s.out.Events = append(s.out.Events, e)
	if s.headRunsHere() {
		s.headRuns(e)
	}
}

// commands reads the input of an action that is a command of the workflow.
func (s *stepReader) commands(name string) {
	for _, row := range runners() {
		if row.action != name {
			continue
		}
		if n := s.n.Get("with", row.input); n.IsText() {
			s.steered(n)
			s.shellText(n)
		}
	}
}

// perhaps is a flag that an expression turns on: what runs without it counts.
var perhaps = regexp.MustCompile(`--[a-z-]+=\$\{\{[^}]*\}\}`)

// goreleaser is the command that the action runs; its configuration is read
// where it is there.
func (s *stepReader) goreleaser(uses tree.Node) {
	args := perhaps.ReplaceAllString(strings.Join(strings.Fields(s.input("args")), " "), "")
	if args == "" || s.on("install-only") {
		return
	}
	f := s.scripts.Read(script.Source{Text: "goreleaser " + args, Place: uses.Place(), Flat: true, Shell: "bash", Dir: s.under(s.input("workdir"))})
	for i := range f.Events {
		f.Events[i].Text = uses.Text() + " " + args
	}
	for i := range f.Acts {
		f.Acts[i].Text, f.Acts[i].Tool = uses.Text()+" "+args, "goreleaser"
	}
	s.take(f)
}

// floating tells of tools whose version is whatever is newest.
func (s *stepReader) floating(name, ref string) {
	if strings.HasPrefix(name, "actions/setup-") {
		return // the language, not a tool of the build
	}
	for _, key := range []string{"version", "cosign-release", "tool", name[strings.IndexByte(name, '/')+1:] + "-version"} {
		v := s.input(key)
		if !movable(v) && (key != "tool" || !strings.Contains(v, "@latest")) {
			continue
		}
		s.out.Events = append(s.out.Events, ci.Event{
			Tier: ci.Compiles, Text: ref + " " + key + ": " + v, Why: "the tool is whatever is newest when the job runs", Ecosystem: "action", Floating: true, Where: s.place(key),
		})
		return
	}
}

// movable tells whether a version is another one tomorrow.
func movable(v string) bool {
	switch strings.ToLower(v) {
	case "latest", "nightly", "edge", "canary", "next", "stable-latest":
		return true
	}
	return strings.HasPrefix(v, "~>") || strings.HasPrefix(v, ">=") || strings.HasPrefix(v, "^")
}

// major is the first number of an action's version, by its tag or by the
// comment behind its commit; 0: not told.
func major(uses tree.Node) int {
	_, ref, _ := strings.Cut(uses.Text(), "@")
	if isCommit(ref) {
		line := uses.Line(uses.Place().Line)
		if _, ref, _ = strings.Cut(line, ref); ref != "" {
			ref = strings.TrimLeft(ref, "\"' #\t")
		}
	}
	digits := strings.TrimPrefix(ref, "v")
	if end := strings.IndexFunc(digits, func(c rune) bool { return c < '0' || c > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > 1000 {
		return 0
	}
	return n
}

// imageBuild keeps the commands of a Dockerfile away from the job, but for what
// it is told to hand in.
func (s *stepReader) imageBuild(uses tree.Node) {
	for _, key := range []string{"allow", "network"} {
		v := s.input(key)
		if strings.Contains(v, "security.insecure") || v == "host" || strings.Contains(v, "network.host") {
			s.out.Events = append(s.out.Events, ci.Event{
				Tier: ci.Executes, Text: uses.Text() + " " + key + ": " + v, Why: "the build reaches the machine that it runs on", Ecosystem: "oci", Unsandboxed: true, Where: s.place(key),
			})
		}
	}
	for _, key := range []string{"build-args", "secrets", "ssh", "secret-envs"} {
		if s.handsOver(key) {
			s.out.Events = append(s.out.Events, ci.Event{
				Tier: ci.Executes, Text: uses.Text() + " " + key, Why: "the commands of the Dockerfile are handed a secret", Ecosystem: "oci", Where: s.place(key),
			})
		}
	}
	for _, key := range []string{"cache-from", "cache-to"} {
		if strings.Contains(s.input(key), "type=gha") {
			s.out.Stores = append(s.out.Stores, ci.Store{Kind: boundary.KindCache, Name: "buildkit", Prefix: true, Reads: key == "cache-from", Writes: key == "cache-to", Executed: true, Where: s.place(key)})
		}
	}
	out := s.input("outputs")
	if push := s.input("push"); strings.EqualFold(push, "true") || strings.Contains(push, "${{") || strings.Contains(out, "push=true") || strings.Contains(out, "type=registry") {
		s.out.Acts = append(s.out.Acts, ci.Act{Class: ci.Publish, Text: uses.Text(), Tool: "docker", Object: strings.Join(strings.Fields(s.input("tags")), " "), Where: uses.Place()})
	}
}

// handsOver tells whether an input gives a credential of value to a build: not
// one that uploads coverage, and not a token that can only read.
func (s *stepReader) handsOver(key string) bool {
	text := s.input(key)
	names, all := secretsIn(text)
	if all {
		return true
	}
	if ownToken(text) && s.p.strong() {
		return true
	}
	for _, name := range names {
		for _, given := range s.c.secrets.from(name) {
			c := ci.Credential{Classes: credential.Named(given)}
			if !strings.EqualFold(given, "GITHUB_TOKEN") && (c.High() || c.Is(ci.Unsorted)) {
				return true
			}
		}
	}
	return false
}

// ownToken tells whether a text takes the job's own token.
func ownToken(text string) bool {
	t := strings.ToLower(text)
	return strings.Contains(t, "github.token") || strings.Contains(t, "secrets.github_token")
}
