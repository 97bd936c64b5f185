package github

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
	"github.com/sallyport/sallyport/internal/boundary"
)

// checkout leaves the job's token on disk, and may take what a stranger sent.
func (s *stepReader) checkout(uses tree.Node) {
	repository, ref := s.input("repository"), s.input("ref")
	other := repository != "" && !strings.EqualFold(repository, s.o.Owner) && !strings.Contains(repository, "github.repository")
	if p := s.input("path"); p != "" && path.Clean(p) != "." && !strings.Contains(p, "${{") {
		f := folder{path: path.Clean(p)}
		if other && !headOf(repository) {
			f.of = repository + "@" + ref
		}
		s.folders = append(s.folders, f)
	}
	for _, key := range []string{"ref", "repository"} {
		if v := s.input(key); headOf(v) && s.strange() {
			s.out.Events = append(s.out.Events, ci.Event{
				Tier: ci.Steered, Text: "checkout of " + v, Why: "whoever starts the run has written what is checked out", Ecosystem: "git", Where: s.place(key),
			})
			s.heads = append(s.heads, path.Clean(s.input("path")))
			break
		}
	}
	if !s.off("persist-credentials") {
		s.persisted(uses)
	}
}

// persisted is the token that a checkout leaves.
func (s *stepReader) persisted(uses tree.Node) {
	c := ci.Credential{Kind: ci.File, Classes: []ci.Class{ci.Repository}, Scope: ci.PerStep, Step: s.i, Enters: "checkout, which leaves it in .git/config", Where: uses.Place(), OnDisk: true}
	token := s.input("token")
	secrets, _ := secretsIn(strings.ReplaceAll(token, "secrets.GITHUB_TOKEN", "github.token"))
	switch {
	case token != "" && (!ownToken(token) || len(secrets) > 0):
		c.Name, c.Where = "token of the checkout", s.place("token")
	case s.input("ssh-key") != "":
		c.Name, c.Where = "deploy key of the checkout", s.place("ssh-key")
	case s.p.writes("contents"):
		c.Name, c.Assumed = "GITHUB_TOKEN contents:write", s.p.all == "default"
	default:
		return
	}
	s.job.Credentials = append(s.job.Credentials, c)
}

// headOutput is a result of an earlier step that is named for a head.
var headOutput = regexp.MustCompile(`(?i)\boutputs\.[a-z0-9_-]*head`)

// headOf tells whether a ref, or a repository, is the head of what a stranger
// sent.
func headOf(text string) bool {
	t := strings.ToLower(text)
	for _, part := range []string{"github.event.pull_request.head", "github.head_ref", "github.event.workflow_run.head", "refs/pull/", "pull_request.merge_commit_sha"} {
		if strings.Contains(t, part) {
			return true
		}
	}
	return strings.Contains(t, "github.event.number") && strings.Contains(t, "pull") || headOutput.MatchString(t)
}

// cache is actions/cache, or one of its halves: /save or /restore.
func (s *stepReader) cache(half string, uses tree.Node) {
	key, prefix := fixed(s.input("key"))
	st := ci.Store{Kind: boundary.KindCache, Name: key, Prefix: prefix, Where: uses.Place(), Executed: true}
	for line := range strings.SplitSeq(s.input("restore-keys"), "\n") {
		if k, _ := fixed(strings.TrimSpace(line)); k != "" {
			st.Also = append(st.Also, k)
		}
	}
	st.Reads, st.Writes = half != "/save" && !s.on("lookup-only"), half != "/restore"
	s.out.Stores = append(s.out.Stores, st)
}

// fixed is the part of a name before its first expression.
func fixed(name string) (string, bool) {
	before, _, cut := strings.Cut(name, "${{")
	return before, cut
}

