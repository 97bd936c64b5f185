package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// allowFor is how long an exception holds if nobody says otherwise.
const allowFor = 90

// maxAllowFile bounds a file of exceptions, in bytes.
const maxAllowFile = 1 << 20

// allowResult is sallyport/allow/v1: exceptions that were written.
type allowResult struct {
	Schema  string               `json:"schema"`
	Denial  string               `json:"denial,omitempty"` // that it was made for
	File    string               `json:"file"`
	Added   []boundary.Allowance `json:"added"`
	Already bool                 `json:"already,omitempty"` // one in force admits it
}

type allowFlags struct {
	reason string
	until  string
	upTo   string
}

const allowLong = `Make the narrowest exception for a recorded refusal and write it to
.sallyport/allow.yaml: one version of a package by its checksum, or more of one
resource for one stage. There is none for a network, a file or a credential.

The package is fetched and checked first, by the rules that hold for all: known
malware, look-alike and internal names, and min_age are refused here as well. It is
given in fetch only; the other zones stay offline.

Commit the file; who owns it decides about exceptions. Each stands in the provenance of
what is built with it.`

func (a *app) allowCommand() *cobra.Command {
	f := &allowFlags{}
	cmd := &cobra.Command{
		Use:     "allow DENIAL --reason TEXT",
		Short:   "make the narrowest exception for a recorded refusal",
		Long:    allowLong,
		Example: "  sallyport allow D-x7-1 --reason \"the docs site wants it\" --until 2027-01-31\n  sallyport allow D-42-3 --reason \"links with LTO\" --up-to 12GiB --until never",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.allow(cmd.Context(), f, args[0]) },
	}
	fs := cmd.Flags()
	reasonFlags(fs, &f.reason, &f.until)
	fs.StringVar(&f.upTo, "up-to", "", "how much of a resource, such as 40m, 8GiB or 4096; twice what was given if left out")
	return cmd
}

func (a *app) allow(ctx context.Context, f *allowFlags, id string) error {
	terms, err := newTerms(f.reason, f.until, time.Now())
	if err != nil {
		return err
	}
	d, where, err := a.refusal(id)
	if err != nil {
		return err
	}
	dir, err := realDir(where.dir)
	if err != nil {
		return err
	}
	have, err := readAllow(dir)
	if err != nil {
		return err
	}
	res := allowResult{Schema: "sallyport/allow/v1", Denial: id, File: filepath.Join(dir, pipeline.AllowFile), Added: []boundary.Allowance{}}
	no := boundary.Decide(d.Tried, have, time.Now())
	if res.Already = no.Allowed; no.Allowed {
		return a.result(res, func(w io.Writer) { fmt.Fprintf(w, "%s:%d admits it already: %s\n", res.File, no.By.Line, no.By) })
	}
	if no.Fix == nil {
		return &problem{Code: codeNoException, Exit: exitNo, What: "no exception admits " + d.Target + ": " + no.Why, Rule: ruleText(no.Rule), Next: no.Do}
	}
	fix, err := a.complete(ctx, *no.Fix, d, dir, f.upTo, have)
	if err != nil {
		return err
	}
	res.Added = append(res.Added, terms.of(fix))
	if again := boundary.Decide(d.Tried, res.Added, time.Now()); !again.Allowed {
		return &problem{Code: codeNoException, Exit: exitUsage, What: fmt.Sprintf("%s would not admit %s: %s", fix, d.Target, again.Why), Next: "give more with --up-to"}
	}
	if err := writeAllow(dir, res.Added); err != nil {
		return err
	}
	return a.result(res, res.text)
}

func (r *allowResult) text(w io.Writer) {
	fmt.Fprintln(w, r.File)
	for _, e := range r.Added {
		io.WriteString(w, pipeline.EntryOf(e))
	}
	fmt.Fprintln(w, "commit it, and run the same again")
}

// complete finds what the proposal leaves open: a version and its checksum, or
// how much of a resource.
func (a *app) complete(ctx context.Context, fix boundary.Allowance, d evidence.Denial, dir, upTo string, have []boundary.Allowance) (boundary.Allowance, error) {
	if fix.Package == "" {
		return withBound(fix, upTo)
	}
	if upTo != "" {
		return fix, usagef("--up-to is for limits; %s is about a package", d.ID)
	}
	w, err := a.open(ctx)
	if err != nil {
		return fix, err
	}
	defer w.close()
	set, err := w.allowSet(ctx, dir, have)
	if err != nil {
		return fix, err
	}
	return w.gateway.Promise(ctx, set, fix)
}

