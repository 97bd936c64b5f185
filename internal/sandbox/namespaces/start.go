package namespaces

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// refillDelay is how long after a start the next zone is prepared.
const refillDelay = 20 * time.Millisecond

// Start makes the zone, has it probed, and lets the payload run. When ctx ends,
// so does the zone. An error of the payload's own start (no such program) wraps
// fs.ErrNotExist or fs.ErrPermission.
func (s *Sandbox) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	level := s.level()
	if err := enough(spec.Require, level); err != nil {
		return nil, err
	}
	p, err := s.newPlan(spec)
	if err != nil {
		return nil, err
	}
	defer p.close()
	z, err := s.take(p.user, p.spec.Image != "")
	if s.options.Prepare {
		// Later, since the payload of this one has to start first.
		defer time.AfterFunc(refillDelay, s.prepareNext)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, z.kill)
	started, err := z.start(p, level)
	if err != nil {
		stop()
		z.discard()
		return nil, errors.Join(ctx.Err(), err)
	}
	started.stop = stop
	go started.run(ctx)
	return started, nil
}

// start does what depends on the stage, in a zone that is prepared.
func (z *zone) start(p *plan, level sandbox.Level) (*process, error) {
	if err := z.cgroup.limit(p.limits); err != nil {
		z.missing = append(z.missing, z.sandbox.cgroups.lack(err))
	} else if z.cgroup.countsProcesses() {
		p.launch.Limits[0].Value *= 2 // a floor below the group's bound, which counts what it refuses
	}
	io, err := newStreams(p.spec, p.limits.Output, z.user)
	if err != nil {
		return nil, fmt.Errorf("open the zone's streams: %w", err)
	}
	r := &process{zone: z, spec: p.spec, limits: p.limits, streams: io, began: time.Now(), done: make(chan struct{})}
	if err := r.make(p, level); err != nil {
		io.close()
		closeListeners(r.listeners)
		return nil, z.explain(err)
	}
	return r, nil
}

// make mounts, probes, judges, and gives the word.
func (r *process) make(p *plan, level sandbox.Level) error {
	var made wire.Made
	files := p.trees
	contained := r.zone.sandbox.options.Container != nil
	if contained {
		files = append(files, r.streams.inside[:]...)
	}
	if err := r.zone.control.send(wire.KindSetup, &p.setup, files...); err != nil {
		return fmt.Errorf("tell the zone what to mount: %w", err)
	}
	sockets, err := r.zone.control.receive(wire.KindMade, &made)
	if err != nil {
		return fmt.Errorf("make the zone: %w", err)
	}
	if r.listeners, err = listeners(sockets); err != nil {
		return fmt.Errorf("take the zone's sockets: %w", err)
	}
	p.launch.Root = made.Root
	if contained {
		if err := r.enter(p); err != nil {
			return fmt.Errorf("tell the container its part: %w", err)
		}
		// Its init closes /proc beside the payload's process. A probe that looked
		// earlier would find it open.
		if err := r.zone.locked(); err != nil {
			return err
		}
	}
	if err := r.launch(p); err != nil {
		return err
	}
	var probed wire.Probed
	told, err := r.zone.payload.receive(wire.KindProbed, &probed)
	if err != nil {
		return fmt.Errorf("probe the zone: %w", err)
	}
	r.watch(told)
	if err := r.judge(p, level, append(made.Missing, probed.Missing...), append(made.Probes, probed.Probes...)); err != nil {
		return err
	}
	if !contained {
		if err := r.zone.locked(); err != nil {
			return err
		}
	}
	return r.zone.release()
}

// locked waits until the zone's PID 1, or its container's, can do nothing more.
func (z *zone) locked() error {
	if _, err := z.control.receive(wire.KindLocked, nil); err != nil {
		return fmt.Errorf("lock the zone: %w", err)
	}
	return nil
}

// watch begins to answer the zone's connections, where the kernel lets us hear of
// them.
func (r *process) watch(told []*os.File) {
	if len(told) != 1 {
		closeAll(told)
		return
	}
	r.watcher = &watcher{file: told[0], first: r.zone.process.Pid, listen: r.spec.Listen}
	go r.watcher.run()
}

// judge makes the receipt, and refuses a zone that is weaker than required or
// in which anything succeeded that should not have.
func (r *process) judge(p *plan, level sandbox.Level, missing []wire.Lack, probes []wire.Probe) error {
	for _, l := range append(r.zone.missing, p.lacks...) {
		level = lowered(level, l)
	}
	for _, l := range missing {
		level = lowered(level, sandbox.Lack{Primitive: l.Primitive, Why: l.Why})
	}
	r.receipt = evidence.Receipt{
		Zone: p.spec.Zone, Identity: p.spec.Identity, Sandbox: r.zone.sandbox.Name(), Level: level.Name, Time: time.Now().UTC(),
		Probes: make([]evidence.Probe, 0, len(probes)),
	}
	var failed []evidence.Probe
	for _, b := range probes {
		e := evidence.Probe(b)
		r.receipt.Probes = append(r.receipt.Probes, e)
		if !e.OK {
			failed = append(failed, e)
		}
	}
	if err := enough(p.spec.Require, level); err != nil {
		return err
	}
	if contained := r.zone.sandbox.options.Container != nil; contained && !slices.ContainsFunc(probes, aroundContainer) {
		return errors.New("the zone around the container was not probed")
	}
	if !r.receipt.Clean() {
		return &sandbox.NotIsolated{Wanted: level.Name, Got: sandbox.LevelNone, Missing: level.Missing, Probes: failed}
	}
	return nil
}

// aroundContainer tells whether a probe is one that was made outside of the
// zone's container.
func aroundContainer(p wire.Probe) bool { return strings.HasPrefix(p.Name, "zone.") }

// release gives the word and waits until the payload runs: its process's line
// closes when it becomes the payload. A container's runtime keeps that line
// open; there its first process tells.
func (z *zone) release() error {
	if err := z.payload.send(wire.KindGo, nil); err != nil {
		return fmt.Errorf("release the payload: %w", err)
	}
	if z.sandbox.options.Container != nil {
		if _, err := z.control.receive(wire.KindStarted, nil); err != nil {
			return fmt.Errorf("start the payload: %w", err)
		}
		return nil
	}
	_, err := z.payload.receive(wire.KindGo, nil) // nothing comes but an error
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = errors.New("the zone spoke out of turn")
	}
	return fmt.Errorf("start the payload: %w", err)
}

// listeners makes network listeners of the zone's sockets.
func listeners(sockets []*os.File) ([]net.Listener, error) {
	defer closeAll(sockets) // FileListener has its own
	var all []net.Listener
	for _, f := range sockets {
		l, err := net.FileListener(f)
		if err != nil {
			closeListeners(all)
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func closeListeners(all []net.Listener) {
	for _, l := range all {
		_ = l.Close() // nobody was served
	}
}