// toolCache is the cache that an action keeps by itself.
func (s *stepReader) toolCache(full, name string, uses tree.Node) {
	for _, k := range keepers() {
		if !named([]string{k.action}, full, name) {
			continue
		}
		v, on := s.input(k.input), k.always
		switch {
		case k.since > 0 && major(uses) > 0 && major(uses) < k.since:
			on = false
		case k.auto != nil && v == "":
			if on = k.auto(s, uses); on {
				v = "npm"
			}
		}
		if v != "" && v != "auto" {
			on = !strings.EqualFold(v, "false") == !k.inverted
		}
		if on {
			s.out.Stores = append(s.out.Stores, ci.Store{
				Kind: boundary.KindCache, Name: strings.TrimSpace(k.action + " " + kind(v)), Reads: true, Writes: !(k.save != "" && s.off(k.save)), Executed: true, Where: s.place(k.input),
			})
		}
		return
	}
}

// kind is what is cached, where an input tells: npm, pip; not a plain yes.
func kind(v string) string {
	switch strings.ToLower(v) {
	case "true", "false", "auto":
		return ""
	}
	if strings.Contains(v, "${{") {
		return ""
	}
	return v
}

// nodeKeeps tells whether setup-node caches without being asked to: for a
// package manager that package.json names.
func nodeKeeps(s *stepReader, uses tree.Node) bool {
	if major(uses) < 5 || s.off("package-manager-cache") || s.repo == nil {
		return false
	}
	f, err := s.repo.Open("package.json")
	if err != nil {
		return false
	}
	defer f.Close() // it was read only
	raw, err := tree.ReadAll(f)
	if err != nil || !s.spend(len(raw), uses.Place()) {
		return false
	}
	var project struct {
		PackageManager string `json:"packageManager"`
	}
	return json.Unmarshal(raw, &project) == nil && strings.HasPrefix(project.PackageManager, "npm@")
}

func (s *stepReader) upload(name string, uses tree.Node) {
	artifact, prefix := fixed(s.input("name"))
	if s.input("name") == "" {
		artifact = "artifact" // the action's default
		if name == "actions/upload-pages-artifact" {
			artifact = "github-pages"
		}
	}
	s.out.Stores = append(s.out.Stores, ci.Store{Kind: boundary.KindArtifact, Name: artifact, Prefix: prefix, Writes: true, Where: uses.Place()})
}

// download takes artifacts: of this run, or of the run that was followed.
func (s *stepReader) download(uses tree.Node) {
	st := ci.Store{Kind: boundary.KindArtifact, Reads: true, Where: uses.Place(), Executed: s.runsFrom(s.input("path"))}
	if s.input("artifact-ids") != "" {
		st.ByDigest = true
		s.out.Stores = append(s.out.Stores, st)
		return
	}
	st.Name, st.Prefix = fixed(s.input("name"))
	if p := s.input("pattern"); p != "" {
		st.Name, _, _ = strings.Cut(strings.TrimRight(p, "*"), "${{")
		st.Name, _, _ = strings.Cut(st.Name, "*")
		st.Prefix = true
	}
	if s.input("run-id") != "" || s.input("run_id") != "" {
		st.From = "*"
	}
	if w := s.input("workflow"); w != "" {
		st.From = s.workflow(w)
	}
	s.out.Stores = append(s.out.Stores, st)
}

// workflow is the name of a workflow by its file, or * where it is not told.
func (s *stepReader) workflow(file string) string {
	p := path.Join(".github/workflows", path.Base(file))
	if !Owns(p) {
		return "*"
	}
	root, err := s.load(p, s.place("workflow"))
	if err != nil {
		return "*"
	}
	if name := root.Get("name").Text(); name != "" {
		return name
	}
	return p
}

// runsFrom tells whether a later step of the job runs a program below a folder.
func (s *stepReader) runsFrom(dir string) bool {
	found := false
	for _, n := range s.node.Get("steps").Items() {
		if n.Place() == s.n.Place() {
			found = true
			continue
		}
		if found && !s.spend(len(n.Get("run").Text()), n.Place()) {
			return false
		}
		if found && (runsProgram(n.Get("run").Text(), dir) || below(s.known.put(n.Get("uses").Text()), dir)) {
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
		return strings.HasPrefix(word, "./") && (strings.Contains(text, "chmod +x "+strings.TrimPrefix(word, "./")) || strings.Contains(text, "chmod +x "+word))
	}
	return strings.HasPrefix(path.Clean(word), strings.TrimSuffix(path.Clean(dir), "/")+"/")
}
