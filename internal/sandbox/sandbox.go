// Package sandbox says what a zone may see and do, whoever enforces it.
//
// A Sandbox starts one process tree in a zone: own root made from an
// allow-list, no network but the listening sockets that the controller serves,
// no capabilities, bounded resources. Before the payload runs, a probe tries
// from inside what must not work; the receipt of it is part of the result, and
// any unexpected success stops the zone before the payload starts.
//
// The package promises nothing about code that a zone's outputs later meet:
// that is the conductor's and the gate's part.
package sandbox

import (
	"context"
	"io"
	"net"
	"os"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
)

// Fixed places inside a zone. Box is the one writable overlay; everything that
// can be handed on lies under it.
const (
	Box        = "/box"            // root of the overlay
	Workspace  = "/box/src"        // the project
	GoModCache = "/box/go/mod"     // GOMODCACHE
	NpmCache   = "/box/npm"        // npm's cache
	Home       = "/home/sallyport" // HOME: a tmpfs that is thrown away
	Temp       = "/tmp"            // TMPDIR: a tmpfs that is thrown away
)

// Sandbox starts zones.
type Sandbox interface {
	// Name is the name that --sandbox takes and evidence records.
	Name() string
	// Level measures what this host can give. It starts nothing.
	Level(ctx context.Context) Level
	// Start makes the zone, runs the probe, and starts the payload held: it
	// runs its first instruction only after the probe was clean. The error is
	// a *NotIsolated when the host or the probe fell short of spec.Require.
	Start(ctx context.Context, spec Spec) (Process, error)
	// Close ends what the sandbox keeps ready. No zone outlives it.
	Close() error
}

// Level is how strong the isolation is on this host.
type Level struct {
	Name    string // LevelFull or LevelReduced, or LevelNone
	Missing []Lack // what is missing for full
}

// Lack is one primitive that the host does not give.
type Lack struct {
	Primitive string // userns, landlock, seccomp, cgroup, overlay, netns, pidns ...
	Why       string
	Mend      string // the exact command that mends it, where one is known
}

// The levels, strongest first.
const (
	LevelFull    = "full"
	LevelReduced = "reduced"
	LevelNone    = "none"
)

// Spec is everything about one zone. The zero value of each field gives the
// payload less, never more.
type Spec struct {
	Zone     boundary.Zone
	Identity string // SPIFFE ID, for the receipt
	Require  string // lowest level at which to start; empty means LevelFull

	Args []string // argv; Args[0] is looked up on the PATH of Env, inside
	Env  []string // the whole environment: nothing of the controller's is added
	Dir  string   // working directory, inside

	// Image is the host directory of an unpacked image, whose programs and /etc
	// the zone sees in place of the host's; empty: the host's.
	Image   string
	Overlay Overlay // what Box holds
	Mounts  []Mount // further things to see
	// Masks are paths under Box that the payload may not change (.git and the
	// like); with a leading "-", that it does not see either. A path that is
	// not there is left alone; one that is a link refuses the zone.
	Masks []string

	UID      int       // inside; 0 means the default, 1000
	Hostname string    // empty means "sallyport"
	Epoch    time.Time // not used by the kernel; SOURCE_DATE_EPOCH is set by the caller

	// Listen has one loopback TCP socket opened inside the zone's network
	// namespace for each port; Process.Listeners gives them out in order.
	Listen []int
	// NoLoopback leaves lo down: not even the zone's own processes can connect.
	NoLoopback bool
	// Metadata opens one more socket, at the address and port at which clouds
	// answer about a machine (169.254.169.254:80). The address is then the
	// zone's own; the listener is the last of Process.Listeners.
	Metadata bool
	// Files are put into HOME, which is the payload's to change or delete.
	Files []File

	Limits Limits
	Stdin  io.Reader // nil: /dev/null
	Stdout io.Writer
	Stderr io.Writer

	// Canaries are honey credentials shown to the zone; the probe must not
	// report them as leaks of the host's.
	Canaries []string

	// Secrets the probe looks for: values that are in the controller's
	// environment or memory and must not be visible inside.
	Forbidden []string
}

// File is one small file in HOME.
type File struct {
	Path string // relative to HOME
	Text string // at most MaxFile bytes
}

// MaxFile bounds a file that is put into HOME, in bytes.
const MaxFile = 8 << 10

// Overlay is a copy-on-write tree mounted at Box.
type Overlay struct {
	Lower []string // host directories, topmost first; read-only
	Upper string   // host directory that receives the changes; empty: a tmpfs, thrown away
	Work  string   // overlayfs work directory, on the same file system as Upper
	// At is where the overlay is mounted, a directory at the root such as
	// /box2; empty means Box. The second build of a rebuild check uses another
	// place, so that a path baked into an artifact is seen.
	At string
}

// Mount shows a host path inside.
type Mount struct {
	Host     string // empty: a tmpfs
	Inside   string
	Writable bool
	Exec     bool // without it, noexec
	// AsOwner shows the files of the user who runs Sallyport as the zone's own
	// (an idmapped mount, where the zone has another uid on the host), and what
	// the zone makes there belongs to that user afterwards. Only `sallyport
	// exec` uses it, for a checkout that already exists.
	AsOwner bool
	// Copy shows a read-only copy of a file, at most MaxCopy bytes of it, that
	// lies in the zone's own memory. The zone's mount table, which names the
	// source of every other mount, then says nothing of where Host lies.
	Copy bool
}

// MaxCopy bounds a file that is shown as a copy, in bytes.
const MaxCopy = 4 << 20

// Limits bound what a zone can use. Zero means the default of the sandbox, which
// is never "unlimited".
type Limits struct {
	Memory    int64   // bytes, all processes together
	PIDs      int     // processes and threads
	CPUs      float64 // processors
	Disk      int64   // bytes written to tmpfs or Upper
	FileSize  int64   // bytes in one file
	OpenFiles int
	Time      time.Duration // wall time
	Output    int64         // bytes on stdout and stderr together; more ends the zone
}

// Process is a started zone.
type Process interface {
	// Listeners are the sockets of Spec.Listen. The caller serves and closes them.
	Listeners() []net.Listener
	// Receipt is the outcome of the probe.
	Receipt() evidence.Receipt
	// PID is the host's number of the zone's first process, for denials that
	// name a process chain; 0 where there is none.
	PID() int
	// Wait returns after every process of the zone is gone.
	Wait() (Result, error)
	// Kill ends every process of the zone. It can be called at any time.
	Kill()
}

// Result is how a payload ended.
type Result struct {
	ExitCode int
	Signal   os.Signal
	Limit    string // which limit ended it: time, memory, output, disk, pids, filesize; empty: none
	Bound    int64  // of that limit: nanoseconds, bytes or a number; zero: not known
	CPU      time.Duration
	MaxRSS   int64 // bytes
	Wall     time.Duration
	Blocked  []Blocked // attempts that the sandbox saw and refused, where it can see them
}

// Blocked is one attempt that the zone's rules refused.
type Blocked struct {
	What    string // connect, file, exec, syscall
	Target  string
	Process string    // the chain of command lines, outermost first: the zone's own word
	Package string    // whose code it was, as far as package managers tell their scripts; the zone's own word, too
	Time    time.Time // of the first one
	Count   int
}

// Net tells whether it was an attempt at a network.
func (b Blocked) Net() bool {
	switch b.What {
	case "connect", "lookup", "send", "bind":
		return true
	}
	return false
}

// NotIsolated says that a zone was not started because it would have been
// weaker than asked for.
type NotIsolated struct {
	Wanted, Got string
	Missing     []Lack
	Probes      []evidence.Probe // the ones that failed
}
