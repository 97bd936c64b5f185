package namespaces

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// The limits where the stage sets none. They are there to end what has gone
// wrong, not to ration.
const (
	defaultPIDs      = 4096
	defaultDisk      = 16 << 30
	defaultFileSize  = 4 << 30
	defaultOpenFiles = 16384
	defaultTime      = 30 * time.Minute
	defaultOutput    = 256 << 20
)

// defaultMemory is three quarters of the machine's.
func defaultMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil || info.Totalram == 0 {
		return 4 << 30
	}
	return int64(info.Totalram) * int64(info.Unit) / 4 * 3 //nolint:gosec // far below 2^63
}

// withDefaults fills in what a stage does not say. A negative value says
// nothing either: no limit is ever "none".
func withDefaults(l sandbox.Limits) sandbox.Limits {
	fill := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	fill(&l.Memory, defaultMemory())
	fill(&l.Disk, defaultDisk)
	fill(&l.FileSize, defaultFileSize)
	fill(&l.Output, defaultOutput)
	if l.PIDs <= 0 {
		l.PIDs = defaultPIDs
	}
	if l.OpenFiles <= 0 {
		l.OpenFiles = defaultOpenFiles
	}
	if l.CPUs <= 0 {
		l.CPUs = float64(runtime.NumCPU())
	}
	if l.Time <= 0 {
		l.Time = defaultTime
	}
	return l
}

// plan is a Spec as the zone's processes are told it, with the host's trees
// that they get.
type plan struct {
	spec   sandbox.Spec
	user   zoneUser
	limits sandbox.Limits
	setup  wire.Setup
	launch wire.Launch
	trees  []*os.File     // detached mounts and files to copy, in the order of Source.FD
	lacks  []sandbox.Lack // what the stage's mounts had to do without
}

// newPlan checks a Spec and opens what it shows of the host. The caller closes
// the plan.
func (s *Sandbox) newPlan(spec sandbox.Spec) (*plan, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	p := &plan{spec: spec, limits: withDefaults(spec.Limits), user: zoneUser{insideID, s.ids.uid, s.ids.gid}}
	if spec.UID != 0 {
		p.user.inside = spec.UID
	}
	p.setup = wire.Setup{
		Hostname: spec.Hostname, NoLoopback: spec.NoLoopback, Listen: spec.Listen, Metadata: spec.Metadata, Box: boxOf(spec), Disk: p.limits.Disk,
		Base: wire.Source{FD: -1}, Image: wire.Source{FD: -1},
	}
	if spec.Hostname == "" {
		p.setup.Hostname = "sallyport"
	}
	for _, f := range spec.Files {
		p.setup.Files = append(p.setup.Files, wire.File(f))
	}
	if err := s.planTrees(p); err != nil {
		p.close()
		return nil, err
	}
	s.planLaunch(p)
	if s.options.Container != nil {
		if err := s.planContainer(p); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

func (p *plan) close() { closeAll(p.trees) }

// check refuses a Spec that says something impossible, before anything is made.
func check(spec sandbox.Spec) error {
	switch {
	case len(spec.Args) == 0 || spec.Args[0] == "":
		return errors.New("no command for the zone")
	case spec.UID < 0 || spec.UID > 65533:
		return fmt.Errorf("user %d inside a zone: from 1 to 65533", spec.UID)
	case spec.NoLoopback && (len(spec.Listen) > 0 || spec.Metadata):
		return errors.New("a zone without loopback cannot listen")
	case spec.Dir != "" && !path.IsAbs(spec.Dir):
		return fmt.Errorf("working directory %q is not absolute", spec.Dir)
	case spec.Overlay.At != "" && !mountable(spec.Overlay.At):
		return fmt.Errorf("overlay at %q: it wants a new directory of the root", spec.Overlay.At)
	case len(spec.Hostname) > 64:
		return fmt.Errorf("hostname of %d bytes: at most 64", len(spec.Hostname))
	case len(spec.Overlay.Lower)+len(spec.Mounts)+2+containerFDs > maxFDs:
		return fmt.Errorf("%d layers and mounts: at most %d", len(spec.Overlay.Lower)+len(spec.Mounts), maxFDs-2-containerFDs)
	}
	for _, f := range spec.Files {
		if !filepath.IsLocal(f.Path) || path.Clean(f.Path) != f.Path || len(f.Text) > sandbox.MaxFile {
			return fmt.Errorf("file %q for the home directory: a clean path below it and at most %d bytes", f.Path, sandbox.MaxFile)
		}
	}
	for _, port := range spec.Listen {
		if port < 1 || port > 65535 {
			return fmt.Errorf("port %d", port)
		}
	}
	for _, s := range slices.Concat(spec.Args, spec.Env, []string{spec.Dir, spec.Hostname}) {
		if strings.ContainsRune(s, 0) {
			return errors.New("a NUL byte in the command, its environment or its directory")
		}
	}
	return nil
}

// planTrees opens the layers, the mounts and the upper directory, in the order
// of the Spec.
func (s *Sandbox) planTrees(p *plan) error {
	if p.spec.Image != "" {
		src, err := s.open(p, p.spec.Image, tree{exec: true})
		if err != nil {
			return fmt.Errorf("image: %w", err)
		}
		p.setup.Image = src
	}
	for _, dir := range p.spec.Overlay.Lower {
		src, err := s.open(p, dir, tree{})
		if err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		p.setup.Lower = append(p.setup.Lower, src)
	}
	if p.spec.Overlay.Upper != "" {
		if err := s.planUpper(p); err != nil {
			return err
		}
	}
	for _, m := range p.spec.Mounts {
		if err := s.planMount(p, m); err != nil {
			return fmt.Errorf("mount %s: %w", m.Inside, err)
		}
	}
	for _, m := range p.spec.Masks {
		mask := wire.Mask{Path: m}
		mask.Path, mask.Hidden = strings.CutPrefix(m, "-")
		if !below(mask.Path, boxOf(p.spec)) {
			return fmt.Errorf("mask %q is not below %s", m, boxOf(p.spec))
		}
		p.setup.Masks = append(p.setup.Masks, mask)
	}
	return nil
}

// boxOf is where the stage's overlay is mounted.
func boxOf(spec sandbox.Spec) string {
	if spec.Overlay.At != "" {
		return spec.Overlay.At
	}
	return sandbox.Box
}

// mountable tells whether an overlay can be mounted there: a name in the root
// that stands for nothing else. Those of ours begin like Box.
func mountable(at string) bool {
	return path.Clean(at) == at && strings.HasPrefix(at, sandbox.Box) && strings.Count(at, "/") == 1
}

// below tells whether a clean absolute path lies below dir.
func below(p, dir string) bool {
	return path.Clean(p) == p && strings.HasPrefix(p, dir+"/")
}

// planUpper opens the nearest directory that holds both Upper and Work:
// overlayfs wants them on one mount.
func (s *Sandbox) planUpper(p *plan) error {
	o := p.spec.Overlay
	upper, err1 := real(o.Upper)
	scratch, err2 := real(o.Work)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("upper directory: %w", err)
	}
	base := commonDir(upper, scratch)
	if upper == base || scratch == base {
		return fmt.Errorf("upper %s and work %s: neither may hold the other", upper, scratch)
	}
	for _, dir := range []string{upper, scratch} {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return fmt.Errorf("upper directory %s: %w", dir, err)
		}
		if int(st.Uid) != p.user.uid {
			return fmt.Errorf("%s belongs to user %d: the zone runs as %d", dir, st.Uid, p.user.uid)
		}
	}
	src, err := s.open(p, base, tree{writable: true, exec: true})
	if err != nil {
		return fmt.Errorf("upper directory: %w", err)
	}
	p.setup.Base = src
	p.setup.Upper, p.setup.Work = upper[len(base)+1:], scratch[len(base)+1:]
	return nil
}

