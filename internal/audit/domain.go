package audit

import (
	"slices"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// domain is what is not isolated from each other, with all that is in it, in
// the order of the file.
type domain struct {
	def   *ci.Definition
	jobs  []*ci.Job
	stand standing
	event []event
	holds []held
	acts  []act
}

// event is one ci.Event and where it is.
type event struct {
	ci.Event
	job  *ci.Job
	step int
}

// held is one credential and the job that holds it.
type held struct {
	ci.Credential
	job *ci.Job
}

type act struct {
	ci.Act
	job  *ci.Job
	step int
}

// domains groups the jobs of all definitions, in their order.
func domains(defs []ci.Definition) []*domain {
	var all []*domain
	by := map[string]*domain{}
	for d := range defs {
		for j := range defs[d].Jobs {
			key := domainOf(defs[d], defs[d].Jobs[j])
			x := by[key]
			if x == nil {
				x = &domain{def: &defs[d]}
				by[key] = x
				all = append(all, x)
			}
			x.add(&defs[d].Jobs[j])
		}
	}
	return all
}

func (x *domain) add(j *ci.Job) {
	x.jobs = append(x.jobs, j)
	s := trustOf(*x.def, *j)
	x.stand.maintained = x.stand.maintained || s.maintained
	x.stand.contributed = x.stand.contributed || s.contributed
	x.stand.strange = x.stand.strange || s.strange
	for i, s := range j.Steps {
		for _, e := range s.Events {
			x.event = append(x.event, event{e, j, i})
		}
		for _, a := range s.Acts {
			x.acts = append(x.acts, act{a, j, i})
		}
	}
	for _, c := range j.Credentials {
		x.holds = append(x.holds, held{c, j})
	}
}

// name is what the domain is called in a report.
func (x *domain) name() string { return x.jobs[0].ID }

// reaches tells whether code that starts at e can get at c. Nothing within a
// domain keeps them apart, but a container of its own.
func (x *domain) reaches(e event, c held) bool {
	if e.alone() || c.alone() {
		return e.job == c.job && (e.step == c.Step || c.Step < 0)
	}
	return true
}

func (e event) alone() bool { return e.job.Steps[e.step].Alone }

func (c held) alone() bool {
	return c.Step >= 0 && c.Step < len(c.job.Steps) && c.job.Steps[c.Step].Alone
}

// after tells whether e starts when c is already there.
func (e event) after(c held) bool {
	return c.Scope != ci.MintedAt || e.job != c.job || e.step >= c.Step
}

// within tells whether c is written at the very step of e.
func (e event) within(c held) bool { return e.job == c.job && e.step == c.Step }

// some returns the events of a domain that ok tells.
func (x *domain) some(ok func(event) bool) []event {
	var all []event
	for _, e := range x.event {
		if ok(e) {
			all = append(all, e)
		}
	}
	return all
}

func executes(e event) bool { return e.Tier == ci.Executes && !e.Own }
func steered(e event) bool  { return e.Tier == ci.Steered }

// tainted tells whether code runs in the domain that nobody here verified.
func (x *domain) tainted() bool {
	return slices.ContainsFunc(x.event, func(e event) bool { return executes(e) || steered(e) })
}

// high are the credentials that the default profile reports.
func (x *domain) high() []held {
	var all []held
	for _, c := range x.holds {
		if c.High() {
			all = append(all, c)
		}
	}
	return all
}

// meeting returns the first event of a list that reaches c: one that starts
// when c is there, where there is such, since it needs no patience.
func (x *domain) meeting(events []event, c held) (event, bool) {
	found := -1
	for i, e := range events {
		if !x.reaches(e, c) {
			continue
		}
		if e.after(c) {
			return e, true
		}
		if found < 0 {
			found = i
		}
	}
	if found < 0 {
		return event{}, false
	}
	return events[found], true
}
