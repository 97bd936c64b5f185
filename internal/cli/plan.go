package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/conductor"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/source"
)

// planResult is sallyport/plan/v1: what would run where, and who holds what.
type planResult struct {
	Schema   string          `json:"schema"`
	Project  string          `json:"project"`
	Source   evidence.Source `json:"source"`
	Detected bool            `json:"detected"`
	Findings []string        `json:"findings,omitempty"`
	Stages   []planStage     `json:"stages"`
	Allowed  planAllowed     `json:"allowed"`
	// Exceptions are all of .sallyport/allow.yaml, also those that have run out.
	Exceptions []boundary.Allowance `json:"exceptions"`
	Crossings  []boundary.Crossing  `json:"crossings"`
	Unmet      []pipeline.Unmet     `json:"unmet"` // expectations of sallyport.yaml that do not hold
}

type planStage struct {
	Name     string            `json:"name"`
	Zone     string            `json:"zone"`
	Identity string            `json:"identity,omitempty"`
	From     []string          `json:"from,omitempty"`
	Run      []string          `json:"run,omitempty"`
	Keep     []string          `json:"keep,omitempty"`
	Out      map[string]string `json:"out,omitempty"`
	Check    []pipeline.Check  `json:"check,omitempty"`
	Network  string            `json:"network"`
	Tainted  bool              `json:"tainted"`
	Holds    []string          `json:"holds"`
}

// planAllowed counts what the gateway would give out.
type planAllowed struct {
	Packages int                 `json:"packages"`
	Npm      int                 `json:"npm"`
	Go       int                 `json:"go"`
	Scripts  int                 `json:"scripts"` // packages with install scripts
	Unpinned []string            `json:"unpinned,omitempty"`
	Digest   string              `json:"digest"`
	Set      []evidence.Material `json:"set"`
}

type planFlags struct {
	ref   string
	graph string
}

func (a *app) planCommand() *cobra.Command {
	f := &planFlags{}
	cmd := &cobra.Command{
		Use:   "plan [SOURCE]",
		Short: "say what would run where, who holds what, and where taint meets authority",
		Long: `Say what would run in which zone, what each stage may do, which packages the gateway
would give out, and every crossing: a path by which code that nobody verified meets a
credential. Nothing of the project is run. A crossing gives exit code 3.

SOURCE is a directory (default .), a git repository, or a package URL.`,
		Example: "  sallyport plan\n  sallyport plan --graph svg > boundary.svg",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.plan(cmd.Context(), f, first(args, "."))
		},
	}
	cmd.Flags().StringVar(&f.ref, "ref", "", "branch, tag or commit of a git repository")
	cmd.Flags().StringVar(&f.graph, "graph", "", "draw the zones and what crosses between them: svg, mermaid or dot")
	return cmd
}

func first(args []string, def string) string {
	if len(args) > 0 {
		return args[0]
	}
	return def
}

func (a *app) plan(ctx context.Context, f *planFlags, src string) error {
	if err := checkGraph(f.graph); err != nil {
		return err
	}
	w, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.openGateway(ctx); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(w.paths.state, "plan-")
	if err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	found, err := source.Find(ctx, source.Request{Source: src, Ref: f.ref, Scratch: scratch, Packages: w.gateway})
	if err != nil {
		return err
	}
	p, err := loadPipeline(found)
	if err != nil {
		return err
	}
	excepted, err := readAllow(found.Path)
	if err != nil {
		return err
	}
	p.Except(excepted, time.Now())
	graph := p.Graph(conductor.TrustDomain)
	crossings := boundary.Check(graph)
	unmet := p.Unmet(graph)
	if len(crossings) > 0 || len(unmet) > 0 {
		a.code = exitNo
	}
	if f.graph != "" {
		return a.drawGraph(f.graph, p.Name, graph, crossings)
	}
	allow, err := w.gateway.Plan(ctx, found.Path, p.Gateway)
	if err != nil {
		return fmt.Errorf("plan packages: %w", err)
	}
	res := newPlanResult(p, graph, allow)
	res.Exceptions = append([]boundary.Allowance{}, excepted...)
	res.Source, res.Crossings, res.Unmet = found.Source, append(res.Crossings, crossings...), append(res.Unmet, unmet...)
	return a.result(res, res.text)
}

// loadPipeline reads sallyport.yaml, or finds out what the project is.
func loadPipeline(found *source.Found) (*pipeline.Pipeline, error) {
	text, err := os.ReadFile(filepath.Join(found.Path, pipeline.FileName))
	if err == nil {
		return pipeline.Load(pipeline.FileName, text)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", pipeline.FileName, err)
	}
	name := ""
	if !found.Package && found.Source.Commit == "" {
		name = filepath.Base(found.Path)
	}
	return pipeline.Detect(found.Path, pipeline.Options{Name: name, Package: found.Package})
}

