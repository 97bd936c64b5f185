package github

import (
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// known adds what an action of this name is known to do beyond being somebody
// else's code.
func (s *stepReader) known(name, ref string, uses tree.Node) {
	s.floating(name, ref)
	switch name {
	case "actions/checkout":
		s.checkout(uses)
	case "actions/cache", "actions/cache/save", "actions/cache/restore":
		s.cache(ref, uses)
	case "actions/setup-node", "actions/setup-python", "actions/setup-java", "actions/setup-dotnet", "actions/setup-go", "ruby/setup-ruby",
		"swatinem/rust-cache", "gradle/actions", "gradle/gradle-build-action", "mozilla-actions/sccache-action", "astral-sh/setup-uv":
		s.toolCache(name, uses)
	case "actions/upload-artifact", "actions/upload-pages-artifact":
		s.stores(boundary.KindArtifact, false, true, uses)
	case "actions/download-artifact", "dawidd6/action-download-artifact":
		s.download(uses)
	case "step-security/harden-runner":
		if s.with("egress-policy") == "block" {
			s.job.Mitigations = append(s.job.Mitigations, ci.Mitigation{Text: "harden-runner blocks other hosts", Where: uses.Place()})
		}
	case "actions/github-script":
		s.steered(s.n.Get("with", "script"))
	case "docker/build-push-action", "docker/bake-action":
		s.imageBuild(uses)
	default:
		s.doer(name, ref, uses)
		s.minter(name, uses)
	}
}

// checkout leaves the job's token in .git/config, and may take what a stranger
// sent.
func (s *stepReader) checkout(uses tree.Node) {
	if p := s.with("path"); p != "" && s.with("repository") == "" {
		s.folders = append(s.folders, path.Clean(p))
	}
	if s.strange() && (headOf(s.with("ref")) || headOf(s.with("repository"))) {
		s.out.Events = append(s.out.Events, ci.Event{
			Tier: ci.Steered, Text: "checkout of " + firstOf(s.with("ref"), s.with("repository")), Why: "whoever starts the run has written what is checked out", Ecosystem: "git", Where: s.whole("ref"),
		})
	}
	if s.n.Get("with", "persist-credentials").False() {
		return
	}
	c := ci.Credential{Kind: ci.File, Classes: []ci.Class{ci.Repository}, Scope: ci.PerStep, Step: s.i, Enters: "checkout, which leaves it in .git/config", Where: uses.Place(), OnDisk: true}
	switch token := s.with("token"); {
	case token != "" && !strings.Contains(token, "github.token") && !strings.Contains(token, "GITHUB_TOKEN"):
		c.Name, c.Where = "token of the checkout", s.whole("token")
	case s.with("ssh-key") != "":
		c.Name, c.Where = "deploy key of the checkout", s.whole("ssh-key")
	case s.p.writes("contents"):
		c.Name, c.Assumed = "GITHUB_TOKEN contents:write", s.p.all == "default"
	default:
		return
	}
	s.job.Credentials = append(s.job.Credentials, c)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (s *stepReader) cache(ref string, uses tree.Node) {
	key, prefix := fixed(s.with("key"))
	st := ci.Store{Kind: boundary.KindCache, Name: key, Prefix: prefix, Where: uses.Place(), Executed: true}
	for line := range strings.SplitSeq(s.with("restore-keys"), "\n") {
		if k, _ := fixed(strings.TrimSpace(line)); k != "" {
			st.Also = append(st.Also, k)
		}
	}
	action, _, _ := strings.Cut(ref, "@")
	st.Reads, st.Writes = !strings.HasSuffix(action, "/save"), !strings.HasSuffix(action, "/restore")
	if s.n.Get("with", "lookup-only").True() {
		st.Reads = false
	}
	s.out.Stores = append(s.out.Stores, st)
}

// fixed is the part of a name before its first expression.
func fixed(name string) (string, bool) {
	before, _, cut := strings.Cut(name, "${{")
	return before, cut
}

// toolCache is the cache that a set-up action keeps by itself.
func (s *stepReader) toolCache(name string, uses tree.Node) {
	s.installs(name, uses)
	on := s.with("cache") != "" && !s.n.Get("with", "cache").False()
	switch name {
	case "actions/setup-go", "swatinem/rust-cache", "gradle/actions", "gradle/gradle-build-action", "mozilla-actions/sccache-action":
		on = !s.n.Get("with", "cache").False() && !s.n.Get("with", "cache-disabled").True()
	case "astral-sh/setup-uv":
		on = s.n.Get("with", "enable-cache").True()
	case "ruby/setup-ruby":
		on = s.n.Get("with", "bundler-cache").True()
	}
	if on {
		at := s.whole("cache")
		s.out.Stores = append(s.out.Stores, ci.Store{Kind: boundary.KindCache, Name: name + " " + s.with("cache"), Reads: true, Writes: true, Executed: true, Where: at})
	}
}

// installs tells of set-up actions that install packages themselves.
func (s *stepReader) installs(name string, uses tree.Node) {
	if name == "ruby/setup-ruby" && s.n.Get("with", "bundler-cache").True() {
		s.executes(uses, "gem", "bundler-cache installs the gems, and their extensions run while they are built")
	}
}

func (s *stepReader) executes(uses tree.Node, ecosystem, why string) {
	s.out.Events = append(s.out.Events, ci.Event{Tier: ci.Executes, Text: uses.Text(), Why: why, Ecosystem: ecosystem, Where: uses.Place()})
}

func (s *stepReader) stores(kind boundary.Kind, reads, writes bool, uses tree.Node) {
	name, prefix := fixed(s.with("name"))
	if writes && s.with("name") == "" {
		name = "artifact" // the action's default
		if strings.Contains(uses.Text(), "pages-artifact") {
			name = "github-pages"
		}
	}
	s.out.Stores = append(s.out.Stores, ci.Store{Kind: kind, Name: name, Prefix: prefix, Reads: reads, Writes: writes, Where: uses.Place()})
}

// download takes artifacts: of this run, or of the run that was followed.
func (s *stepReader) download(uses tree.Node) {
	name, prefix := fixed(s.with("name"))
	if p := s.with("pattern"); p != "" {
		name, prefix = strings.TrimRight(p, "*"), true
	}
	if ids := s.with("artifact-ids"); ids != "" {
		s.out.Stores = append(s.out.Stores, ci.Store{Kind: boundary.KindArtifact, Reads: true, ByDigest: true, Where: uses.Place()})
		return
	}
	st := ci.Store{Kind: boundary.KindArtifact, Name: name, Prefix: prefix, Reads: true, Where: uses.Place()}
	if s.with("run-id") != "" || s.with("run_id") != "" || s.with("workflow") != "" {
		st.From = "*"
	}
	st.Executed = s.runsFrom(s.with("path"))
	s.out.Stores = append(s.out.Stores, st)
}

// runsFrom tells whether a later step of the job runs a program below a folder.
func (s *stepReader) runsFrom(dir string) bool {
	found := false
	for _, n := range s.node.Get("steps").Items() {
		if n.Place() == s.n.Place() {
			found = true
			continue
		}
		if found && (runsProgram(n.Get("run").Text(), dir) || below(substitute(n.Get("uses").Text(), s.inputs), dir)) {
			return true
		}
	}
	return false
}

func below(uses, dir string) bool {
	return dir != "" && strings.HasPrefix(uses, "./") && strings.HasPrefix(path.Clean(uses)+"/", path.Clean(dir)+"/")
}

// runsProgram tells whether a command of a script is a file of a folder: by its
// path, or handed to an interpreter. With no folder, only ./name counts when a
// mode was set on it before.
func runsProgram(text, dir string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		for part := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(";&|()", r) }) {
			words := strings.Fields(part)
			for len(words) > 0 && (strings.Contains(words[0], "=") || interpreter(words[0])) {
				words = words[1:]
			}
			if len(words) > 0 && inFolder(strings.Trim(words[0], `"'`), dir, text) {
				return true
			}
		}
	}
	return false
}

