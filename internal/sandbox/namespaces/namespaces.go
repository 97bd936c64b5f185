// Package namespaces keeps sandbox's promise with what the Linux kernel gives
// every user: namespaces, an own root, Landlock, seccomp and control groups,
// without a daemon, a helper program or cgo.
//
// A zone is a process tree below an init of ours (package zoneinit) that runs
// from a sealed memory file. It has seven namespaces of its own, a root made
// from an allow-list of read-only mounts, no interface but lo, no capability
// and no way to one. The sockets it listens on are handed to the controller.
// One zone is kept prepared, so that a start has to do only what depends on
// the stage. docs/sandbox.md describes the layers one by one.
//
// As root the processes of a zone run under an unprivileged user of the host
// (HostIDs), and the controller opens every host path itself, so that a zone
// can be shown what lies below a directory that only root may enter. As an
// ordinary user they run under that user's own id, and see what it may see of
// what they are shown.
//
// What it does not promise. The kernel is shared: a bug in the system calls that
// remain ends the isolation. Groups of an ordinary user beyond the first one
// stay with the zone's processes (they cannot be dropped without privilege), so
// a file that such a group may read is readable where it is shown. The mount
// table inside names the host's paths of what is shown. Without a control group
// there is no bound on memory, which is a reduced level.
package namespaces

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/sandbox/host"
)

//go:embed init
var embedded embed.FS

// Name is what --sandbox takes and evidence records.
const Name = "namespaces"

// hostID is the user and group of the host that zones run under when the
// controller is root: a number below 65536, as some file systems and all user
// databases expect, that no distribution gives to anybody.
const hostID = 64913

// insideID is the user inside a zone, where the stage does not say another.
const insideID = 1000

// Options are how zones are made.
type Options struct {
	// Init is the program of a zone's first process; nil means the one that
	// this binary was built with.
	Init []byte
	// StateDir is the controller's state directory. No zone may see it.
	StateDir string
	// Prepare keeps one zone prepared, so that a start takes less time.
	Prepare bool
	// Container runs payloads in a container of an OCI runtime, inside the
	// zone; nil: in the zone itself.
	Container *Container
	// WithoutUnsafe leaves out primitives (the constants of package wire, or
	// the names of namespaces: "net", "ipc" ...). It exists for the tests that
	// show that a zone without them is refused.
	WithoutUnsafe []string

	// FailStepUnsafe lets one step of each of a zone's processes fail, from 1 on.
	// It exists for the tests that show that no payload then runs.
	FailStepUnsafe int
}

// Sandbox makes zones on this machine.
type Sandbox struct {
	options Options
	program *os.File // the init, sealed
	ids     identity
	spawner *spawner
	cgroups *cgroups
	level   func() sandbox.Level
	ownNS   []string // the namespaces that zones must not share

	mu       sync.Mutex
	closed   bool
	prepared chan *zone // nil: none under way; else gives one, or nil when that failed
	zones    map[*zone]struct{}
	maps     map[int]*os.File // user namespaces for idmapped mounts, by owner
}

// ErrNoInit says that the binary holds no init for zones.
var ErrNoInit = errors.New("this binary was built without its zone init; build with: make build")

var _ sandbox.Sandbox = (*Sandbox)(nil)

// New makes a sandbox. It measures nothing yet and, without Options.Prepare,
// starts nothing.
func New(o Options) (*Sandbox, error) {
	code, err := program(o.Init, embedded)
	if err != nil {
		return nil, err
	}
	own, err := ownNamespaces(os.Readlink)
	if err != nil {
		return nil, fmt.Errorf("name the namespaces that no zone may share: %w", err)
	}
	sealed, err := sealed("zoneinit", code)
	if err != nil {
		return nil, fmt.Errorf("keep the zone's init in memory: %w", err)
	}
	s := &Sandbox{
		options: o, program: sealed, ids: ownIdentity(), spawner: newSpawner(), cgroups: locateCgroups(),
		zones: make(map[*zone]struct{}), maps: make(map[int]*os.File), ownNS: own,
	}
	s.level = sync.OnceValue(s.measure)
	if o.Prepare {
		s.prepareNext()
	}
	return s, nil
}

