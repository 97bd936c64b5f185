package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// maxLearned is how many exceptions one --learn writes. What wants more has a
// dependency tree, and needs a lockfile.
const maxLearned = 100

func reasonFlags(fs *pflag.FlagSet, reason, until *string) {
	fs.StringVar(reason, "reason", "", "why the exception is made; for whoever reads it later")
	fs.StringVar(until, "until", "", fmt.Sprintf("last day on which it holds, such as 2027-01-31, or never (default: %d days from now)", allowFor))
}

func learnFlags(cmd *cobra.Command, learn *bool, reason, until *string) {
	fs := cmd.Flags()
	fs.BoolVar(learn, "learn", false, "find out which exceptions it needs, try them once, and write them to "+pipeline.AllowFile)
	reasonFlags(fs, reason, until)
}

// learnExec runs a command twice over copies of the checkout: once with a gateway
// that gives any package, to see what it asks for, and once with exceptions for
// that and nothing more. They are written if it ends well both times. The zone
// holds no credential, the checkout stays as it is.
func (w *workshop) learnExec(ctx context.Context, c *command) error {
	f, dir, have := c.flags, c.dir, c.excepted
	terms, err := newTerms(f.reason, f.until, time.Now())
	if err != nil {
		return err
	}
	if f.zone != boundary.Fetch.String() || len(f.write) > 0 || f.report != "" {
		return usagef("--learn is for the zone fetch, the only one with a gateway; it writes to no other directory and no report")
	}
	c.learn = true
	if err := w.rehearse(ctx, c, "it fails whatever package it is given"); err != nil {
		return err
	}
	set, err := w.allowSet(ctx, dir, have)
	if err != nil {
		return err
	}
	added, err := w.promises(ctx, set, c.served, terms)
	if err != nil {
		return err
	}
	if len(added) > 0 {
		c.learn, c.excepted = false, slices.Concat(have, added)
		if err := w.rehearse(ctx, c, "with these exceptions it still fails:\n"+entries(added)); err != nil {
			return err
		}
	}
	return w.tellLearned(dir, added)
}

// rehearse runs a command over a copy of its checkout, which is thrown away.
func (w *workshop) rehearse(ctx context.Context, c *command, failed string) error {
	where, err := w.paths.execDir("learn-")
	if err != nil {
		return fmt.Errorf("copy the checkout: %w", err)
	}
	w.closers = append(w.closers, func() error { return os.RemoveAll(where) })
	c.copied = filepath.Join(where, "checkout")
	if err := copyTree(c.copied, c.dir); err != nil {
		return fmt.Errorf("copy the checkout: %w", err)
	}
	out, err := w.confine(ctx, c)
	if err != nil {
		return err
	}
	for _, d := range out.Denials {
		w.words().denial(d)
	}
	if out.ExitCode == 0 && len(out.Alarms) == 0 {
		return nil
	}
	return &problem{Code: codeLearn, Exit: exitNo, What: fmt.Sprintf("the command ended with code %d: %s", out.ExitCode, failed), Also: []string{"Nothing is written."}}
}

// promises turns what the gateway gave beyond a plan into exceptions.
func (w *workshop) promises(ctx context.Context, set *gateway.AllowSet, served []evidence.Material, t terms) ([]boundary.Allowance, error) {
	planned := map[string]bool{}
	for _, m := range set.Materials() {
		planned[m.PURL] = true
	}
	var out []boundary.Allowance
	for _, m := range served {
		code := m.Kind == "npm.tgz" || m.Kind == "go.zip" // a go.mod alone holds names
		if !code || planned[m.PURL] {
			continue
		}
		if len(out) == maxLearned {
			return nil, &problem{Code: codeLearn, Exit: exitNo, What: fmt.Sprintf("it needs more than %d packages that no lockfile names", maxLearned), Next: "make a lockfile: npm install --package-lock-only, or go mod tidy"}
		}
		one, err := w.gateway.Promise(ctx, set, boundary.Allowance{Package: m.PURL})
		if err != nil {
			return nil, err
		}
		out = append(out, t.of(one))
	}
	return out, nil
}