func newPlanResult(p *pipeline.Pipeline, graph boundary.Graph, allow *gateway.AllowSet) *planResult {
	res := &planResult{
		Schema: "sallyport/plan/v1", Project: p.Name, Detected: p.Detected, Findings: p.Findings,
		Crossings: []boundary.Crossing{}, Unmet: []pipeline.Unmet{}, Allowed: countAllowed(allow),
	}
	nodes := map[string]boundary.Node{}
	for _, n := range graph.Nodes {
		nodes[n.ID] = n
	}
	for _, s := range p.Stages {
		res.Stages = append(res.Stages, newPlanStage(s, nodes[s.Name]))
	}
	return res
}

func newPlanStage(s pipeline.Stage, n boundary.Node) planStage {
	out := planStage{
		Name: s.Name, Zone: s.Zone.String(), Identity: n.Identity, From: s.From, Run: s.Run, Keep: s.Keep, Out: s.Out, Check: s.Check,
		Network: "none", Tainted: len(n.Taints) > 0, Holds: []string{},
	}
	for _, r := range n.Routes {
		out.Network = r.Host
	}
	if s.Zone == boundary.Test {
		out.Network = "loopback"
	}
	for _, h := range n.Holds {
		if h.Authority != boundary.ProjectCode() {
			out.Holds = append(out.Holds, h.Authority.String())
		}
	}
	return out
}

func countAllowed(allow *gateway.AllowSet) planAllowed {
	c := planAllowed{Packages: packages(allow), Unpinned: allow.Unpinned(), Digest: allow.Digest().String(), Set: allow.Materials()}
	seen := map[string]bool{}
	for _, m := range c.Set {
		if seen[m.PURL] {
			continue
		}
		seen[m.PURL] = true
		switch {
		case strings.HasPrefix(m.PURL, "pkg:npm/"):
			c.Npm++
		case strings.HasPrefix(m.PURL, "pkg:golang/"):
			c.Go++
		}
		if m.Scripts {
			c.Scripts++
		}
	}
	return c
}

func (r *planResult) text(w io.Writer) {
	how := "as sallyport.yaml says"
	if r.Detected {
		how = "detected"
	}
	fmt.Fprintf(w, "%s: %d stages, %s\n", clean(r.Project), len(r.Stages), how)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "  %s\n", clean(f))
	}
	for _, s := range r.Stages {
		s.text(w)
	}
	fmt.Fprintf(w, "\nthe gateway gives out %d packages: %d npm, %d Go, %d with install scripts\n", r.Allowed.Packages, r.Allowed.Npm, r.Allowed.Go, r.Allowed.Scripts)
	for _, u := range r.Allowed.Unpinned {
		fmt.Fprintf(w, "  %s has no lockfile: one will be made, and recorded as unpinned\n", clean(u))
	}
	for _, e := range r.Exceptions {
		state := "exception"
		if !e.InForce(time.Now()) {
			state = "exception that has run out"
		}
		fmt.Fprintf(w, "  %s: %s (%s:%d)\n", state, clean(e.Terms()), pipeline.AllowFile, e.Line)
	}
	for _, u := range r.Unmet {
		fmt.Fprintf(w, "\nexpectation does not hold: %s\n", clean(fmt.Sprint(u)))
	}
	if len(r.Crossings) == 0 {
		fmt.Fprintln(w, "no crossing: no path leads from unverified code to a credential")
		return
	}
	for _, c := range r.Crossings {
		crossingText(w, c)
	}
}

func (s planStage) text(w io.Writer) {
	holds := "holds nothing"
	if len(s.Holds) > 0 {
		holds = "holds " + strings.Join(s.Holds, ", ")
	}
	taint := "runs no project code"
	if s.Tainted {
		taint = "tainted"
	}
	fmt.Fprintf(w, "\n%-10s %s; network: %s; %s; %s\n", clean(s.Name), s.Zone, s.Network, taint, clean(holds))
	for _, c := range s.Run {
		fmt.Fprintf(w, "  run      %s\n", clean(c))
	}
	for _, c := range s.Check {
		fmt.Fprintf(w, "  check    %s\n", clean(strings.TrimSpace(c.Name+" "+c.Arg)))
	}
	if len(s.Keep) > 0 {
		fmt.Fprintf(w, "  keep     %s\n", clean(strings.Join(s.Keep, ", ")))
	}
	for _, name := range sortedKeys(s.Out) {
		fmt.Fprintf(w, "  out      %s: %s\n", clean(name), clean(s.Out[name]))
	}
}

func crossingText(w io.Writer, c boundary.Crossing) {
	fmt.Fprintf(w, "\ncrossing %s: %s\n", c.Rule, clean(c.Text))
	for _, s := range c.Path {
		where := ""
		if p := s.Where.String(); p != "" {
			where = " (" + p + ")"
		}
		fmt.Fprintf(w, "  %s: %s%s\n", clean(s.Node), clean(s.Text), clean(where))
	}
}
