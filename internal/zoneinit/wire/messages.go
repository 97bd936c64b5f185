package wire

// The primitives that a zone is made of, as Without and Missing name them.
// They are the names of sandbox.Lack.
const (
	Cgroup   = "cgroup"
	CgroupNS = "cgroupns"
	Landlock = "landlock"
	Seccomp  = "seccomp"
	Proc     = "proc"
	Caps     = "capabilities"
	Nesting  = "nesting" // the count of nested namespaces is bound to zero
)

// Programs are the directories of the host's root that every zone sees,
// read-only: the programs and libraries of the system.
func Programs() []string {
	return []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"}
}

// Prepare is what PID 1 needs before anything is known of the stage.
type Prepare struct {
	UID      int      // of the payload, inside
	KeepHost bool     // sources come as paths: keep the host's tree until Setup is done
	Without  []string // primitives to leave out; each lowers the level
	FailStep int      // tests only: the step (from 1) that fails; 0: none
	// Container says that an OCI runtime makes the payload's view, inside the
	// zone, out of the root that PID 1 puts together.
	Container bool
	Image     bool // the zone's programs come with Setup.Image: show none of the host's
}

func (m *Prepare) fields(c *coder) {
	c.int(&m.UID)
	c.bool(&m.KeepHost)
	list(c, &m.Without, c.string)
	c.int(&m.FailStep)
	c.bool(&m.Container)
	c.bool(&m.Image)
}

// Source is a tree of the host: a detached mount that came with the frame, or
// a path that the init opens itself.
type Source struct {
	FD   int    // index into the descriptors of the frame; -1: none
	Path string // absolute and free of links; empty with FD -1: a tmpfs
}

func (s *Source) fields(c *coder) {
	c.int(&s.FD)
	c.string(&s.Path)
}

// Mount shows a Source inside.
type Mount struct {
	From     Source
	Inside   string
	Writable bool
	Exec     bool
	File     bool // the source is no directory
	Copy     bool // the source is a file that is open for reading: show a copy of it
}

func (m *Mount) fields(c *coder) {
	m.From.fields(c)
	c.string(&m.Inside)
	c.bool(&m.Writable)
	c.bool(&m.Exec)
	c.bool(&m.File)
	c.bool(&m.Copy)
}

// Mask takes a path below Box away from the payload.
type Mask struct {
	Path   string
	Hidden bool // nothing to see there; else it is read-only
}

func (m *Mask) fields(c *coder) {
	c.string(&m.Path)
	c.bool(&m.Hidden)
}

// File is one small file in the payload's home directory.
type File struct{ Path, Text string } // Path is relative to it

func (f *File) fields(c *coder) {
	c.string(&f.Path)
	c.string(&f.Text)
}

// Setup is the zone of one stage, as PID 1 makes it. It says nothing of the
// payload: what PID 1 does not know, it cannot give away.
type Setup struct {
	Hostname   string
	NoLoopback bool
	Listen     []int
	Metadata   bool // a socket at the clouds' metadata address, the last of the sockets
	Files      []File

	Image Source // the root of an image, whose programs the zone sees
	Box   string
	Lower []Source
	Base  Source // holds Upper and Work, which overlayfs wants on one mount
	Upper string // relative to Base; empty: on the zone's tmpfs
	Work  string // relative to Base

	Mounts []Mount
	Masks  []Mask
	Disk   int64 // bytes of the zone's tmpfs

	Runtime Runtime // of a zone that was prepared for a container
}

func (m *Setup) fields(c *coder) {
	c.string(&m.Hostname)
	c.bool(&m.NoLoopback)
	list(c, &m.Listen, c.int)
	c.bool(&m.Metadata)
	list(c, &m.Files, func(f *File) { f.fields(c) })
	m.Image.fields(c)
	c.string(&m.Box)
	list(c, &m.Lower, func(s *Source) { s.fields(c) })
	m.Base.fields(c)
	c.string(&m.Upper)
	c.string(&m.Work)
	list(c, &m.Mounts, func(e *Mount) { e.fields(c) })
	list(c, &m.Masks, func(e *Mask) { e.fields(c) })
	c.int64(&m.Disk)
	m.Runtime.fields(c)
}

// Where a container's things are in the room that its runtime runs in.
const (
	ContainerDir     = "zone"
	ContainerRoot    = "/" + ContainerDir // the root file system of the bundle
	ContainerBundle  = "/bundle"          // the bundle: config.json
	ContainerState   = "/run"             // the runtime's own
	ContainerLog     = "/run/log"         // what the runtime has to say
	ContainerRuntime = "/runtime"         // the runtime's program
	// ContainerInit is the first process of the container, in its root.
	ContainerInit = "/run/zoneinit"
)

// Runtime is the OCI runtime that runs the payload in a container. The
// payload's standard input, output and error are the last three descriptors of
// the frame.
type Runtime struct {
	Program   Source
	Args      []string // of the runtime; the first is its name
	Config    string   // config.json of the bundle, as the OCI runtime specification has it
	OwnKernel bool     // the container's system calls do not reach the host's kernel
}

