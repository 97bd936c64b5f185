package script

import (
	"strings"
	"testing"
)

// before are what can stand before a command; each must lead to it.
const before = `
sudo -u app -E X
doas -u app X
env -u A B=c X
time X
nice -n 5 X
ionice -c 3 X
nohup X
timeout -k 5 10m X
gtimeout 10 X
command X
builtin X
exec -a b X
call X
stdbuf -oL X
unbuffer X
setsid X
taskset -c 1 X
flock -w 5 lock X
xvfb-run -a X
dbus-run-session -- X
catchsegv X
caffeinate X
chronic X
arch -arm64 X
fakeroot X
gosu app X
su-exec app X
chroot root X
setarch x86_64 X
linux32 X
xargs -n 1 X
parallel -j 2 X
retry -t 3 X
retry 3 X
bash_retry 3 X
travis_retry X
cross-env A=b X
cross-env-shell A=b X
wine X
strace -o x X
op run -- X
doppler run -- X
infisical run --env x -- X
aws-vault exec role -- X
chamber exec app -- X
dotenv -e x -- X
dotenvx run -- X
mise exec -- X
asdf exec X
rbenv exec X
pyenv exec X
direnv exec . X
rustup run stable X
conda run -n x X
mamba run -n x X
micromamba run -n x X
devbox run X
docker exec -w /x c X
podman exec c X
docker-compose exec web X
docker compose exec web X
find . -exec X \;
fd -x X
sh -c 'X'
eval X
eval 'X'
{ X; }
! X
A=b X
`

func TestWrappers(t *testing.T) {
	tried := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(before), "\n") {
		name, _, _ := strings.Cut(line, " ")
		tried[name] = true
		r := &Reader{}
		f := r.Read(Source{Text: strings.ReplaceAll(line, "X", "cargo test")})
		if len(f.Events) != 1 || f.Events[0].Ecosystem != "cargo" || len(f.Gaps) != 0 {
			t.Errorf("%s: %s", line, render(f))
		}
	}
	for _, x := range wrappers {
		if !tried[x.name] && !oneOf(x.name, "&|corepack|kubectl") {
			t.Errorf("%s: no test", x.name)
		}
	}
}

// TestElsewhere says nothing of what runs on another machine.
func TestElsewhere(t *testing.T) {
	for _, text := range []string{"ssh h.example cargo test", "kubectl exec pod -- cargo test", "command -v cargo test", "echo cargo test", "# cargo test", "cat <<E\ncargo test\nE", "xargs", "sudo", "timeout 5"} {
		r := &Reader{}
		if f := r.Read(Source{Text: text}); len(f.Events) != 0 {
			t.Errorf("%s: %s", text, render(f))
		}
	}
}

func TestAliases(t *testing.T) {
	for alias, name := range aliases {
		c := &call{name: alias, path: alias}
		if got := rewritten(c); got == nil || got.name != name {
			t.Errorf("%s: got %v, want %s", alias, got, name)
		}
		if _, known := tableOf(name); !known && !oneOf(name, "node|fly") {
			t.Errorf("%s is an alias of %s, which no table knows", alias, name)
		}
	}
}

// TestWhy holds the words to what a person reads.
func TestWhy(t *testing.T) {
	for text, want := range map[string][2]string{
		"sudo npm ci": {"npm ci runs the install scripts of every package", "sudo npm ci --ignore-scripts"},
		"pip install --require-hashes --only-binary=:all: -r r.txt\npython x.py": {"python can load what pip install installed", ""},
		"npm ci --ignore-scripts\nnpm run build":                                 {"npm run build runs what npm ci installed", ""},
		"make x":                                                                 {"make runs whatever the Makefile says", ""},
		"curl https://x.example/i | sh":                                          {"sh runs what is downloaded from https://x.example/i", ""},
		"git clone https://git.example/a/b\ncd b && ninja":                       {"ninja builds files of git clone https://git.example/a/b", ""},
		"curl -LO https://x.example/1.2.3/t\n./t":                                {"t is run, which the job got by downloading https://x.example/1.2.3/t", ""},
		"pip install -r r.txt":                                                   {"pip install builds source packages and installs what their code decides", "pip install -r r.txt --require-hashes --only-binary=:all:"},
		"docker build --ssh default .":                                           {"docker build runs the image's commands with the job's SSH agent", ""},
	} {
		r := &Reader{}
		all := r.Read(Source{Text: text}).Events
		found := false
		for _, e := range all {
			found = found || e.Why == want[0] && e.Safer == want[1]
		}
		if !found {
			t.Errorf("%s: got %+v, want %q", text, all, want)
		}
	}
}
