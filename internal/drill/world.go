package drill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options are what every world is made with.
type Options struct {
	Dir  string // where worlds are made; each is removed after its case
	Path string // PATH of steps
	// Sibling is the command of a process that reads two halves from its
	// standard input, holds their sum in memory only, and ends with its input.
	Sibling []string
	// Shared are variables that all steps have, such as a build cache that holds
	// nothing of a case.
	Shared  []string
	Timeout time.Duration // of one command; zero: a minute
}

// NewOptions are those for this machine, with worlds below dir. The command is
// that of the neighbour.
func NewOptions(ctx context.Context, dir string, neighbour ...string) Options {
	return Options{Dir: dir, Path: toolPath(ctx), Sibling: neighbour, Shared: []string{"GOCACHE=" + filepath.Join(dir, "gocache")}}
}

// toolPath is the PATH of steps: the toolchains that zones have too, without the
// shims of version managers.
func toolPath(ctx context.Context) string {
	var dirs []string
	for _, name := range []string{"go", "node"} {
		if p, err := exec.LookPath(name); err == nil {
			if real, err := filepath.EvalSymlinks(p); err == nil {
				dirs = append(dirs, filepath.Dir(real))
			}
		}
	}
	if out, err := exec.CommandContext(ctx, "rustc", "--print", "sysroot").Output(); err == nil {
		dirs = append(dirs, filepath.Join(strings.TrimSpace(string(out)), "bin"))
	}
	return strings.Join(append(dirs, "/usr/local/bin", "/usr/bin", "/bin"), ":")
}

// World is one machine in small: what a job of today has, and what an attacker
// has.
type World struct {
	o Options
	// Src is the checkout, Out where what is published lies; around it the
	// places of a machine that a job can reach.
	Dir, Src, Home, Cache, Tools, Out, Outside, Runner string

	kit     kit
	carrier string // carries nothing: it shows that a road is open
	mark    string // shows that a hostile step ran
	sinks   *sinks
	sibling *exec.Cmd
	stdin   io.WriteCloser // of the sibling

	log     bytes.Buffer // what the steps printed
	steps   bytes.Buffer // what the subject itself said
	codes   []int        // how the commands ended
	vars    []string     // variables of the case
	state   string       // state directory of the subject, where the case has one of its own
	before  map[string]string
	changed []string // paths below Dir that are not as before; ordered
	strays  []string // changes that a zone should not have made
	strict  bool     // nothing outside of the checkout may change
	whole   bool     // nor in it
	closed  bool
}

func newWorld(o Options, name string) (*World, error) {
	dir, err := os.MkdirTemp(o.Dir, "w")
	if err != nil {
		return nil, fmt.Errorf("make the world of %s: %w", name, err)
	}
	in := func(p string) string { return filepath.Join(dir, p) }
	w := &World{o: o, Dir: dir, Src: in("src"), Home: in("home"), Cache: in("cache"), Tools: in("tools"), Out: in("out"),
		Outside: in("outside"), Runner: in("runner"), kit: newKit(), carrier: token(), mark: token()}
	if w.sinks, err = newSinks(dir, w.kit); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := w.furnish(); err != nil {
		w.Close()
		return nil, fmt.Errorf("make the world of %s: %w", name, err)
	}
	return w, nil
}

// furnish lays out what a machine of today has.
func (w *World) furnish() error {
	files := map[string]string{
		"home/.npmrc":              "//registry.example/:_authToken=" + w.kit[Npmrc] + "\n",
		"home/.aws/credentials":    "[default]\naws_access_key_id = EXAMPLE\naws_secret_access_key = " + w.kit[AWS] + "\n",
		"home/.ssh/id_ed25519":     "a key for the drill " + w.kit[SSH] + "\n",
		"home/.kube/config":        "token: " + w.kit[Kube] + "\n",
		"home/.docker/config.json": `{"auths":{"registry.example":{"auth":"` + w.kit[Docker] + `"}}}`,
		"home/docs/diary.txt":      "dear diary\n",
		"cache/bin/tsc":            "#!/bin/sh\necho compiled\n",
		"tools/cc":                 "#!/bin/sh\necho compiled\n",
		"runner/env":               "",
		"outside/file":             "untouched\n",
		"src/README.md":            "a project\n",
	}
	for name, text := range files {
		if err := writeFile(filepath.Join(w.Dir, name), text); err != nil {
			return err
		}
	}
	if err := os.Mkdir(w.Out, 0o755); err != nil {
		return err
	}
	return w.neighbour()
}