func entries(added []boundary.Allowance) string {
	out := ""
	for _, a := range added {
		out += pipeline.EntryOf(a)
	}
	return out
}

// tellLearned writes what was learned.
func (w *workshop) tellLearned(dir string, added []boundary.Allowance) error {
	res := allowResult{Schema: "sallyport/allow/v1", File: filepath.Join(dir, pipeline.AllowFile), Added: append([]boundary.Allowance{}, added...)}
	if len(added) == 0 {
		return w.result(res, func(out io.Writer) { fmt.Fprintln(out, "no exception is needed") })
	}
	if err := writeAllow(dir, added); err != nil {
		return err
	}
	return w.result(res, res.text)
}

// maxLearnRuns is how often a run is tried while it asks for more.
const maxLearnRuns = 5

// learnRun does the same with whole runs: those that record let fetch have any
// package and raise the limits that were reached, the last has the exceptions
// and nothing more. None of them releases anything.
func (w *workshop) learnRun(ctx context.Context, lead *conductor.Conductor, req conductor.Request, f *runFlags) error {
	terms, err := newTerms(f.reason, f.until, time.Now())
	if err != nil {
		return err
	}
	dir, err := realDir(req.Source)
	if err != nil {
		return usagef("--learn is for a directory, which the exceptions are written to: %w", err)
	}
	have, err := readAllow(dir)
	if err != nil {
		return err
	}
	set, err := w.allowSet(ctx, dir, have)
	if err != nil {
		return err
	}
	req.Learn = true
	var added []boundary.Allowance
	for range maxLearnRuns {
		out, err := w.lead(ctx, lead, req)
		if err != nil {
			return err
		}
		more, err := w.wanted(ctx, set, out, terms, added)
		if err != nil {
			return err
		}
		added = append(added, more...)
		if out.Failure == nil && (!req.Learn || len(added) == 0) {
			return w.tellLearned(dir, added)
		}
		if out.Failure != nil && len(more) == 0 {
			return w.tellOutcome(out, "")
		}
		req.Learn, req.Allow = out.Failure != nil, added
	}
	return &problem{Code: codeLearn, Exit: exitNo, What: fmt.Sprintf("after %d runs it still asks for more", maxLearnRuns), Also: []string{"Nothing is written."}}
}

// wanted is what one run asked for that nothing admits yet.
func (w *workshop) wanted(ctx context.Context, set *gateway.AllowSet, out *conductor.Outcome, t terms, have []boundary.Allowance) ([]boundary.Allowance, error) {
	var more []boundary.Allowance
	if planned := out.Run.Planned; len(out.Run.Served) > 0 {
		beyond := slices.DeleteFunc(slices.Clone(out.Run.Served), func(m evidence.Material) bool {
			return slices.ContainsFunc(planned, func(p evidence.Material) bool { return p.PURL == m.PURL })
		})
		var err error
		if more, err = w.promises(ctx, set, beyond, t); err != nil {
			return nil, err
		}
	}
	for _, d := range out.Run.Denials {
		no := boundary.Decide(d.Tried, slices.Concat(have, more), time.Now())
		if no.Fix == nil || no.Fix.Limit == "" {
			continue
		}
		fix, err := withBound(*no.Fix, "")
		if err != nil {
			return nil, err
		}
		more = append(more, t.of(fix))
	}
	return slices.DeleteFunc(more, func(a boundary.Allowance) bool { return slices.Contains(have, a) }), nil
}

// copyTree copies a checkout: folders, files and links. What else is there, such
// as a socket, is left out.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(at, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, at)
		case d.Type().IsRegular():
			return copyFile(at, path)
		}
		return nil
	})
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), os.Chtimes(to, info.ModTime(), info.ModTime()))
}