func commonDir(a, b string) string {
	for a != b {
		if len(a) < len(b) {
			a, b = b, a
		}
		a = filepath.Dir(a)
	}
	return a
}

// real is an absolute path without links.
func real(name string) (string, error) {
	if !filepath.IsAbs(name) {
		return "", fmt.Errorf("%q is not absolute", name)
	}
	return filepath.EvalSymlinks(name)
}

func (s *Sandbox) planMount(p *plan, m sandbox.Mount) error {
	if path.Clean(m.Inside) != m.Inside || !path.IsAbs(m.Inside) || m.Inside == "/" {
		return errors.New("the place inside is not a clean absolute path")
	}
	for _, fixed := range []string{"/proc", "/dev", "/sys", "/etc/passwd", "/etc/resolv.conf"} {
		if m.Inside == fixed || below(m.Inside, fixed) {
			return fmt.Errorf("%s is the zone's own", fixed)
		}
	}
	if p.spec.Image == "" && shown(m) {
		return nil
	}
	w := wire.Mount{From: wire.Source{FD: -1}, Inside: m.Inside, Writable: m.Writable, Exec: m.Exec}
	if m.Copy {
		return p.planCopy(m, w)
	}
	if m.Host != "" {
		info, err := os.Stat(m.Host)
		if err != nil {
			return err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a directory nor a file: %s", m.Host, info.Mode().Type())
		}
		w.File = !info.IsDir()
		w.From, err = s.open(p, m.Host, tree{writable: m.Writable, exec: m.Exec, mapped: m.Writable})
		if err != nil {
			return err
		}
	}
	p.setup.Mounts = append(p.setup.Mounts, w)
	return nil
}

