package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// trustedLater are the names at the top of a checkout that someone with more
// authority reads or runs afterwards: the version control system, CI, editors,
// agents, shells, and our own configuration. A confined command cannot change them.
var trustedLater = []string{
	".git", ".gitmodules", ".gitattributes", ".hg", ".svn", ".jj",
	".github", ".gitlab", ".gitlab-ci.yml", ".circleci", ".travis.yml", ".buildkite", ".drone.yml", ".woodpecker", ".woodpecker.yml",
	".gitea", ".forgejo", ".tekton", ".semaphore", ".appveyor.yml", "appveyor.yml", "azure-pipelines.yml", "bitbucket-pipelines.yml",
	"Jenkinsfile", ".ci", ".goreleaser.yml", ".goreleaser.yaml", ".releaserc", ".releaserc.json",
	".husky", ".pre-commit-config.yaml", "lefthook.yml", ".lefthook.yml", "renovate.json", ".renovaterc",
	".vscode", ".idea", ".fleet", ".zed", ".devcontainer", ".devcontainer.json", ".editorconfig", ".nvim.lua", ".exrc", ".vimrc",
	".claude", ".cursor", ".cursorrules", ".windsurf", ".mcp.json", ".aider.conf.yml", ".continue", ".codex", ".gemini", ".kiro",
	"AGENTS.md", "CLAUDE.md", "GEMINI.md",
	".envrc", ".direnv", ".tool-versions", "mise.toml", ".mise.toml", ".bashrc", ".profile", ".zshrc",
	"sallyport.yaml", ".sallyport",
}

// holdsSecrets are names of files, anywhere near the top of a checkout, in which
// people and CI systems keep credentials. A confined command sees them empty.
var holdsSecrets = []string{
	".env", ".netrc", "_netrc", ".npmrc", ".yarnrc.yml", ".pypirc", ".git-credentials", ".dockercfg", ".dockerconfigjson",
	"credentials.json", "service-account.json", "gha-creds.json", "id_rsa", "id_ed25519", "id_ecdsa", ".vault-token", ".htpasswd",
}

// secretDirs are folders of credentials, hidden whole.
var secretDirs = []string{".aws", ".ssh", ".gnupg", ".kube", ".azure", ".gcloud", ".docker"}

// maxGuardDepth is how deep credentials are looked for.
const maxGuardDepth = 3

// guard is what stands between a command and the parts of a checkout that are
// not its own.
type guard struct {
	root     string
	readOnly []string // relative paths that exist and are mounted read-only
	hidden   []string // relative paths of files that are seen empty, or cleaned
	hideDirs []string
	watched  map[string]string // top names that cannot be mounted over -> what is there now
}

// newGuard looks at the checkout in root.
func newGuard(root string) (*guard, error) {
	g := &guard{root: root, watched: map[string]string{}}
	for _, name := range trustedLater {
		switch info, err := os.Lstat(filepath.Join(root, name)); {
		case errors.Is(err, fs.ErrNotExist):
			g.watched[name] = ""
		case err != nil:
			return nil, fmt.Errorf("look at %s: %w", name, err)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(filepath.Join(root, name))
			if err != nil {
				return nil, fmt.Errorf("look at %s: %w", name, err)
			}
			g.watched[name] = target
		default:
			g.readOnly = append(g.readOnly, name)
		}
	}
	if err := filepath.WalkDir(root, g.visit); err != nil {
		return nil, fmt.Errorf("look for credentials in %s: %w", root, err)
	}
	return g, nil
}

func (g *guard) visit(path string, d fs.DirEntry, err error) error {
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	rel, err := filepath.Rel(g.root, path)
	if err != nil || rel == "." {
		return err
	}
	if !d.IsDir() {
		if d.Type().IsRegular() && isSecretFile(d.Name()) {
			g.hidden = append(g.hidden, rel)
		}
		return nil
	}
	switch {
	case slices.Contains(secretDirs, d.Name()):
		g.hideDirs = append(g.hideDirs, rel)
		return filepath.SkipDir
	case d.Name() == "node_modules", d.Name() == ".git", strings.Count(rel, "/")+1 >= maxGuardDepth:
		return filepath.SkipDir
	}
	return nil
}

// isSecretFile knows .env and its relatives; the ones that are examples are not.
func isSecretFile(name string) bool {
	if slices.Contains(holdsSecrets, name) {
		return true
	}
	kind, ok := strings.CutPrefix(name, ".env.")
	return ok && !slices.Contains([]string{"example", "sample", "template", "dist", "defaults", "test"}, kind)
}

// Intruder is a name that a command made although it is trusted later.
type Intruder struct {
	Name string
	Kept string // where it was moved to
}

// sweep moves away what appeared under a watched name while the command ran,
// into a folder of quarantine, and puts links back. A name that was absent
// cannot be protected by a mount without making it first.
func (g *guard) sweep(quarantine string) ([]Intruder, error) {
	var found []Intruder
	var errs []error
	for _, name := range trustedLater {
		was, ok := g.watched[name]
		if !ok {
			continue
		}
		path := filepath.Join(g.root, name)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && was == "" {
			continue
		}
		if now, err := os.Readlink(path); err == nil && was != "" && now == was {
			continue
		}
		kept, err := moveAway(path, quarantine, name)
		if err == nil && was != "" {
			err = os.Symlink(was, path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("move %s away: %w", name, err))
			continue
		}
		found = append(found, Intruder{name, kept})
	}
	return found, errors.Join(errs...)
}

// moveAway renames path into quarantine, or beside itself where that is another
// file system: under either name nothing reads it.
func moveAway(path, quarantine, name string) (string, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil // a link that was taken away
	}
	stamp := time.Now().UTC().Format("20060102T150405.000000000")
	if err := os.MkdirAll(quarantine, 0o700); err == nil {
		kept := filepath.Join(quarantine, stamp+"-"+name)
		if os.Rename(path, kept) == nil {
			return kept, nil
		}
	}
	kept := path + ".sallyport-refused-" + stamp
	if err := os.Rename(path, kept); err != nil {
		return "", err
	}
	return kept, nil
}
