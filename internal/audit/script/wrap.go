package script

import "strings"

// wrapper is a command that stands before another one.
type wrapper struct {
	name   string
	sub    string // a subcommand that must follow
	valued string // flags that take the next word
	skip   int    // operands before the command
	dashes bool   // the command begins after --
}

// wrappers are the commands that only change how another one runs.
var wrappers = [...]wrapper{
	{name: "sudo", valued: "-u -g -h -p -C -D -R -T -U --user --group --chdir"},
	{name: "doas", valued: "-u -C"},
	{name: "env", valued: "-u -C -S --unset --chdir"},
	{name: "time", valued: "-f -o"},
	{name: "nice", valued: "-n --adjustment"},
	{name: "ionice", valued: "-c -n"},
	{name: "nohup"},
	{name: "timeout", valued: "-k -s --kill-after --signal", skip: 1},
	{name: "gtimeout", valued: "-k -s", skip: 1},
	{name: "command"},
	{name: "builtin"},
	{name: "exec", valued: "-a"},
	{name: "call"},
	{name: "&"},
	{name: "stdbuf", valued: "-i -o -e"},
	{name: "unbuffer"},
	{name: "setsid"},
	{name: "taskset", valued: "-c"},
	{name: "flock", valued: "-w -E", skip: 1},
	{name: "xvfb-run", valued: "-n -s -e -f -p -w --server-args --server-num"},
	{name: "dbus-run-session"},
	{name: "catchsegv"},
	{name: "caffeinate"},
	{name: "chronic"},
	{name: "arch"},
	{name: "fakeroot"},
	{name: "gosu", skip: 1},
	{name: "su-exec", skip: 1},
	{name: "chroot", skip: 1},
	{name: "setarch", skip: 1},
	{name: "linux32"},
	{name: "xargs", valued: "-I -n -P -L -d -s -a -E --max-args --max-procs --delimiter"},
	{name: "parallel", valued: "-j --jobs --colsep"},
	{name: "retry", valued: "-t -d -n -s --times --delay --tries --sleep --max-attempts"},
	{name: "travis_retry"},
	{name: "cross-env"},
	{name: "cross-env-shell"},
	{name: "corepack"},
	{name: "wine"},
	{name: "strace", valued: "-o -e"},
	{name: "bash_retry"},
	{name: "op", sub: "run", dashes: true},
	{name: "doppler", sub: "run", dashes: true},
	{name: "infisical", sub: "run", dashes: true},
	{name: "aws-vault", sub: "exec", dashes: true},
	{name: "chamber", sub: "exec", dashes: true},
	{name: "dotenv", dashes: true},
	{name: "dotenvx", sub: "run", dashes: true},
	{name: "mise", sub: "exec|x", dashes: true},
	{name: "asdf", sub: "exec", skip: 1},
	{name: "rbenv", sub: "exec", skip: 1},
	{name: "pyenv", sub: "exec", skip: 1},
	{name: "direnv", sub: "exec", skip: 2},
	{name: "rustup", sub: "run", skip: 2},
	{name: "conda", sub: "run", valued: "-n --name -p --prefix", skip: 1},
	{name: "mamba", sub: "run", valued: "-n --name -p --prefix", skip: 1},
	{name: "micromamba", sub: "run", valued: "-n --name -p --prefix", skip: 1},
	{name: "devbox", sub: "run", skip: 1},
	{name: "docker", sub: "exec", valued: "-u -w -e --user --workdir --env --env-file", skip: 2},
	{name: "podman", sub: "exec", valued: "-u -w -e --user --workdir --env --env-file", skip: 2},
	{name: "docker-compose", sub: "exec", valued: "-u -w -e --user --workdir --env", skip: 2},
	{name: "docker", sub: "compose exec", valued: "-f -u -w -e --user --workdir --env", skip: 3},
	{name: "kubectl", sub: "exec", valued: "-n -c --namespace --container", dashes: true},
}

