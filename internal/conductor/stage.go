package conductor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/store"
)

// job is one stage to run, over its layers.
type job struct {
	stage   pipeline.Stage
	layers  []digest.Digest // topmost first, the source last
	inputs  []evidence.Layer
	resolve bool          // the session may look up names
	std     digest.Digest // the compiled standard library, below all layers; has no part in what the stage comes to
	variant variant
	hands   []string // paths below the box that are handed on, beside the declared ones
	// modified is the time that what is handed on gets, in seconds of Unix time;
	// zero: store.Epoch
	modified int64
	record   evidence.Stage // as it is written down; a second build has no place in the run's record
}

// result is what a stage hands on.
type result struct {
	Layer     digest.Digest       `json:"layer,omitzero"` // what it changed of the workspace; zero: nothing
	Artifacts []evidence.Artifact `json:"artifacts,omitempty"`
	Served    []evidence.Material `json:"served,omitempty"`
	Tests     *evidence.Tests     `json:"tests,omitempty"`
	Rewrites  []evidence.Rewrite  `json:"rewrites,omitempty"`
	Receipt   evidence.Receipt    `json:"receipt"`
	Log       digest.Digest       `json:"log"`
	CPU       time.Duration       `json:"cpu"`
	MaxRSS    int64               `json:"max_rss"`
	Wall      time.Duration       `json:"wall"`
}

// runStage runs a stage, or recalls what it came to.
func (r *run) runStage(ctx context.Context, j *job) (*result, error) {
	key := r.key(j)
	id := r.begin(j, key)
	res, cached, err := r.recall(ctx, j, key)
	if err == nil && !cached {
		res, err = r.perform(ctx, j, id)
	}
	if err == nil && !cached {
		err = r.remember(j, key, res)
	}
	r.end(j, id, res, cached, err)
	return res, err
}

// begin records that a stage starts, under an identity of its own.
func (r *run) begin(j *job, key digest.Digest) string {
	id := r.identity(j.stage.Zone, j.stage.Name)
	r.log(ledger.Entry{Type: ledger.IdentityBegun, Stage: j.stage.Name, Identity: id, Subjects: j.layers, Facts: map[string]string{"zone": j.stage.Zone.String()}})
	r.events.emit(Event{Kind: StageStarted, Stage: j.stage.Name, Zone: j.stage.Zone})
	j.record = evidence.Stage{Name: j.stage.Name, Zone: j.stage.Zone, Identity: id, State: evidence.Running, Key: key,
		Commands: j.stage.Run, Inputs: j.inputs, Started: r.now()}
	r.rec.stage(j.record)
	return id
}

// end records how a stage ended, and that its identity is no more.
func (r *run) end(j *job, id string, res *result, cached bool, err error) {
	s := &j.record
	s.Ended, s.State, s.Cached, s.Inputs = r.now(), evidence.Success, cached, j.inputs
	if res != nil {
		s.Log, s.CPU, s.MaxRSS, s.Outputs, s.Rewrites = res.Log, res.CPU, res.MaxRSS, layersOf(j, res), res.Rewrites
		if len(res.Receipt.Probes) > 0 {
			receipt := res.Receipt
			s.Receipt = &receipt
		}
	}
	if err != nil {
		s.State, s.Reason = evidence.Failed, err.Error()
	}
	if e, ok := errors.AsType[*exited](err); ok {
		s.ExitCode, s.Limit = e.res.ExitCode, e.res.Limit
	}
	ended := *s
	r.rec.stage(ended)
	r.log(ledger.Entry{Type: ledger.IdentityEnded, Stage: j.stage.Name, Identity: id, Data: digestOfJSON(ended),
		Facts: map[string]string{"zone": j.stage.Zone.String(), "state": string(ended.State), "cached": fmt.Sprint(cached)}})
	r.events.emit(Event{Kind: StageEnded, Stage: j.stage.Name, Zone: j.stage.Zone, Record: &ended})
}

func layersOf(j *job, res *result) []evidence.Layer {
	if res.Layer.IsZero() {
		return nil
	}
	return []evidence.Layer{{From: j.stage.Name, Path: strings.Join(j.declared(), " "), Digest: res.Layer}}
}

// stage writes one stage into the record, where it has a place.
func (r *record) stage(one evidence.Stage) {
	r.update(func(e *evidence.Run) {
		for i := range e.Stages {
			if e.Stages[i].Name == one.Name {
				e.Stages[i] = one
			}
		}
	})
}

// exited is a payload that did not end well.
type exited struct{ res sandbox.Result }

// Error says how it ended.
func (e *exited) Error() string {
	switch {
	case e.res.Limit != "":
		return "reached its limit of " + e.res.Limit
	case e.res.Signal != nil:
		return "was ended by signal: " + e.res.Signal.String()
	}
	return fmt.Sprintf("exited with %d", e.res.ExitCode)
}