// program is the init that was given, or the one among the files of the build.
func program(given []byte, built fs.FS) ([]byte, error) {
	if given != nil {
		return given, nil
	}
	code, err := fs.ReadFile(built, "init/zoneinit")
	if err != nil {
		return nil, ErrNoInit
	}
	return code, nil
}

// Name returns "namespaces", or the name of the container's runtime.
func (s *Sandbox) Name() string {
	if c := s.options.Container; c != nil {
		return c.Name
	}
	return Name
}

// OwnKernel tells whether payloads run on a kernel of their own, that of a
// container runtime.
func (s *Sandbox) OwnKernel() bool {
	return s.options.Container != nil && s.options.Container.OwnKernel
}

// HostIDs returns the user and group of the host that zones run under, which
// own what a zone writes.
func (s *Sandbox) HostIDs() (uid, gid int) { return s.ids.uid, s.ids.gid }

// Level tells what this host can give. It is measured once.
func (s *Sandbox) Level(context.Context) sandbox.Level {
	l := s.level()
	l.Missing = slices.Clone(l.Missing)
	return l
}

func (s *Sandbox) measure() sandbox.Level {
	l := host.Measure(context.Background())
	for _, w := range s.options.WithoutUnsafe {
		l = lowered(l, sandbox.Lack{Primitive: w, Why: "left out on request"})
	}
	return l
}

// lowered is l without one more primitive.
func lowered(l sandbox.Level, lack sandbox.Lack) sandbox.Level {
	for _, m := range l.Missing {
		if m.Primitive == lack.Primitive {
			return l
		}
	}
	if l.Name == sandbox.LevelFull {
		l.Name = sandbox.LevelReduced
	}
	l.Missing = append(slices.Clone(l.Missing), lack)
	return l
}

// enough tells whether a level is at least the one that is required, which is
// the full one where nothing is said. No zone runs at LevelNone.
func enough(require string, l sandbox.Level) error {
	if require == "" {
		require = sandbox.LevelFull
	}
	ranks := map[string]int{sandbox.LevelFull: 2, sandbox.LevelReduced: 1}
	wanted, known := ranks[require]
	if !known {
		return fmt.Errorf("no isolation level %q: the levels are %s and %s", require, sandbox.LevelFull, sandbox.LevelReduced)
	}
	if ranks[l.Name] < wanted || ranks[l.Name] == 0 {
		return &sandbox.NotIsolated{Wanted: require, Got: l.Name, Missing: l.Missing}
	}
	return nil
}

// Close ends every zone and waits until they are gone.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	s.closed = true
	zones := make([]*zone, 0, len(s.zones))
	for z := range s.zones {
		zones = append(zones, z)
	}
	next := s.prepared
	s.prepared = nil
	s.mu.Unlock()
	for _, z := range zones {
		z.kill()
	}
	if next != nil {
		if z := <-next; z != nil {
			z.discard()
		}
	}
	for _, z := range zones {
		z.wait()
	}
	s.spawner.close()
	for _, f := range s.maps {
		_ = f.Close() // a namespace without a process: nothing to lose
	}
	return s.program.Close()
}

// ownNamespaces names the controller's namespaces as the probe wants them. One
// that the kernel does not know is not shared; of one that cannot be read the
// probe could not tell.
func ownNamespaces(readlink func(string) (string, error)) ([]string, error) {
	var all []string
	for _, kind := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		ns, err := readlink("/proc/self/ns/" + kind)
		switch {
		case err == nil:
			all = append(all, ns)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return all, nil
}

// spawner runs what starts processes on one thread that lives as long as the
// sandbox: the kernel ends a zone's init when the thread that made it ends.
type spawner struct {
	work chan func()
	quit chan struct{}
}

var errClosed = errors.New("the sandbox is closed")

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), quit: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		for {
			select {
			case f := <-s.work:
				f()
			case <-s.quit:
				return // and the thread ends with it
			}
		}
	}()
	return s
}

func (s *spawner) do(f func() error) error {
	result := make(chan error, 1)
	select {
	case s.work <- func() { result <- f() }:
		return <-result
	case <-s.quit:
		return errClosed
	}
}

func (s *spawner) close() { close(s.quit) }