func writeFile(path, text string) error {
	mode := fs.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}

// neighbour starts a process such as a runner's worker: one canary is in its
// environment, another in its memory only.
func (w *World) neighbour() error {
	if len(w.o.Sibling) == 0 {
		return nil
	}
	w.sibling = exec.Command(w.o.Sibling[0], w.o.Sibling[1:]...)
	w.sibling.Env = append(os.Environ(), "WORKER_TOKEN="+w.kit[Process])
	stdin, err := w.sibling.StdinPipe()
	if err != nil {
		return err
	}
	w.stdin = stdin
	if err := w.sibling.Start(); err != nil {
		return err
	}
	one, two := halves(w.kit[Memory])
	_, err = fmt.Fprintf(stdin, "%x\n%x\n", one, two)
	return err
}

// halves are two strings of bytes whose exclusive or is the text.
func halves(text string) (one, two []byte) {
	key := sha256.Sum256([]byte(token()))
	one = key[:len(text)]
	two = make([]byte, len(text))
	for i := range two {
		two[i] = one[i] ^ text[i]
	}
	return one, two
}

// Neighbour is the process that a world starts beside its steps: it reads two
// halves, keeps their sum in memory, and ends with its input.
func Neighbour(stdin io.Reader) error {
	var one, two []byte
	if _, err := fmt.Fscanf(stdin, "%x\n%x\n", &one, &two); err != nil || len(one) != len(two) {
		return fmt.Errorf("read the halves: %w", err)
	}
	secret := []byte(`{"value":"`)
	for i := range one {
		secret = append(secret, one[i]^two[i])
	}
	secret = append(secret, `","isSecret":true}`...)
	_, err := io.Copy(io.Discard, stdin)
	if len(secret) == 0 { // keeps the bytes alive until here
		return errors.New("no secret")
	}
	return err
}

// Close ends the sinks and the neighbour, and removes the world.
func (w *World) Close() {
	if w.closed {
		return
	}
	w.closed = true
	w.sinks.Close()
	if w.sibling != nil {
		_ = w.stdin.Close() // it ends with its input
		_ = w.sibling.Wait()
	}
	_ = filepath.WalkDir(w.Dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o755) //nolint:gosec // Go's module cache is read-only
		}
		return nil
	})
	_ = os.RemoveAll(w.Dir) // below a temporary directory
}

// fill puts the addresses of this world into a text of a case.
func (w *World) fill(text string) string {
	return strings.NewReplacer(
		"@HTTP@", w.sinks.HTTP, "@TCP@", w.sinks.TCP, "@DNS@", w.sinks.DNS, "@UNIX@", w.sinks.Unix, "@META@", w.sinks.Metadata,
		"@SRC@", w.Src, "@HOME@", w.Home, "@CACHE@", w.Cache, "@TOOLS@", w.Tools, "@OUTSIDE@", w.Outside, "@RUNNER@", w.Runner, "@OUT@", w.Out,
		"@DIR@", w.Dir, "@MARK@", w.mark, "@CARRIER@", w.carrier,
	).Replace(text)
}

// write puts a file of a case into the checkout, or with a leading / below the
// world.
func (w *World) write(name, text string) error {
	base := w.Src
	if rest, ok := strings.CutPrefix(name, "/"); ok {
		base, name = w.Dir, rest
	}
	return writeFile(filepath.Join(base, name), w.fill(text))
}

// env is what a job of today gives to each of its steps.
func (w *World) env(more ...string) []string {
	return append(append([]string{
		"PATH=" + w.o.Path, "HOME=" + w.Home, "LANG=C.UTF-8", "USER=builder", "CI=true", "GITHUB_ACTIONS=true",
		"GITHUB_ENV=" + filepath.Join(w.Runner, "env"), "DEPLOY_TOKEN=" + w.kit[Env], "AWS_SECRET_ACCESS_KEY=" + w.kit[Env],
		"GIT_CONFIG_NOSYSTEM=1", "npm_config_update_notifier=false", "npm_config_fund=false", "npm_config_audit=false",
		"GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOTOOLCHAIN=local", "npm_config_nodedir=/usr",
	}, w.o.Shared...), append(w.vars, more...)...)
}

