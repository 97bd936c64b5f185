package npm

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strings"
)

// keptSettings are the settings of a project's .npmrc that change what an
// install makes and not where it comes from or what it runs.
func keptSettings() []string {
	return []string{
		"legacy-peer-deps", "strict-peer-deps", "engine-strict", "save-exact", "save-prefix", "package-lock", "lockfile-version",
		"install-strategy", "install-links", "hoist", "omit", "include", "ignore-scripts", "force", "optional", "production", "only", "workspaces",
		"include-workspace-root", "prefer-dedupe", "node-linker", "loglevel", "os", "cpu", "libc", "bin-links",
	}
}

// override gives the project's .npmrc without what would lead npm past the
// gateway: registries of scopes, proxies, certificates, credentials, programs.
// An environment variable cannot do it, since a shell drops names such as
// npm_config_@scope:registry. It is nil where nothing needs to change.
func (r *reader) override() error {
	name := path.Join(r.src.Dir, ".npmrc")
	b, err := r.tree.Read(name, maxRC)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if safe := safeRC(b); !bytes.Equal(safe, b) {
		r.plan.overrides[name] = safe
	}
	return nil
}

func safeRC(b []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(b) {
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' || text[0] == ';' {
			out.Write(line)
			continue
		}
		key, _, _ := strings.Cut(text, "=")
		key = strings.TrimSuffix(strings.TrimSpace(key), "[]")
		for _, k := range keptSettings() {
			if key == k && !strings.Contains(text, "${") {
				out.Write(line)
			}
		}
	}
	return out.Bytes()
}

// Overrides are files of the project, by path from its root, that a zone has to
// see in place of the project's own while it fetches.
func (p *Plan) Overrides() map[string][]byte { return p.overrides }