// perform runs a stage in a fresh zone and takes what it declared.
func (r *run) perform(ctx context.Context, j *job, id string) (*result, error) {
	r.withStandard(ctx, j)
	ws, err := r.Store.Workspace(j.stage.Name)
	if err != nil {
		return nil, err
	}
	defer r.outputs.discard(ws)
	log, err := newStageLog(r.rec.logPath(j.stage.Name), time.Now, func(line string) {
		r.events.emit(Event{Kind: StageLine, Stage: j.stage.Name, Text: line})
	})
	if err != nil {
		return nil, err
	}
	defer log.f.Close()
	b := r.bait(j)
	res, err := r.inZone(ctx, j, id, ws, log, b)
	tail, logErr := log.finish()
	if logErr != nil && err == nil {
		err = fmt.Errorf("write log: %w", logErr)
	}
	if err == nil {
		err = r.collect(ctx, j, ws, res)
	}
	if alarm := r.alarm(ctx, j, b, res); alarm != nil {
		err = alarm
	}
	if err == nil {
		err = r.keepLog(log.f, res)
	}
	return res, r.stageFailed(ctx, j, tail, err)
}

// stageFailed makes the error of a stage say what a user needs to know.
func (r *run) stageFailed(ctx context.Context, j *job, tail []string, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	e := &stageError{code: CodeStage, stage: j.stage.Name, why: err.Error(), tail: tail, log: r.rec.logPath(j.stage.Name), err: err}
	var x *exited
	switch {
	case errors.Is(err, errAlarm):
		e.code = CodeCanary
	case !errors.As(err, &x):
		e.code = CodeInternal
	case r.Store.Room() < 1<<20:
		e.code, e.why = CodeDiskFull, "the disk is full: "+e.why
		e.err = fmt.Errorf("%w: %w", store.ErrDiskFull, err)
	case x.res.Limit != "":
		e.code = CodeLimit
	default:
		e.why = commandOf(tail) + e.why
	}
	if x != nil {
		r.denials.heard(&j.stage, tail)
		r.denials.judge(j.stage.Name, e.why)
	}
	return e
}

// commandOf finds the command that was the last to start. It is a word for
// people: a stage can print such a line itself.
func commandOf(tail []string) string {
	for i := len(tail) - 1; i >= 0; i-- {
		if c, ok := strings.CutPrefix(tail[i], "+ "); ok {
			if len(c) > 100 {
				c = strings.ToValidUTF8(c[:100], "") + "..."
			}
			return c + ": "
		}
	}
	return ""
}

// errStopped is how a stage ends when the run ends before it.
var errStopped = errors.New("stopped: the run ended before it")

// inZone runs the commands and returns when every process of the zone is gone.
func (r *run) inZone(ctx context.Context, j *job, id string, ws store.Workspace, log *stageLog, b bait) (*result, error) {
	if err := r.checkLayers(ctx, j); err != nil {
		return nil, err
	}
	road := r.road(j, id)
	spec := r.spec(j, id, ws, road)
	out := b.watch.Stream("its log", log)
	defer out.Close()
	spec.Stdout, spec.Stderr = out, out
	b.lay(&spec)
	proc, err := r.Sandbox.Start(ctx, spec)
	if err != nil {
		if road != nil {
			road.Close()
		}
		return nil, fmt.Errorf("start zone: %w", err)
	}
	ended, err := r.attend(ctx, j, road, proc, b)
	receipt := proc.Receipt()
	r.log(ledger.Entry{Type: ledger.Receipt, Stage: j.stage.Name, Identity: id, Data: digestOfJSON(receipt), Facts: map[string]string{
		"level": receipt.Level, "probes": fmt.Sprint(len(receipt.Probes)), "clean": fmt.Sprint(receipt.Clean())}})
	res := &result{Receipt: receipt, CPU: ended.CPU, MaxRSS: ended.MaxRSS, Wall: ended.Wall}
	if road != nil {
		res.Served = road.Served()
	}
	r.denials.blocked(&j.stage, ended.Blocked)
	r.denials.limit(&j.stage, ended)
	b.asked(ended.Blocked)
	if ctx.Err() != nil {
		return res, errStopped
	}
	if err == nil && (ended.ExitCode != 0 || ended.Limit != "" || ended.Signal != nil) {
		err = &exited{ended}
	}
	if road != nil {
		err = errors.Join(err, broken(err, road.Err()))
	}
	if err == nil && !receipt.Clean() {
		err = fmt.Errorf("zone: %w", &sandbox.NotIsolated{Wanted: r.rec.run.Isolation.Level, Got: receipt.Level, Probes: unclean(receipt)})
	}
	return res, err
}

// attend serves a zone until every process of it is gone.
func (r *run) attend(ctx context.Context, j *job, road *gateway.Session, proc sandbox.Process, b bait) (sandbox.Result, error) {
	defer context.AfterFunc(ctx, proc.Kill)()
	listeners, stop := b.serve(proc.Listeners())
	defer stop()
	defer serve(ctx, road, listeners)()
	defer r.count(j.stage.Name, road)()
	return proc.Wait()
}

