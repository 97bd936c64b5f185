package namespaces

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// Container runs the payload of each zone in a container that an OCI runtime
// makes inside the zone. The zone around it is as without one: own network,
// own root, bounded resources; whoever breaks the container stands in it.
type Container struct {
	Name      string // what --sandbox takes and evidence records
	Program   string // the runtime's program, on the host
	Args      []string
	OwnKernel bool // the payload's system calls are answered by the runtime's own kernel
	// Config gives config.json of the bundle for a view.
	Config func(View) (string, error)
}

// View is what a container is to be made of.
type View struct {
	Root     string   // its root file system
	Args     []string // its first process
	Hostname string
	Writable []string // the places inside that can be written
}

// containerFDs are the descriptors that come with a container's Setup beside
// the stage's: the runtime's program and three streams.
const containerFDs = 4

// planContainer adds the container to a zone's plan.
func (s *Sandbox) planContainer(p *plan) error {
	c := s.options.Container
	p.setup.Runtime = wire.Runtime{Program: wire.Source{FD: -1}, Args: c.Args, OwnKernel: c.OwnKernel}
	p.launch.OwnKernel = c.OwnKernel
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("name the host's kernel: %w", err)
	}
	p.launch.Probe.HostRelease = unix.ByteSliceToString(u.Release[:])
	src, err := s.open(p, c.Program, tree{exec: true})
	if err != nil {
		return fmt.Errorf("the container runtime: %w", err)
	}
	p.setup.Runtime.Program = src
	p.setup.Runtime.Config, err = c.Config(View{
		Root: wire.ContainerRoot, Args: []string{wire.ContainerInit, "container"}, Hostname: p.setup.Hostname, Writable: p.launch.Writable,
	})
	return err
}

// enter tells the container's first process its part, once the zone is made.
func (r *process) enter(p *plan) error {
	o := r.zone.sandbox.options
	return r.zone.control.send(wire.KindEnter, &wire.Enter{
		UID: p.user.inside, Without: o.WithoutUnsafe, FailStep: o.FailStepUnsafe, OwnKernel: o.Container.OwnKernel,
	})
}

// launch sends the payload to its process. In a container that process has had
// the streams from its start.
func (r *process) launch(p *plan) error {
	var streams []*os.File
	if r.zone.sandbox.options.Container == nil {
		streams = r.streams.inside[:]
	}
	if err := r.zone.payload.send(wire.KindLaunch, &p.launch, streams...); err != nil {
		return fmt.Errorf("tell the zone what to run: %w", err)
	}
	r.streams.closeInside()
	return nil
}