// command runs one command in the checkout; a command that fails is no error.
func (w *World) command(ctx context.Context, log io.Writer, env []string, args ...string) (int, error) {
	limit := w.o.Timeout
	if limit == 0 {
		limit = 5 * time.Minute // a fresh zone compiles Go's library first; what ends at this limit is not told
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = w.Src, env, log, log, time.Second
	err := cmd.Run()
	if err := ctx.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return 0, err
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = nil
		w.codes = append(w.codes, exit.ExitCode())
		return exit.ExitCode(), nil
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // a process of the step lives on and holds the pipe: that is the point of some cases
	}
	w.codes = append(w.codes, 0)
	return 0, err
}

// trusted runs what trusts the outcome: the same command whatever came before.
func (w *World) trusted(ctx context.Context, command string) error {
	_, err := w.command(ctx, &w.log, w.env("RELEASE_TOKEN="+w.kit[Release]), "/bin/sh", "-c", w.fill(command))
	return err
}

// snapshot remembers the trees, compare says what is not as it was.
func (w *World) snapshot() (err error) {
	w.before, err = w.trees()
	return err
}

func (w *World) compare() error {
	after, err := w.trees()
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(after))
	for _, n := range slices.Sorted(maps.Keys(w.before)) {
		if _, ok := after[n]; !ok {
			names = append(names, n)
		}
	}
	for _, n := range names {
		if after[n] != w.before[n] {
			w.note(n)
		}
	}
	return nil
}

// note remembers a path that an act changed, and whether it may.
func (w *World) note(name string) {
	if !slices.Contains(w.changed, name) {
		w.changed = append(w.changed, name)
	}
	if inSrc := strings.HasPrefix(name, "src/"); w.strict && (!inSrc || w.whole) {
		w.strays = append(w.strays, "changes "+name)
	}
}

// trees are the digests of all files of the world but those of the subject.
func (w *World) trees() (map[string]string, error) {
	all := map[string]string{}
	err := filepath.WalkDir(w.Dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(w.Dir, p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() && (rel == "subject" || rel == "out"):
			return filepath.SkipDir
		case d.IsDir() || d.Type()&(fs.ModeSocket|fs.ModeNamedPipe) != 0:
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			all[rel] = "link " + to
			return nil
		}
		b, err := os.ReadFile(p)
		sum := sha256.Sum256(b)
		all[rel] = hex.EncodeToString(sum[:])
		return err
	})
	return all, err
}

// settle waits a moment for what is still under way.
func (w *World) settle() error {
	time.Sleep(30 * time.Millisecond)
	return nil
}

// ran says whether a hostile step is known to have run: it prints the mark, or
// leaves it in a file.
func (w *World) ran() bool {
	return bytes.Contains(w.log.Bytes(), []byte(w.mark)) || len(w.sinks.got("http/ran")) > 0
}

// refusedWith says whether the subject refused with one of these codes.
func (w *World) refusedWith(codes []string) bool {
	said := append(bytes.Clone(w.steps.Bytes()), w.log.Bytes()...)
	return slices.ContainsFunc(codes, func(c string) bool { return bytes.Contains(said, []byte("error["+c+"]")) })
}

// lastLine is the last thing that was printed, for people.
func (w *World) lastLine() string {
	all := strings.TrimSpace(w.log.String() + "\n" + w.steps.String())
	return clean(all[strings.LastIndexByte(all, '\n')+1:])
}

// clean makes a line of a hostile step harmless to print.
func clean(line string) string {
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '.'
		}
		return r
	}, line)
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "") + "..."
	}
	return line
}

// artifacts are the bytes of what was published: what lies in Out.
func (w *World) artifacts() []byte {
	var all []byte
	_ = filepath.WalkDir(w.Out, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if b, err := os.ReadFile(p); err == nil {
				all = append(append(all, b...), '\n')
			}
		}
		return nil
	})
	return all
}

// read is a file of the world, empty where there is none.
func (w *World) read(name string) []byte {
	b, err := os.ReadFile(filepath.Join(w.Dir, name))
	if err != nil {
		return nil
	}
	return b
}

// has says whether a path of the world is not as it was before the step.
func (w *World) has(changed string) bool {
	return slices.ContainsFunc(w.changed, func(p string) bool { return p == changed || strings.HasPrefix(p, changed+"/") })
}
