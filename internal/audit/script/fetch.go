package script

import (
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// downloads keeps what curl, wget or gh release download write to a file, or to
// the next command of the pipeline.
func (w *walk) downloads(c *call) {
	from := address(c)
	to := c.value("-o --output -O --output-document -OutFile -Destination")
	switch {
	case c.name == "wget" && c.value("-O --output-document") == "" && !strings.Contains(c.joined(), "O-") || c.name == "curl" && c.letter('O') || c.has("--remote-name --remote-name-all"):
		if c.name != "curl" || c.value("-o --output") == "" {
			to = path.Base(strings.SplitN(from, "?", 2)[0])
		}
	case c.name == "gh":
		if c.value("-R --repo") == "" || ownRepository(c.value("-R --repo")) {
			return // what the repository itself released
		}
		to = c.value("-p --pattern -O --output")
		from = "gh release download " + c.operand(2)
		if c.operand(2) == "" {
			from = "gh release download, /latest of " + c.value("-R --repo")
		}
	case c.name == "curl" && to == "":
		to = cluster(c, 'o')
	case c.name == "wget" && to == "":
		to = cluster(c, 'O')
	}
	if c.name == "curl" && c.value("-o --output") == "" && cluster(c, 'o') == "" && !c.letter('O') && !c.has("--remote-name --remote-name-all") {
		to = ""
	}
	if to == "" || to == "-" || strings.HasPrefix(to, "/dev/") {
		w.stdout = from
		return
	}
	w.download(to, from)
}

// cluster returns the value of a letter at the end of a word: -fsSLo FILE.
func cluster(c *call, letter byte) string {
	for i, a := range c.args {
		s := a.text
		if len(s) > 2 && s[0] == '-' && s[1] != '-' && s[len(s)-1] == letter && i+1 < len(c.args) {
			return c.args[i+1].text
		}
	}
	return ""
}

// address returns what a command downloads.
func address(c *call) string {
	if u := c.value("-Uri -Source --url"); u != "" {
		return u
	}
	for _, a := range c.args {
		if strings.Contains(a.text, "://") && !strings.HasPrefix(a.text, "-") {
			return a.text
		}
	}
	for _, i := range c.operands() {
		if s := c.args[i].text; strings.ContainsAny(s, "./$") {
			return s
		}
	}
	return "an address that is not told"
}

// download keeps a file that came over the network, under its name and, where
// it is packed, under the names that its content will most likely have.
func (w *walk) download(to, from string) {
	base := program(to)
	if strings.HasPrefix(to, "$") {
		base = path.Base(to)
	}
	t := tool{from: "downloading " + oneLine(from), ecosystem: "shell", floating: floatingURL(from), download: true}
	if strings.HasPrefix(from, "gh release download ") {
		t.floating = false // it names a tag
	}
	w.r.state.bring(base, t)
}

// stem returns the name of what an archive holds, most likely: the letters
// before the first version, system or ending.
func stem(file string) string {
	name := strings.ToLower(file)
	for _, tail := range []string{".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip", ".gz", ".xz", ".tar"} {
		if rest, ok := strings.CutSuffix(name, tail); ok {
			i := strings.IndexAny(rest, "-_.$")
			if i > 0 {
				rest = rest[:i]
			}
			return rest
		}
	}
	return file
}

// unpacks keeps what comes out of a downloaded archive: the members that are
// named, or what the archive's name tells.
func (w *walk) unpacks(c *call) {
	s := &w.r.state
	from := tool{from: "downloading " + oneLine(c.stdin), ecosystem: "shell", floating: floatingURL(c.stdin), download: true}
	found := c.stdin != ""
	archive := path.Base(strings.SplitN(c.stdin, "?", 2)[0])
	for _, a := range c.args {
		base := program(a.text)
		if t, ok := s.tools[base]; ok && t.download {
			found, from, archive = true, t, base
		}
	}
	if !found {
		return
	}
	if name := stem(archive); name != archive {
		s.bring(name, from)
	}
	for n, i := range c.operands() {
		name := program(c.args[i].text)
		if letters := n == 0 && c.name == "tar" && strings.Trim(name, "xzvfjtCJ") == ""; name != archive && !letters {
			s.bring(name, from)
		}
	}
}

// moves follows a downloaded file to its new name.
func (w *walk) moves(c *call) {
	s := &w.r.state
	operands := c.operands()
	if len(operands) < 2 {
		return
	}
	to := c.args[operands[len(operands)-1]].text
	for _, i := range operands[:len(operands)-1] {
		t, ok := s.tools[program(c.args[i].text)]
		if !ok || !t.download {
			continue
		}
		if base := path.Base(to); !strings.HasSuffix(to, "/") && !oneOf(base, "bin|sbin|.|..|local|tmp|tools") {
			s.bring(base, t)
		}
	}
}

// clones keeps the folder of another repository.
func (w *walk) clones(c *call, n int) {
	url, to := c.operand(n), c.operand(n+1)
	if url == "" || ownRepository(url) {
		return
	}
	if to == "" {
		to = strings.TrimSuffix(path.Base(url), ".git")
	}
	dir, ok := w.below(to)
	if !ok || w.dir == unknown {
		dir = path.Base(to)
	}
	w.r.state.clone(dir, oneLine(c.name+" clone "+url))
}

// ownRepository tells whether a URL is that of the repository that is built.
func ownRepository(url string) bool {
	for _, own := range []string{"github.repository }}", "github.repository}}", "GITHUB_REPOSITORY", "CI_REPOSITORY_URL", "CI_PROJECT_PATH", "CI_PROJECT_URL", "BUILDKITE_REPO", "CIRCLE_REPOSITORY_URL", "Build.Repository.Uri", "BITBUCKET_REPO", "DRONE_GIT_HTTP_URL", "CI_REPO_URL", "GIT_URL"} {
		if strings.Contains(url, own) {
			return true
		}
	}
	return strings.HasPrefix(url, ".") || strings.HasPrefix(url, "/") || strings.HasPrefix(url, "file:")
}

// folderOf returns the folder, below the root, of a file that is run.
func (w *walk) folderOf(file string) string {
	if p, ok := w.below(file); ok {
		return path.Dir(p)
	}
	return path.Dir(path.Clean(strings.TrimLeft(file, "~/$")))
}

// builds is docker build and what is like it. The commands of the image do not
// reach the job, unless something lets them.
func (w *walk) builds(c *call, e *ci.Event, n int) bool {
	if tag := c.value("-t --tag"); tag != "" {
		if w.r.state.built == nil {
			w.r.state.built = map[string]bool{}
		}
		for _, tag := range c.values("-t --tag") {
			w.r.state.built[tag] = true
		}
	}
	if e != nil {
		e.Unsandboxed = true
		return c.name == "kaniko" || c.name == "executor" || c.value("--isolation") == "chroot"
	}
	if why := reached(c); why != "" {
		w.event(c, ci.Event{Tier: ci.Executes, Ecosystem: "oci", Unsandboxed: true, Why: c.head(n) + " runs the image's commands with " + why})
	}
	return true
}

// reached says what lets the commands of an image reach the job, or "".
func reached(c *call) string {
	for _, v := range c.values("--build-arg") {
		if credentialText(v) {
			return "a credential as build argument"
		}
	}
	switch {
	case c.has("--secret"):
		return "a secret of the job"
	case c.has("--ssh"):
		return "the job's SSH agent"
	case oneOf("host", strings.Join(c.values("--network --net"), "|")):
		return "the job's network"
	case strings.Contains(strings.Join(c.values("--allow"), " "), "security.insecure") || c.has("--privileged"):
		return "the rights of the machine"
	case strings.Contains(strings.Join(c.values("-v --volume --mount"), " "), "docker.sock"):
		return "the docker socket"
	}
	return ""
}

// containers is docker run: an image of somebody else that gets files or
// variables of the job.
func (w *walk) containers(c *call, n int) {
	c.valued = strings.Replace(c.valued, " -t --tag", "", 1) // a terminal here, no tag
	operands := c.operands()
	if n >= len(operands) {
		return
	}
	image := c.args[operands[n]].text
	before := *c
	before.args = c.args[:operands[n]]
	mounts := before.has("-v --volume --mount --volumes-from") || before.letter('v') && before.has("-v")
	passes := before.has("-e --env --env-file")
	why := reached(&before)
	if own := w.r.state.built[image] || ownImage(image); (mounts || passes || why != "") && (!own || why != "") {
		e := ci.Event{Tier: ci.ThirdParty, Ecosystem: "oci", Pinned: strings.Contains(image, "@sha256:"), Own: own, Unsandboxed: why != ""}
		e.Floating = !e.Pinned && (!strings.Contains(path.Base(image), ":") || strings.HasSuffix(image, ":latest"))
		e.Why = c.head(n) + " gives the image " + oneLine(image) + " " + given(mounts, passes, why)
		w.event(c, e)
	}
	rest := c.args[operands[n]+1:]
	if len(rest) == 0 {
		return
	}
	inner := c.with(rest)
	if passes || why != "" {
		w.apart(func() { w.run(inner) })
		return
	}
	w.silently(func() { w.apart(func() { w.run(inner) }) })
}

func given(mounts, passes bool, why string) string {
	switch {
	case why != "":
		return why
	case mounts && passes:
		return "files and variables of the job"
	case mounts:
		return "files of the job"
	}
	return "variables of the job"
}

// ownImage tells whether an image is of the repository itself.
func ownImage(image string) bool {
	for _, own := range []string{"github.repository", "GITHUB_REPOSITORY", "CI_REGISTRY_IMAGE", "IMAGE_NAME"} {
		if strings.Contains(image, own) {
			return true
		}
	}
	return false
}
