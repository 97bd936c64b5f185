package namespaces

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// identity is under whom zones run on the host.
type identity struct {
	root     bool // the controller may map any user, and opens host paths
	uid, gid int
}

// ownIdentity looks at what this process may do. A root that lacks the
// capabilities, or whose own namespace does not know hostID, is taken for an
// ordinary user.
func ownIdentity() identity {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if os.Geteuid() == 0 && unix.Capget(&header, &sets[0]) == nil {
		const needed = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_CHOWN
		users, err1 := os.ReadFile("/proc/self/uid_map")
		groups, err2 := os.ReadFile("/proc/self/gid_map")
		if sets[0].Effective&needed == needed && err1 == nil && err2 == nil && maps(users, hostID) && maps(groups, hostID) {
			return identity{root: true, uid: hostID, gid: hostID}
		}
	}
	return identity{uid: os.Geteuid(), gid: os.Getegid()}
}

// maps tells whether a map of user_namespaces(7) knows an id inside.
func maps(table []byte, id int64) bool {
	for line := range bytes.Lines(table) {
		var inside, outside, count int64
		if n, _ := fmt.Sscan(string(line), &inside, &outside, &count); n == 3 && id >= inside && id-inside < count {
			return true
		}
	}
	return false
}

// zoneUser is who a zone's processes are: inside, and on the host.
type zoneUser struct{ inside, uid, gid int }

// attributes are how a zone's init is cloned: into new namespaces but the
// cgroup one, which it enters once it has been moved.
func (u zoneUser) attributes(root bool, without []string) *syscall.SysProcAttr {
	flags := uintptr(unix.CLONE_NEWUSER)
	for kind, flag := range map[string]uintptr{
		"mount": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS,
	} {
		if !containsString(without, kind) {
			flags |= flag
		}
	}
	a := &syscall.SysProcAttr{
		Cloneflags:  flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: u.inside, HostID: u.uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: u.inside, HostID: u.gid, Size: 1}},
		// What the init needs to make mounts, to bring lo up, to empty the
		// bounding set and to forbid further namespaces; overlayfs works on
		// with what its mounter had, and its work directory has no mode
		// bits. It is all in the new user namespace, of which it can reach
		// nothing but the zone's own files, and gone before the payload runs.
		AmbientCaps: []uintptr{
			unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_SETPCAP, unix.CAP_SYS_RESOURCE,
			unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_CHOWN, unix.CAP_FSETID,
		},
		Setsid: true,
	}
	if root {
		a.GidMappingsEnableSetgroups = true
		a.Credential = &syscall.Credential{Uid: uint32(u.inside), Gid: uint32(u.inside)} //nolint:gosec // checked by the plan
	}
	return a
}

func containsString(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// descriptor is the directory by which a new process reaches what it has open.
// The init is one of the files that it is given: a number outside of those can
// be taken by the runtime between fork and exec.
const descriptor = "/proc/self/fd/"

// sealed gives a file in memory that can be executed and never again written.
func sealed(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 every such file was executable
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(content); err != nil {
		_ = f.Close() // the first error says it
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// idMap gives a user namespace in which owner is the zone's user: a mount
// that it is put on shows owner's files as the zone's, and what the zone makes
// there belongs to owner. One is made for each owner and kept.
func (s *Sandbox) idMap(uid, gid int) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.maps[uid]; ok {
		return f, nil
	}
	var ns *os.File
	err := s.spawner.do(func() (err error) {
		ns, err = s.newIDMap(uid, gid)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	s.maps[uid] = ns
	return ns, nil
}

func (s *Sandbox) newIDMap(uid, gid int) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	p, err := os.StartProcess(descriptor+"1", []string{"init", "hold"}, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{r, s.program}, Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: s.ids.uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: s.ids.gid, Size: 1}},
		},
	})
	if err != nil {
		return nil, err
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(p.Pid) + "/ns/user")
	_ = w.Close() // its end of file is what the process waits for
	if _, werr := p.Wait(); err == nil {
		err = werr
	}
	return ns, err
}
