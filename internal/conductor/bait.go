package conductor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/honey"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// errAlarm says that a honey credential came out of a stage.
var errAlarm = errors.New("a honey credential came out")

// bait is what one zone holds for thieves to find, and who notices. The zero bait
// is none. It is no input of the stage: no key has it, and a second build finds
// other values.
type bait struct {
	on    bool
	kit   honey.Kit
	watch *honey.Watch
}

// bait mints what the zone of a stage holds. Fetch has none: package managers
// would send it to the registry that it is for.
func (r *run) bait(j *job) bait {
	holds := j.stage.Zone == boundary.Generate || j.stage.Zone == boundary.Build || j.stage.Zone == boundary.Test
	if !holds || r.req.NoHoney {
		return bait{}
	}
	kit := honey.Mint()
	return bait{true, kit, honey.NewWatch(kit)}
}

// lay puts the bait into a zone.
func (b bait) lay(spec *sandbox.Spec) {
	if !b.on {
		return
	}
	spec.Env = append(spec.Env, b.kit.Env()...)
	spec.Files, spec.Canaries, spec.Metadata = b.kit.Files(), b.kit.Canaries(), true
}

// serve answers at the metadata address, and gives back the listeners that are
// not its own.
func (b bait) serve(all []net.Listener) (rest []net.Listener, stop func()) {
	if !b.on || len(all) == 0 {
		return all, func() {}
	}
	last := len(all) - 1
	return all[:last], b.kit.ServeMetadata(all[last])
}

// asked looks into the names and addresses that a zone wanted to reach.
func (b bait) asked(seen []sandbox.Blocked) {
	for _, s := range seen {
		b.watch.Text("the address that it wanted to reach", s.Target)
	}
}

// alarm looks into what a stage hands on, and records what was noticed. The
// error ends the stage: nothing of it is remembered or released.
func (r *run) alarm(ctx context.Context, j *job, b bait, res *result) error {
	if !b.on {
		return nil
	}
	if res != nil && !res.Layer.IsZero() && ctx.Err() == nil {
		b.watch.Tree(ctx, "what it hands on", r.Store.TreePath(res.Layer))
	}
	alarms, err := b.watch.Alarms()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("look for honey credentials: %w", err)
	}
	for _, place := range b.watch.Unread() {
		r.note("not searched for honey credentials to the end: " + harmless([]byte(place)))
	}
	if len(alarms) == 0 {
		return nil
	}
	for _, a := range alarms {
		r.denials.add(evidence.Denial{
			ID: r.denials.id(), Class: "canary", Stage: j.stage.Name, Zone: j.stage.Zone, Target: string(a.Kind), Count: 1, Time: r.now(),
			Why: harmless([]byte(a.Said())), Where: whereOf(&j.stage), Verdict: "the cause: a run in which a credential was taken ends",
			Do: "find what reads credentials: sallyport logs " + j.stage.Name,
		})
		r.log(ledger.Entry{Type: ledger.Alarm, Stage: j.stage.Name, Data: digest.OfString(a.Print),
			Facts: map[string]string{"kind": string(a.Kind), "where": harmless([]byte(a.Where)), "zone": j.stage.Zone.String()}})
	}
	kinds := make([]string, 0, len(alarms))
	for _, a := range alarms {
		kinds = append(kinds, string(a.Kind)+" in "+harmless([]byte(a.Where)))
	}
	return fmt.Errorf("%w: %s", errAlarm, strings.Join(kinds, ", "))
}
