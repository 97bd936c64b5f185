// Package drill replays, harmlessly and locally, what real attacks on builds
// did, and says what each could reach.
//
// A case lays out a small world of its own: a checkout, a home with canary
// credentials, a cache, a tool folder, a neighbouring process, and sinks that
// stand for the attacker. Its hostile step runs twice in two such worlds: once
// plainly, which has to show the effect (the control), once in the subject, such
// as a Sallyport zone. Then whatever trusts the outcome later runs, the way it
// does in a job of today. An oracle searches every byte that came out for the
// canaries, in the usual encodings, and compares the trees.
//
// An attack is a chain of links, and each link is tried on its own, whatever
// became of those before it: a link that held in the control and broke in the
// subject is one independent stop. The verdict is never better than what was
// seen: a case whose control showed nothing, or whose step cannot be proven to
// have run, is not-run.
//
// The package runs no real attack code, needs no other machine, and has no way
// to a key.
package drill

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
)

// Outcome is what became of an attack in a subject.
type Outcome string

// The outcomes, best first. Bounded is never counted as stopped.
const (
	Stopped Outcome = "stopped" // no canary came out and nothing outside changed
	Bounded Outcome = "bounded" // what cannot be stopped in principle, and carries nothing of worth
	Effect  Outcome = "effect"  // something outside changed, or trusted what it should not
	Leaked  Outcome = "leaked"  // a canary came out
	NotRun  Outcome = "not-run" // cannot tell: the control showed nothing, or the step did not run
)

// Control says whether the attack works where nothing stops it.
type Control string

// The controls.
const (
	Shown    Control = "shown"
	NotShown Control = "not-shown"
)

// Case is one hostile step, or one story of several, and the attacks that it
// makes.
type Case struct {
	Name   string   // unique, such as "npm" or "R21"
	Tongue string   // what the hostile code is written in
	Needs  []string // programs, without which the case does not run
	Files  map[string]string
	Acts   []Act
	// Refused is a code such as E-GW-FOREIGN-HOST: a subject that refuses with it
	// before the step runs has stopped the attack.
	Refused []string
	// Env are further variables of the job, filled in like Files.
	Env []string
	// OwnState gives the subject a state directory for this case alone.
	OwnState bool
	// Prepare makes what Files cannot say.
	Prepare func(ctx context.Context, w *World) error
	Attacks []Attack
}

// Act is one pipeline of somebody: its stages, then what trusts the outcome.
type Act struct {
	Stages []Stage
	// Whole runs the stages as one `sallyport run`; otherwise each is one
	// `sallyport exec`.
	Whole bool
	// Later is a command of a trusted step, which has the release canary in its
	// environment. It runs in the checkout, outside of any zone.
	Later string
	// Release is what a job of today does to publish; a Sallyport run releases
	// by itself, and never runs this.
	Release string
	// Before is done by somebody else before the act: a fork's change, a tag
	// that moves.
	Before func(ctx context.Context, w *World) error
}

// Stage is one command that runs code of others.
type Stage struct {
	Zone    boundary.Zone
	Command string
	Keep    string // what it hands on, relative to the checkout
	Out     string // an artifact, relative to the checkout
}

// Attack is one technique or incident that a case makes.
type Attack struct {
	ID        string // such as "R01.npm"
	Technique string // R01 to R35, G1 to G15, or the name of an incident
	Title     string
	Story     []string // of an incident: what happened, a line each
	Links     []Link
	Bounds    string // why what remains of it cannot be stopped; empty: it can
}

// Link is one step of an attack that can be stopped on its own.
type Link struct {
	Name string // what the attacker does, such as "sends to a host of the attacker"
	Wall string // what stops it, such as "SP3: no route"
	Kind Kind
	Held func(w *World) bool // whether it worked in this world
}

// Kind says what it means when a link holds.
type Kind int

// The kinds of links.
const (
	Way   Kind = iota // a means: by itself no harm
	Harm              // something outside changed: the outcome is effect
	Theft             // a canary came out: the outcome is leaked
	Bound             // what cannot be stopped: the outcome is bounded
)

// Result is what became of one attack.
type Result struct {
	ID        string       `json:"id"`
	Technique string       `json:"technique"`
	Title     string       `json:"title"`
	Tongue    string       `json:"tongue,omitempty"`
	Control   Control      `json:"control"`
	Outcome   Outcome      `json:"outcome"`
	Stops     []string     `json:"stops"` // links that held in the control and broke here
	Reached   []string     `json:"reached,omitempty"`
	Links     []LinkResult `json:"links,omitempty"`
	Story     []string     `json:"story,omitempty"`
	Why       string       `json:"why,omitempty"`
	Bounds    string       `json:"bounds,omitempty"`
	Seconds   float64      `json:"seconds"`
}

// LinkResult is one link in both worlds.
type LinkResult struct {
	Name    string `json:"name"`
	Wall    string `json:"wall,omitempty"`
	Control bool   `json:"control"`
	Subject bool   `json:"subject"`
}

// Good says whether the boundary held.
func (r *Result) Good() bool { return r.Outcome == Stopped || r.Outcome == Bounded }

