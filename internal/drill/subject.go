package drill

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Subject is a way to run the stages of an act: what is put to the test.
type Subject interface {
	// Name is what a report calls it.
	Name() string
	// Play runs the stages of an act in a world, with everything that the job
	// has. A stage that fails is no error.
	Play(ctx context.Context, w *World, a *Act) error
}

// Plain runs every stage as a child of the job, as CI does today.
type Plain struct{}

// Name is "plain".
func (Plain) Name() string { return "plain" }

// Play runs the stages, then the release step of the job.
func (Plain) Play(ctx context.Context, w *World, a *Act) error {
	return each(ctx, w, a, func(command string) []string { return []string{"/bin/sh", "-c", command} }, w.env())
}

// each runs stage after stage, wrapped in something, and then what a job of
// today does to publish. A step that fails ends the job, and so its release.
func each(ctx context.Context, w *World, a *Act, wrap func(command string) []string, env []string) error {
	for _, s := range a.Stages {
		code, err := w.command(ctx, &w.log, env, wrap(w.fill(s.Command))...)
		if err != nil {
			return err
		}
		if code != 0 {
			return nil
		}
	}
	for _, s := range a.Stages {
		if s.Out == "" {
			continue
		}
		if _, err := w.command(ctx, &w.log, w.env(), "/bin/sh", "-c", "cp -RL '"+s.Out+"' '"+w.Out+"/'"); err != nil {
			return err
		}
	}
	if a.Release != "" {
		return w.trusted(ctx, a.Release)
	}
	return nil
}

// Wrapped runs every stage inside another program, such as bwrap: what it is
// compared with. What comes out is trusted the way a job of today does.
type Wrapped struct {
	Label string
	// Argv is the whole command for one stage of a world.
	Argv func(w *World, command string) []string
}

// Name is the label.
func (s Wrapped) Name() string { return s.Label }

// Play runs the stages inside, the release step of the job outside.
func (s Wrapped) Play(ctx context.Context, w *World, a *Act) error {
	return each(ctx, w, a, func(command string) []string { return s.Argv(w, command) }, w.env())
}

// Boundary runs the stages through Sallyport, by its own command line: what a
// user would type, and nothing that is made for the drill.
type Boundary struct {
	Binary  []string // the sallyport program
	Sandbox string   // --sandbox
	Require string   // --require
	State   string   // state directory of its own; toolchain facts are kept between cases
}

// Name is the sandbox's.
func (s Boundary) Name() string { return s.Sandbox }

// Play runs one `sallyport run`, or one `sallyport exec` for each stage.
func (s Boundary) Play(ctx context.Context, w *World, a *Act) error {
	w.strict, w.whole = true, a.Whole
	if a.Whole {
		return s.run(ctx, w, a)
	}
	for i, st := range a.Stages {
		report := filepath.Join(w.Dir, "subject", fmt.Sprintf("exec-%d.json", i))
		if err := os.MkdirAll(filepath.Dir(report), 0o700); err != nil {
			return fmt.Errorf("report of the subject: %w", err)
		}
		args := append(s.argv("exec"), "--require", s.Require, "--zone", st.Zone.String(), "--report", report, "--", "/bin/sh", "-c", w.fill(st.Command))
		code, err := w.command(ctx, &w.log, s.env(w), args...)
		if err != nil {
			return err
		}
		if code != 0 {
			return nil
		}
	}
	return nil
}

// runNumber is how a run says which one it is: others run in the same state
// directory at the same time.
var runNumber = regexp.MustCompile(`(?m)^run ([0-9]+), isolation`)

func (s Boundary) argv(command string) []string {
	return append(append([]string{}, s.Binary...), "--sandbox", runtimePath(s.Sandbox), command)
}

// runtimePath names the program of an OCI runtime by its path: whoever runs the
// drill has it on the PATH, but the jobs of the worlds have one of their own.
func runtimePath(sandbox string) string {
	kind, name, _ := strings.Cut(sandbox, ":")
	if name == "" || strings.Contains(name, "/") {
		return sandbox
	}
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return sandbox
	}
	return kind + ":" + path
}

// env is the job's whole environment: to keep it out of the zone is the
// subject's affair.
func (s Boundary) env(w *World) []string {
	state := s.State
	if w.state != "" {
		state = w.state
	}
	return w.env("SALLYPORT_STATE="+state, "RELEASE_TOKEN="+w.kit[Release])
}

// run makes a pipeline of the stages and runs it.
func (s Boundary) run(ctx context.Context, w *World, a *Act) error {
	if err := os.MkdirAll(filepath.Join(w.Dir, "subject"), 0o700); err != nil {
		return fmt.Errorf("pipeline of the subject: %w", err)
	}
	if err := w.write("sallyport.yaml", yamlOf(w, a)); err != nil {
		return err
	}
	if err := w.snapshot(); err != nil {
		return err
	}
	args := append(s.argv("run"), "--require", s.Require, "--out", w.Out)
	var said bytes.Buffer
	if _, err := w.command(ctx, io.MultiWriter(&w.steps, &said), s.env(w), args...); err != nil {
		return err
	}
	number := runNumber.FindSubmatch(said.Bytes())
	if number == nil {
		return nil // refused before it was a run
	}
	// What the stages printed is a log that somebody reads.
	for _, st := range a.Stages {
		args := append(s.argv("logs"), stageName(a, st), "--run", string(number[1]))
		if _, err := w.command(ctx, &w.log, s.env(w), args...); err != nil {
			return err
		}
	}
	return nil
}

// yamlOf writes the sallyport.yaml of an act.
func yamlOf(w *World, a *Act) string {
	var b strings.Builder
	b.WriteString("version: 1\nname: drill\nstages:\n")
	last := ""
	for _, s := range a.Stages {
		name := stageName(a, s)
		fmt.Fprintf(&b, "  %s:\n    zone: %s\n", name, s.Zone)
		if last != "" {
			fmt.Fprintf(&b, "    from: [%s]\n", last)
		}
		fmt.Fprintf(&b, "    run: [%q]\n", w.fill(s.Command))
		if s.Keep != "" {
			fmt.Fprintf(&b, "    keep: [%q]\n", s.Keep)
		}
		if s.Out != "" {
			fmt.Fprintf(&b, "    out: { artifact: %q }\n", s.Out)
		}
		last = name
	}
	b.WriteString("  verify:\n    from: [" + last + "]\n    check: [{ rebuild: artifact }, secrets]\n  release:\n    from: [verify]\n")
	return b.String()
}

// stageName is the zone, with a number where several stages have the same.
func stageName(a *Act, s Stage) string {
	n := 0
	for _, o := range a.Stages {
		if o.Zone == s.Zone {
			n++
		}
		if o == s {
			break
		}
	}
	if n > 1 {
		return fmt.Sprintf("%s-%d", s.Zone, n)
	}
	return s.Zone.String()
}

// missing is the first program that the case needs and that is not here.
func (c *Case) missing() string {
	for _, p := range c.Needs {
		if _, err := exec.LookPath(p); err != nil {
			return p
		}
	}
	return ""
}