// withBound is a proposal for a limit with the amount that is asked for.
func withBound(fix boundary.Allowance, upTo string) (boundary.Allowance, error) {
	if upTo != "" {
		n, err := pipeline.ParseBound(fix.Limit, upTo)
		if err != nil {
			return fix, usagef("--up-to: %w", err)
		}
		fix.UpTo = n
	}
	if fix.UpTo <= 0 {
		return fix, usagef("what was given is not known: say how much with --up-to, such as 40m, 8GiB or 4096")
	}
	n, err := pipeline.ParseBound(fix.Limit, fix.Bound())
	if err != nil {
		return fix, usagef("--up-to: %w", err)
	}
	fix.UpTo = n // as the file can say it
	return fix, nil
}

// spot is where a refusal happened.
type spot struct {
	run string // its number, or x and that of a confined command
	dir string // the checkout
	log string // of the stage
}

// refusal finds a recorded refusal.
func (a *app) refusal(id string) (evidence.Denial, spot, error) {
	m := denialID.FindStringSubmatch(id)
	if m == nil {
		return evidence.Denial{}, spot{}, usagef("%q is not the id of a refusal, such as D-42-3", id)
	}
	find := a.runRefusal
	if m[1] != "" {
		find = a.execRefusal
	}
	return find(id, m[2])
}

func (a *app) execRefusal(id, number string) (evidence.Denial, spot, error) {
	p, err := a.paths()
	if err != nil {
		return evidence.Denial{}, spot{}, err
	}
	kept, err := p.keptDenials(number)
	if err != nil {
		return evidence.Denial{}, spot{}, err
	}
	for _, d := range kept.Denials {
		if d.ID == id {
			return d, spot{run: "x" + number, dir: kept.Dir}, nil
		}
	}
	return evidence.Denial{}, spot{}, &problem{Code: codeNoDenial, Exit: exitUsage, What: fmt.Sprintf("command x%s had no refusal %s", number, id)}
}

func (a *app) runRefusal(id, number string) (evidence.Denial, spot, error) {
	o, err := a.loadRun(number)
	if err != nil {
		return evidence.Denial{}, spot{}, err
	}
	for _, d := range o.Run.Denials {
		if d.ID != id {
			continue
		}
		dir := "." // of a repository or a package: the checkout at hand
		if u, err := url.Parse(o.Run.Source.URI); err == nil && u.Scheme == "file" {
			dir = u.Path
		}
		return d, spot{o.Run.ID, dir, o.LogPath(d.Stage)}, nil
	}
	return evidence.Denial{}, spot{}, &problem{Code: codeNoDenial, Exit: exitUsage, What: fmt.Sprintf("run %s has no refusal %s", o.Run.ID, id), Next: "sallyport runs show " + o.Run.ID}
}

// terms are what every exception of one command says alike.
type terms struct {
	reason string
	until  time.Time
}

func newTerms(reason, until string, now time.Time) (terms, error) {
	reason = strings.TrimSpace(reason)
	if reason == "" {
		return terms{}, usagef("an exception needs a reason: --reason \"...\"")
	}
	if len(reason) > 500 || reason != clean(reason) {
		return terms{}, usagef("a reason is one line of at most 500 characters")
	}
	t := terms{reason: reason}
	switch today := now.UTC().Truncate(24 * time.Hour); until {
	case "never":
	case "":
		t.until = today.AddDate(0, 0, allowFor+1)
	default:
		end, err := pipeline.ParseDay(until)
		if err != nil {
			return terms{}, usagef("--until: %w", err)
		}
		if t.until = end; !now.Before(end) {
			return terms{}, usagef("--until %s has passed", until)
		}
	}
	return t, nil
}

func (t terms) of(a boundary.Allowance) boundary.Allowance {
	a.Reason, a.Until = t.reason, t.until
	return a
}

// readAllow reads the exceptions of a checkout; most have none.
func readAllow(dir string) ([]boundary.Allowance, error) {
	text, err := allowText(dir)
	if err != nil || text == nil {
		return nil, err
	}
	return pipeline.LoadAllow(pipeline.AllowFile, text)
}

func allowText(dir string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, pipeline.AllowFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read exceptions: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAllowFile+1))
	if err != nil {
		return nil, fmt.Errorf("read exceptions: %w", err)
	}
	return text, nil
}

// writeAllow adds exceptions to those of a checkout, whole or not at all.
func writeAllow(dir string, added []boundary.Allowance) error {
	text, err := allowText(dir)
	if err != nil {
		return err
	}
	for _, e := range added {
		if text, err = pipeline.AppendAllow(text, e); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(dir) // a link must not lead the file elsewhere
	if err != nil {
		return fmt.Errorf("write exceptions: %w", err)
	}
	defer root.Close()
	fresh := pipeline.AllowFile + ".new"
	err = errors.Join(root.MkdirAll(filepath.Dir(pipeline.AllowFile), 0o755), root.WriteFile(fresh, text, 0o644))
	if err == nil {
		err = root.Rename(fresh, pipeline.AllowFile)
	}
	if err != nil {
		return fmt.Errorf("write exceptions: %w", err)
	}
	return nil
}