func (r *Runtime) fields(c *coder) {
	r.Program.fields(c)
	list(c, &r.Args, c.string)
	c.string(&r.Config)
	c.bool(&r.OwnKernel)
}

// Enter is what the first process of a container needs.
type Enter struct {
	UID       int // of the payload, inside
	Without   []string
	FailStep  int
	OwnKernel bool
}

func (m *Enter) fields(c *coder) {
	c.int(&m.UID)
	list(c, &m.Without, c.string)
	c.int(&m.FailStep)
	c.bool(&m.OwnKernel)
}

// Root names the zone's root directory, so that the payload's process can
// see for itself that it is there.
type Root struct{ Dev, Ino int64 }

func (r *Root) fields(c *coder) {
	c.int64(&r.Dev)
	c.int64(&r.Ino)
}

// Lack is a primitive that the zone had to do without.
type Lack struct{ Primitive, Why string }

func (l *Lack) fields(c *coder) {
	c.string(&l.Primitive)
	c.string(&l.Why)
}

// Made says that the zone stands; the sockets of Setup.Listen come with it.
type Made struct {
	Root    Root
	Missing []Lack
	Probes  []Probe // where a container will stand between the zone and the payload
}

func (m *Made) fields(c *coder) {
	m.Root.fields(c)
	list(c, &m.Missing, func(l *Lack) { l.fields(c) })
	list(c, &m.Probes, func(p *Probe) { p.fields(c) })
}

// Rlimit is one resource limit: soft and hard alike.
type Rlimit struct {
	Resource int
	Value    int64
}

func (r *Rlimit) fields(c *coder) {
	c.int(&r.Resource)
	c.int64(&r.Value)
}

// Probing is what the probe has to know; see package probe.
type Probing struct {
	Zone          string
	HostPIDs      []int
	HostNS        []string
	StateDir      string
	AllowedListen []int
	Canaries      []string
	Forbidden     []string
	NoLoopback    bool
	Metadata      bool
	HostRelease   string // of the host's kernel
}

func (p *Probing) fields(c *coder) {
	c.string(&p.Zone)
	list(c, &p.HostPIDs, c.int)
	list(c, &p.HostNS, c.string)
	c.string(&p.StateDir)
	list(c, &p.AllowedListen, c.int)
	list(c, &p.Canaries, c.string)
	list(c, &p.Forbidden, c.string)
	c.bool(&p.NoLoopback)
	c.bool(&p.Metadata)
	c.string(&p.HostRelease)
}

// Launch is the payload; its standard input, output and error come with it.
type Launch struct {
	Args     []string
	Env      []string
	Dir      string
	Root     Root     // from Made
	Writable []string // where Landlock lets it write
	Limits   []Rlimit
	Probe    Probing
	Without  []string
	FailStep int
	Notify   bool // refused connections are told to the controller
	// OwnKernel says that the kernel which answers is a container runtime's own:
	// it has no Landlock, and numbers the root in its own way.
	OwnKernel bool
}

func (m *Launch) fields(c *coder) {
	list(c, &m.Args, c.string)
	list(c, &m.Env, c.string)
	c.string(&m.Dir)
	m.Root.fields(c)
	list(c, &m.Writable, c.string)
	list(c, &m.Limits, func(r *Rlimit) { r.fields(c) })
	m.Probe.fields(c)
	list(c, &m.Without, c.string)
	c.int(&m.FailStep)
	c.bool(&m.Notify)
	c.bool(&m.OwnKernel)
}

// Probe is one outcome of the probe.
type Probe struct {
	Name, Wanted, Got string
	OK                bool
}

func (p *Probe) fields(c *coder) {
	c.string(&p.Name)
	c.string(&p.Wanted)
	c.string(&p.Got)
	c.bool(&p.OK)
}

// Probed is what the probe found, from behind every wall of the payload.
type Probed struct {
	Probes  []Probe
	Missing []Lack
}

func (m *Probed) fields(c *coder) {
	list(c, &m.Probes, func(p *Probe) { p.fields(c) })
	list(c, &m.Missing, func(l *Lack) { l.fields(c) })
}

// Ended is how the payload ended: the kernel's wait status, and what the zone
// used.
type Ended struct {
	Status int64
	CPU    int64 // nanoseconds
	MaxRSS int64 // bytes, of the largest process
}

func (m *Ended) fields(c *coder) {
	c.int64(&m.Status)
	c.int64(&m.CPU)
	c.int64(&m.MaxRSS)
}

// Failed says which step failed. The payload has not run and will not.
type Failed struct {
	Step  string
	What  string
	Errno int // 0 where no system call failed
}

func (m *Failed) fields(c *coder) {
	c.string(&m.Step)
	c.string(&m.What)
	c.int(&m.Errno)
}