// planCopy opens a file of which the zone gets a copy. It is read by whoever runs
// Sallyport, so its directories need not be open to the zone's user.
func (p *plan) planCopy(m sandbox.Mount, w wire.Mount) error {
	f, err := os.OpenFile(m.Host, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if err != nil {
		return err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case m.Writable:
		err = errors.New("a copy that can be written would look as if it came out")
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is no file: %s", m.Host, info.Mode().Type())
	case info.Size() > sandbox.MaxCopy:
		err = fmt.Errorf("%s has %d bytes: a copy has at most %d", m.Host, info.Size(), sandbox.MaxCopy)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	p.trees = append(p.trees, f)
	w.From, w.File, w.Copy = wire.Source{FD: len(p.trees) - 1}, true, true
	p.setup.Mounts = append(p.setup.Mounts, w)
	return nil
}

// shown tells whether every zone sees just this anyway: a part of the system's
// programs, read-only, at its own place, be it by way of a link.
func shown(m sandbox.Mount) bool {
	top, _, _ := strings.Cut(strings.TrimPrefix(m.Inside, "/"), "/")
	if m.Writable || m.Host == "" || !slices.Contains(wire.Programs(), top) {
		return false
	}
	there, err1 := filepath.EvalSymlinks(m.Inside)
	from, err2 := filepath.EvalSymlinks(m.Host)
	return err1 == nil && err2 == nil && there == from
}

// tree is how a host path is shown.
type tree struct {
	writable bool
	exec     bool
	mapped   bool // its owner becomes the zone's user
}

func (t tree) attributes() uint64 {
	a := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if !t.writable {
		a |= unix.MOUNT_ATTR_RDONLY
	}
	if !t.exec {
		a |= unix.MOUNT_ATTR_NOEXEC
	}
	return a
}

// open gives a source for a host path: as root a detached mount, so that the
// directories above it need not be open to the zone's user; else the path
// itself, without links, which the zone's init opens with its user's rights.
func (s *Sandbox) open(p *plan, name string, t tree) (wire.Source, error) {
	name, err := real(name)
	if err != nil {
		return wire.Source{}, err
	}
	if !s.ids.root {
		return wire.Source{FD: -1, Path: name}, nil
	}
	f, st, err := detached(name, t.attributes())
	if err != nil {
		return wire.Source{}, err
	}
	p.trees = append(p.trees, f)
	if t.mapped && int(st.Uid) != s.ids.uid {
		s.mapOwner(p, f, name, st)
	}
	return wire.Source{FD: len(p.trees) - 1}, nil
}

// detached clones what is mounted at a path, attached to nothing.
func detached(name string, attributes uint64) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	fail := func(what string, err error) (*os.File, unix.Stat_t, error) {
		return nil, st, &fs.PathError{Op: what, Path: name, Err: err}
	}
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE | unix.AT_SYMLINK_NOFOLLOW
	fd, err := unix.OpenTree(unix.AT_FDCWD, name, flags)
	if err != nil {
		return fail("open tree", err)
	}
	f := os.NewFile(uintptr(fd), name) //nolint:gosec // a descriptor
	const all = unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	err = unix.MountSetattr(fd, "", all, &unix.MountAttr{Attr_set: attributes})
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		_ = f.Close()
		return fail("restrict", err)
	}
	return f, st, nil
}

// mapOwner lets the owner of a writable tree be the zone's user in it. Where
// the file system cannot do that, the whole zone runs as that owner on the
// host, and the level says so.
func (s *Sandbox) mapOwner(p *plan, f *os.File, name string, st unix.Stat_t) {
	ns, err := s.idMap(int(st.Uid), int(st.Gid))
	if err == nil && !containsString(s.options.WithoutUnsafe, "idmap") {
		err = unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{ //nolint:gosec // a descriptor
			Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd()),
		})
	} else if err == nil {
		err = errors.New("left out on request")
	}
	if err == nil {
		return
	}
	p.user.uid, p.user.gid = int(st.Uid), int(st.Gid)
	p.lacks = append(p.lacks, sandbox.Lack{
		Primitive: "idmap", Why: fmt.Sprintf("the file system of %s cannot map its owner (%v): the zone runs as user %d of the host", name, err, st.Uid),
		Mend: "keep the project on ext4, xfs, btrfs or tmpfs",
	})
}

// planLaunch says what the payload is and what it may use.
func (s *Sandbox) planLaunch(p *plan) {
	spec := p.spec
	p.launch = wire.Launch{
		Args: spec.Args, Env: spec.Env, Dir: spec.Dir, Without: s.options.WithoutUnsafe, FailStep: s.options.FailStepUnsafe, Notify: true,
		Writable: []string{boxOf(spec), sandbox.Temp, sandbox.Home, "/dev/shm"},
		Limits: []wire.Rlimit{
			{Resource: unix.RLIMIT_NPROC, Value: int64(p.limits.PIDs)}, // first: see zone.start
			{Resource: unix.RLIMIT_FSIZE, Value: p.limits.FileSize},
			{Resource: unix.RLIMIT_NOFILE, Value: int64(p.limits.OpenFiles)},
			{Resource: unix.RLIMIT_CORE, Value: 0},
		},
		Probe: wire.Probing{
			Zone: spec.Zone.String(), HostPIDs: []int{os.Getpid(), os.Getppid()}, HostNS: s.ownNS, StateDir: s.options.StateDir,
			AllowedListen: spec.Listen, Canaries: spec.Canaries, Forbidden: spec.Forbidden, NoLoopback: spec.NoLoopback, Metadata: spec.Metadata,
		},
	}
	if spec.Dir == "" {
		p.launch.Dir = "/"
	}
	for _, m := range p.setup.Mounts {
		if m.Writable {
			p.launch.Writable = append(p.launch.Writable, m.Inside)
		}
	}
}