// judge says what became of an attack, from the world of the control and that
// of the subject. It looks at nothing else.
func (c *Case) judge(a *Attack, control, subject *World) Result {
	r := Result{ID: a.ID, Technique: a.Technique, Title: a.Title, Tongue: c.Tongue, Story: a.Story, Bounds: a.Bounds,
		Control: NotShown, Outcome: Stopped, Stops: []string{}}
	worst := Way
	for _, l := range a.Links {
		one := LinkResult{Name: l.Name, Wall: l.Wall, Control: l.Held(control), Subject: l.Held(subject)}
		r.Links = append(r.Links, one)
		if one.Control && l.Kind != Way {
			r.Control = Shown
		}
		switch {
		case one.Subject && l.Kind != Way:
			r.Reached = append(r.Reached, l.Name)
			worst = worse(worst, l.Kind)
		case one.Control && !one.Subject && l.Wall != "":
			r.Stops = append(r.Stops, l.Wall)
		}
	}
	switch worst {
	case Theft:
		r.Outcome = Leaked
	case Harm:
		r.Outcome = Effect
	case Bound:
		r.Outcome = Bounded
	}
	if len(subject.strays) > 0 && r.Outcome != Leaked {
		r.Outcome, r.Reached = Effect, append(r.Reached, subject.strays...)
	}
	r.doubt(c, subject)
	return r
}

// doubt takes back what cannot be known.
func (r *Result) doubt(c *Case, subject *World) {
	switch {
	case r.Outcome == Leaked || r.Outcome == Effect:
	case r.Control == NotShown:
		r.Outcome, r.Why = NotRun, "run plainly, the attack shows no effect here"
	case !subject.ran() && !subject.refusedWith(c.Refused):
		r.Outcome, r.Why = NotRun, "nothing shows that the hostile step ran: "+subject.lastLine()
	}
}

func worse(a, b Kind) Kind {
	rank := map[Kind]int{Way: 0, Bound: 1, Harm: 2, Theft: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Run replays a case in a control world and in the subject's, and judges each of
// its attacks. With a plain subject there is only the control: what is reported
// is what today's job would have lost.
func Run(ctx context.Context, c *Case, o Options, s Subject) ([]Result, error) {
	if missing := c.missing(); missing != "" {
		return c.notRun("needs " + missing), nil
	}
	control, err := c.replay(ctx, o, Plain{})
	if err != nil {
		return nil, fmt.Errorf("control of %s: %w", c.Name, err)
	}
	defer control.Close()
	return c.against(ctx, o, s, control)
}

// Compare replays a case in one control world and in that of each subject, and
// gives the results of each. What one of them cannot replay is not-run, and does
// not take the others with it: the only error is that of a context that ended.
func Compare(ctx context.Context, c *Case, o Options, subjects []Subject) ([][]Result, error) {
	out := make([][]Result, len(subjects))
	missing, control := c.missing(), (*World)(nil)
	err := fmt.Errorf("needs %s", missing)
	if missing == "" {
		control, err = c.replay(ctx, o, Plain{})
	}
	if err == nil {
		defer control.Close()
	}
	for i, s := range subjects {
		one := err
		if one == nil {
			out[i], one = c.against(ctx, o, s, control)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if one != nil {
			out[i] = c.notRun(one.Error())
		}
	}
	return out, nil
}

// against replays a case in a subject and judges it by a control.
func (c *Case) against(ctx context.Context, o Options, s Subject, control *World) ([]Result, error) {
	began := time.Now()
	subject := control
	if _, plain := s.(Plain); !plain {
		var err error
		if subject, err = c.replay(ctx, o, s); err != nil {
			return nil, fmt.Errorf("replay %s: %w", c.Name, err)
		}
		defer subject.Close()
	}
	var out []Result
	for i := range c.Attacks {
		r := c.judge(&c.Attacks[i], control, subject)
		r.Seconds = time.Since(began).Seconds() / float64(len(c.Attacks))
		out = append(out, r)
	}
	return out, nil
}

func (c *Case) notRun(why string) []Result {
	var out []Result
	for _, a := range c.Attacks {
		out = append(out, Result{ID: a.ID, Technique: a.Technique, Title: a.Title, Tongue: c.Tongue, Story: a.Story, Bounds: a.Bounds,
			Control: NotShown, Outcome: NotRun, Stops: []string{}, Why: why})
	}
	return out
}

// replay plays a case in a new world.
func (c *Case) replay(ctx context.Context, o Options, s Subject) (*World, error) {
	w, err := newWorld(o, c.Name)
	if err != nil {
		return nil, err
	}
	if err := c.play(ctx, w, s); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (c *Case) play(ctx context.Context, w *World, s Subject) error {
	for _, v := range c.Env {
		w.vars = append(w.vars, w.fill(v))
	}
	if c.OwnState {
		w.state = filepath.Join(w.Dir, "subject", "state")
	}
	for name, text := range c.Files {
		if err := w.write(name, text); err != nil {
			return err
		}
	}
	if c.Prepare != nil {
		if err := c.Prepare(ctx, w); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	for i := range c.Acts {
		if err := w.act(ctx, s, &c.Acts[i]); err != nil {
			return err
		}
	}
	return w.settle()
}

// act plays one act: what somebody does first, the stages, what trusts them.
func (w *World) act(ctx context.Context, s Subject, a *Act) error {
	if a.Before != nil {
		if err := a.Before(ctx, w); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	if err := w.snapshot(); err != nil {
		return err
	}
	if err := s.Play(ctx, w, a); err != nil {
		return err
	}
	if err := w.compare(); err != nil {
		return err
	}
	if a.Later != "" {
		return w.trusted(ctx, a.Later)
	}
	return nil
}