// broken is what of the gateway's trouble ends a fetch: all of it when the
// command failed, and what means that something is missing or was forged also
// when the command, as some do, says that all is well.
func broken(ended, road error) error {
	for _, c := range []fault.Code{fault.UpstreamDown, fault.Checksum, fault.Credential, fault.Tampered} {
		if errors.Is(road, c) {
			return road
		}
	}
	if ended != nil {
		return road
	}
	return nil
}

func unclean(receipt evidence.Receipt) []evidence.Probe {
	var out []evidence.Probe
	for _, p := range receipt.Probes {
		if !p.OK {
			out = append(out, p)
		}
	}
	return out
}

// seen are all trees that a zone is shown, topmost first.
func (j *job) seen() []digest.Digest {
	if j.std.IsZero() {
		return j.layers
	}
	return append(slices.Clone(j.layers), j.std)
}

func (r *run) checkLayers(ctx context.Context, j *job) error {
	for _, d := range j.seen() {
		if err := r.Store.Check(ctx, d); err != nil {
			return r.tampered(err, d)
		}
	}
	return nil
}

// road opens the gateway for a fetch stage; no other stage has one.
func (r *run) road(j *job, id string) *gateway.Session {
	if j.stage.Zone != boundary.Fetch {
		return nil
	}
	return r.Gateway.Session(gateway.SessionOptions{
		Run: r.rec.run.ID, Stage: j.stage.Name, Identity: id, Zone: j.stage.Zone, Allow: r.plan.allow, Beyond: r.beyond(j), Allowed: r.exceptions(),
		OnDenial: r.denials.add, NextDenial: r.denials.next,
	})
}

// beyond is what a stage may ask the gateway for that its plan does not hold.
func (r *run) beyond(j *job) gateway.Beyond {
	switch {
	case r.req.Learn:
		return gateway.Anything
	case j.resolve:
		return gateway.Reachable
	}
	return gateway.Nothing
}

// spec is the zone of a stage.
func (r *run) spec(j *job, id string, ws store.Workspace, road *gateway.Session) sandbox.Spec {
	s := &j.stage
	var onRoad []string
	var listen []int
	if road != nil {
		onRoad, listen = road.Env(gatewayPort), []int{gatewayPort}
	}
	onRoad = withToolchain(onRoad, r.plan.allow.Toolchain())
	spec := sandbox.Spec{
		Zone: s.Zone, Identity: id, Require: r.req.Require,
		Args: args(s, j.variant), Env: environ(s, r.tools, onRoad, j.variant), Dir: path.Join(j.variant.box(), srcDir, s.Dir),
		Overlay:  sandbox.Overlay{Upper: ws.Upper, Work: ws.Work, At: j.variant.At},
		Hostname: j.variant.Hostname, UID: j.variant.UID, Listen: listen,
		Limits: r.limits(j), Forbidden: forbidden(os.Environ()),
	}
	if r.req.Image != nil {
		spec.Image = r.req.Image.Root
	}
	for _, d := range j.seen() {
		spec.Overlay.Lower = append(spec.Overlay.Lower, r.Store.TreePath(d))
	}
	for _, m := range r.tools.Mounts {
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Host: m.Host, Inside: m.Inside, Exec: true})
	}
	return spec
}

// limits are the stage's own where it has some, else the request's.
func (r *run) limits(j *job) sandbox.Limits {
	l, s := r.req.Limits, j.stage.Limits
	if s.Time > 0 {
		l.Time = s.Time
	}
	if s.Memory > 0 {
		l.Memory = s.Memory
	}
	if s.Disk > 0 {
		l.Disk = s.Disk
	}
	if s.PIDs > 0 {
		l.PIDs = s.PIDs
	}
	if j.variant.CPUs > 0 {
		l.CPUs = j.variant.CPUs
	}
	return l
}

// forbidden are values of the controller's environment that look like secrets;
// the probe makes sure that a zone does not see them.
func forbidden(env []string) []string {
	var out []string
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		name = strings.ToUpper(name)
		for _, mark := range []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY"} {
			if strings.Contains(name, mark) && len(value) >= 8 {
				out = append(out, value)
				break
			}
		}
	}
	return out
}

// serve answers on the zone's own sockets until the returned function is called.
func serve(ctx context.Context, road *gateway.Session, listeners []net.Listener) (stop func()) {
	if road == nil {
		for _, l := range listeners {
			l.Close()
		}
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() { road.Serve(ctx, l) })
	}
	return func() {
		cancel()
		serving.Wait()
		road.Close()
	}
}

// count tells how many packages a fetch stage has been given, until stopped.
func (r *run) count(stage string, road *gateway.Session) (stop func()) {
	if road == nil {
		return func() {}
	}
	done := make(chan struct{})
	total := len(r.plan.allow.Materials())
	go func() {
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		for last := 0; ; {
			select {
			case <-done:
				return
			case <-t.C:
			}
			if n := len(road.Served()); n != last {
				last = n
				r.events.emit(Event{Kind: StageCount, Stage: stage, Done: n, Total: max(n, total)})
			}
		}
	}()
	return func() { close(done) }
}