func interpreter(w string) bool {
	switch w {
	case "sudo", "bash", "sh", "node", "python", "python3", "source", ".", "exec", "env", "time":
		return true
	}
	return false
}

func inFolder(word, dir, text string) bool {
	if dir == "" || dir == "." {
		return strings.HasPrefix(word, "./") && strings.Contains(text, "chmod +x "+strings.TrimPrefix(word, "./")) || strings.HasPrefix(word, "./") && strings.Contains(text, "chmod +x "+word)
	}
	return strings.HasPrefix(path.Clean(word), strings.TrimSuffix(path.Clean(dir), "/")+"/")
}

// imageBuild keeps the commands of a Dockerfile away from the job, but for what
// it is told to hand in.
func (s *stepReader) imageBuild(uses tree.Node) {
	for _, key := range []string{"allow", "network", "add-hosts"} {
		v := s.with(key)
		if strings.Contains(v, "security.insecure") || v == "host" || strings.Contains(v, "network.host") {
			s.out.Events = append(s.out.Events, ci.Event{
				Tier: ci.Executes, Text: uses.Text() + " " + key + ": " + v, Why: "the build reaches the machine that it runs on", Ecosystem: "oci", Unsandboxed: true, Where: s.whole(key),
			})
		}
	}
	for _, key := range []string{"build-args", "secrets", "ssh", "secret-envs"} {
		if names, all := secretsIn(s.with(key)); len(names) > 0 || all {
			s.out.Events = append(s.out.Events, ci.Event{
				Tier: ci.Executes, Text: uses.Text() + " " + key, Why: "the commands of the Dockerfile are handed a secret", Ecosystem: "oci", Where: s.whole(key),
			})
		}
	}
	for _, key := range []string{"cache-from", "cache-to"} {
		if strings.Contains(s.with(key), "type=gha") {
			s.out.Stores = append(s.out.Stores, ci.Store{Kind: boundary.KindCache, Name: "buildkit", Prefix: true, Reads: key == "cache-from", Writes: key == "cache-to", Executed: true, Where: s.whole(key)})
		}
	}
	if s.n.Get("with", "push").True() || strings.Contains(s.with("push"), "${{") || strings.Contains(s.with("outputs"), "push=true") {
		s.act(ci.Publish, "docker", s.with("tags"), uses)
	}
}

func (s *stepReader) act(class ci.Class, tool, object string, uses tree.Node) {
	s.out.Acts = append(s.out.Acts, ci.Act{Class: class, Text: uses.Text(), Tool: tool, Object: strings.Join(strings.Fields(object), " "), Where: uses.Place()})
}

// floating tells of tools whose version is whatever is newest.
func (s *stepReader) floating(name, ref string) {
	for _, key := range []string{"version", "cosign-release", name[strings.IndexByte(name, '/')+1:] + "-version"} {
		v := s.with(key)
		if !movable(v) || strings.HasPrefix(name, "actions/setup-") {
			continue
		}
		s.out.Events = append(s.out.Events, ci.Event{
			Tier: ci.Compiles, Text: ref + " " + key + ": " + v, Why: "the tool is whatever is newest when the job runs", Ecosystem: "action", Floating: true, Where: s.whole(key),
		})
		return
	}
}

func movable(v string) bool {
	switch strings.ToLower(v) {
	case "latest", "nightly", "edge", "canary", "next", "stable-latest":
		return true
	}
	return strings.HasPrefix(v, "~>") || strings.HasPrefix(v, ">=") || strings.HasPrefix(v, "^")
}