// wrapped returns the command that c stands before, or nil.
func wrapped(c *call) *call {
	if strings.HasPrefix(c.path, "$") {
		return nil // a name that only looks like one of them
	}
	for i := range wrappers {
		x := &wrappers[i]
		if x.name != c.name || x.sub != "" && c.matches(x.sub, c.operands()) < 0 {
			continue
		}
		rest := x.rest(c)
		if len(rest) == 0 {
			return nil
		}
		inner := c.with(rest)
		inner.remote = x.name == "kubectl"
		return inner
	}
	if c.name == "find" || c.name == "fd" {
		return found(c)
	}
	return nil
}

// rest returns the words of the command that follows.
func (x *wrapper) rest(c *call) []arg {
	if x.dashes {
		for i, a := range c.args {
			if a.text == "--" {
				return c.args[i+1:]
			}
		}
		return nil
	}
	skip := x.skip
	for i := 0; i < len(c.args); i++ {
		s := c.args[i].text
		switch {
		case s == "--":
		case len(s) > 1 && s[0] == '-':
			if flagged(s, x.valued) && !strings.Contains(s, "=") {
				i++
			}
			if c.name == "command" && (s == "-v" || s == "-V") {
				return nil
			}
		case isAssignment(s) && oneOf(c.name, "env|sudo|doas|cross-env|cross-env-shell|exec"):
			c.setenv(s)
		case oneOf(c.name, "retry|bash_retry") && isNumber(s):
		case skip > 0:
			skip--
		default:
			return c.args[i:]
		}
	}
	return nil
}

func (c *call) setenv(s string) {
	name, value, _ := strings.Cut(s, "=")
	env := map[string]string{name: value}
	for k, v := range c.env {
		if k != name {
			env[k] = v
		}
	}
	c.env = env
}

func isAssignment(s string) bool {
	name, _, ok := strings.Cut(s, "=")
	return ok && name != "" && word(name) == len(name)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789smh.") == "" }

// found returns the command of find -exec.
func found(c *call) *call {
	for i, a := range c.args {
		if !oneOf(a.text, "-exec|-execdir|-ok|-x|-X|--exec") {
			continue
		}
		rest := c.args[i+1:]
		for j, b := range rest {
			if b.text == ";" || b.text == "+" {
				rest = rest[:j]
				break
			}
		}
		if len(rest) > 0 {
			return c.with(rest)
		}
	}
	return nil
}

// aliases are other names of programs that have the same commands.
var aliases = map[string]string{
	"pip2": "pip", "pip3": "pip", "gradlew": "gradle", "mvnw": "mvn", "mvnd": "mvn", "pn": "pnpm", "yarnpkg": "yarn", "nodejs": "node",
	"nerdctl": "docker", "finch": "docker", "podman": "docker", "tofu": "terraform", "gmake": "make", "bazelisk": "bazel",
	"apt": "apt-get", "aptitude": "apt-get", "yum": "dnf", "microdnf": "dnf", "tdnf": "dnf", "zypper": "dnf", "flyctl": "fly",
}

// rewritten returns what c is another way to write, or nil.
func rewritten(c *call) *call {
	switch {
	case c.name == "docker-compose" || c.name == "docker-buildx":
		return c.as("docker", append([]arg{{text: c.name[len("docker-"):], at: -1}}, c.args...))
	case c.name == "podman" && c.value("--isolation") != "":
		return nil // that is no sandbox: a table of its own
	case c.name == "cargo" && len(c.args) > 0 && strings.HasPrefix(c.args[0].text, "+"):
		return c.as("cargo", c.args[1:]) // a toolchain
	case strings.HasPrefix(c.name, "pip3."):
		return c.as("pip", c.args)
	case aliases[c.name] != "":
		return c.as(aliases[c.name], c.args)
	}
	return nil
}

// as returns the same command by another name.
func (c *call) as(name string, args []arg) *call {
	n := *c
	n.name, n.args, n.valued = name, args, ""
	return &n
}
