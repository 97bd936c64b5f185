// Package confine runs one command of an existing checkout in a zone, with
// nothing to configure.
//
// The working directory is writable, at the same path as outside; the rest of
// the machine is not there. The environment is an allow-list, HOME is thrown
// away, the only network is the gateway, and that only in the fetch zone. What
// is trusted later (.git, CI files, editor and agent settings) cannot be
// changed, credentials in the checkout are seen empty.
//
// It does not vet what the command leaves in the checkout: code that it wrote
// there runs with your authority once you run it outside.
package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/honey"
	"github.com/sallyport/sallyport/internal/joblog"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// gatewayPort is where the gateway listens inside, on a loopback of its own.
const gatewayPort = 8473

// Road is the gateway as one command sees it.
type Road interface {
	http.Handler
	Env(port int) []string
	Denials() []evidence.Denial
}

// Request is one command. The zero value of each field gives it less.
type Request struct {
	ID      string // of the command: D-<ID>-<n> are its refusals
	Zone    boundary.Zone
	Require string // lowest isolation level; empty: full
	Dir     string // working directory, absolute and free of links
	Copy    string // directory that is shown in the place of Dir, such as a copy of it to be thrown away; empty: Dir itself
	Write   []string
	Show    []string // paths in Dir that hold credentials and are shown all the same
	Args    []string

	Host    []string             // environment of the caller
	Names   []string             // variables of Host that are let through beyond the usual
	Base    []string             // environment of the toolchains
	Tools   []sandbox.Mount      // the toolchains
	Image   string               // directory of an image in place of the host's programs; empty: the host's
	Road    Road                 // nil: no network at all
	Allowed []boundary.Allowance // exceptions of the project, to say of a refusal that one has run out
	Honey   bool                 // the zone holds honey credentials, and what takes one out is noticed

	Scratch    string // empty directory for this command, for what is shown in place of credentials
	Quarantine string // directory for what is moved away

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Limits         sandbox.Limits

	// Started is told the receipt before the first output of the command.
	Started func(evidence.Receipt)

	ear *joblog.Ear
}

// Outcome is how a command ended.
type Outcome struct {
	ExitCode  int    // of the command; 128 and the number of the signal that ended it
	Limit     string // which limit ended it; empty: none
	Receipt   evidence.Receipt
	Denials   []evidence.Denial
	Intruders []Intruder
	Alarms    []honey.Alarm // credentials that are worth nothing, and that the command took
}

// Run runs the command and returns when every process of it is gone. The error
// is a *sandbox.NotIsolated when the zone would have been too weak; a command
// that fails is no error.
func Run(ctx context.Context, sb sandbox.Sandbox, r Request) (Outcome, error) {
	if err := CheckDir(r.Dir); err != nil {
		return Outcome{}, err
	}
	g, err := newGuard(r.host())
	if err != nil {
		return Outcome{}, err
	}
	spec, err := r.spec(g)
	if err != nil {
		return Outcome{}, err
	}
	r.ear = &joblog.Ear{}
	if r.Honey { // without, the command has the caller's own streams
		spec.Stdout, spec.Stderr = r.hear(spec.Stdout), r.hear(spec.Stderr)
	}
	b := r.bait(&spec)
	proc, err := sb.Start(ctx, spec)
	if err != nil {
		return Outcome{}, err
	}
	if r.Started != nil {
		r.Started(proc.Receipt())
	}
	stop := r.serve(proc.Listeners(), b)
	stopKill := context.AfterFunc(ctx, proc.Kill)
	res, err := proc.Wait()
	stopKill()
	stop()
	intruders, sweepErr := g.sweep(r.Quarantine)
	if err := errors.Join(err, sweepErr); err != nil {
		return Outcome{}, err
	}
	if cause := context.Cause(ctx); cause != nil {
		return Outcome{}, cause
	}
	out := Outcome{ExitCode: exitCode(res), Limit: res.Limit, Receipt: proc.Receipt(), Intruders: intruders}
	if out.Alarms, err = b.alarms(res); err != nil {
		return Outcome{}, err
	}
	out.Denials = r.denials(res, out)
	return out, nil
}

// spec is the zone of the command.
func (r *Request) spec(g *guard) (sandbox.Spec, error) {
	base := r.Base
	var listen []int
	if r.Road != nil {
		base = append(append([]string{}, base...), r.Road.Env(gatewayPort)...)
		listen = []int{gatewayPort}
	}
	env, err := environ(r.Host, base, r.Names)
	if err != nil {
		return sandbox.Spec{}, err
	}
	mounts, err := r.mounts(g)
	if err != nil {
		return sandbox.Spec{}, err
	}
	return sandbox.Spec{
		Zone: r.Zone, Identity: identity(r.Zone), Require: r.Require,
		Args: r.Args, Env: env, Dir: inside(r.Dir), Image: r.Image,
		Mounts: mounts, Listen: listen, NoLoopback: false,
		Limits: r.Limits, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr,
		Forbidden: forbidden(r.Host),
	}, nil
}

func identity(z boundary.Zone) string {
	return fmt.Sprintf("spiffe://sallyport.local/exec/%s/exec", z)
}

// serve answers on the zone's own sockets until the returned function is called.
func (r *Request) serve(listeners []net.Listener, b *bait) (stop func()) {
	listeners, stopHoney := b.serve(listeners)
	if r.Road == nil {
		for _, l := range listeners {
			l.Close()
		}
		return stopHoney
	}
	srv := &http.Server{Handler: b.watched(r.Road), ReadHeaderTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	for _, l := range listeners {
		go srv.Serve(l)
	}
	return func() { srv.Close(); stopHoney() }
}

func exitCode(res sandbox.Result) int {
	if s, ok := res.Signal.(syscall.Signal); ok && s != 0 {
		return 128 + int(s)
	}
	return res.ExitCode
}
