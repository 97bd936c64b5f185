package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attempt makes a child with these namespaces that tries to run a program that
// does not exist: "no such file" says that everything before it worked. With
// chroot it also uses a capability that the new user namespace should give.
func attempt(flags uintptr, chroot bool) error {
	attr := &syscall.SysProcAttr{Cloneflags: flags}
	if flags&unix.CLONE_NEWUSER != 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if chroot {
		attr.Chroot = "/"
	}
	p, err := os.StartProcess("/proc/self/nothing", []string{"nothing"}, &os.ProcAttr{Sys: attr})
	if err == nil {
		p.Kill()
		p.Wait()
		return errors.New("a program that does not exist ran")
	}
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// namespaces tries them all at once, and one by one only where that failed.
func namespaces(container string) []Fact {
	kinds := [...]struct {
		name   string
		flag   uintptr
		kernel string // its name in namespaces(7)
	}{
		{"userns", unix.CLONE_NEWUSER, "user"}, {"mountns", unix.CLONE_NEWNS, "mnt"}, {"pidns", unix.CLONE_NEWPID, "pid"},
		{"netns", unix.CLONE_NEWNET, "net"}, {"ipcns", unix.CLONE_NEWIPC, "ipc"}, {"utsns", unix.CLONE_NEWUTS, "uts"},
		{"cgroupns", unix.CLONE_NEWCGROUP, "cgroup"},
	}
	var all uintptr
	for _, k := range kinds {
		all |= k.flag
	}
	together := attempt(all, true)
	facts := make([]Fact, 0, len(kinds))
	for _, k := range kinds {
		f := Fact{Name: k.name, OK: true, Value: "works", Need: ForAny}
		err := together
		if err != nil {
			err = attempt(unix.CLONE_NEWUSER|k.flag, true)
		}
		if err != nil {
			f.OK, f.Value = false, "refused"
			f.Why, f.Mend = refusal(err, k.kernel, container, setting)
		}
		facts = append(facts, f)
	}
	return facts
}

// refusal explains why a namespace of a kind cannot be made, from the settings that are
// known to refuse it.
func refusal(err error, kind, container string, setting func(name string) string) (why, mend string) {
	limit := "max_" + kind + "_namespaces"
	switch {
	case setting("kernel/unprivileged_userns_clone") == "0":
		return "kernel.unprivileged_userns_clone is 0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"
	case setting("user/max_user_namespaces") == "0":
		return "user.max_user_namespaces is 0", "sudo sysctl -w user.max_user_namespaces=15000"
	case setting("user/"+limit) == "0":
		return "user." + limit + " is 0", "sudo sysctl -w user." + limit + "=15000"
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1) and no profile allows this program",
			apparmorProfile()
	case container != "":
		return "the " + container + " container around this process refuses it (" + bare(err) + ")", containerMend(container)
	}
	return bare(err), ""
}

// apparmorProfile is the command that lets this program, and no other, make
// user namespaces.
func apparmorProfile() string {
	self, err := os.Executable()
	if err != nil {
		self = "/usr/bin/sallyport"
	}
	return `printf 'abi <abi/4.0>,\nprofile sallyport "` + self + `" flags=(unconfined) {\n  userns,\n}\n' | sudo tee /etc/apparmor.d/sallyport` +
		` && sudo apparmor_parser -r /etc/apparmor.d/sallyport`
}

func containerMend(container string) string {
	switch container {
	case "docker", "podman":
		return container + " run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined ..."
	case "kubernetes":
		return "set securityContext.procMount: Unmasked and seccompProfile.type: Unconfined with hostUsers: false, or use --sandbox kube"
	}
	return ""
}

func bare(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// mounts tries what a zone mounts inside its user namespace: an overlay and a
// process table of its own.
func mounts(ctx context.Context, spaces []Fact, dir, container string) []Fact {
	overlay := Fact{Name: "overlay", Need: ForAny}
	proc := Fact{Name: "proc", Need: ForAny}
	for _, s := range spaces {
		if !s.OK {
			overlay.Value, overlay.Why, overlay.Mend = "not tried", "needs "+s.Name, s.Mend
			proc.Value, proc.Why, proc.Mend = "not tried", "needs "+s.Name, s.Mend
			return []Fact{overlay, proc}
		}
	}
	scratch, err := os.MkdirTemp(dir, "sallyport-doctor-")
	if err != nil {
		overlay.Value, overlay.Why = "not tried", err.Error()
		proc.Value, proc.Why = "not tried", err.Error()
		return []Fact{overlay, proc}
	}
	defer os.RemoveAll(scratch)
	tryOverlay(ctx, &overlay, scratch)
	if err := mountInChild(ctx, "-t", "proc", "proc", scratch); err != nil {
		proc.Value, proc.Why = "refused", "a new proc cannot be mounted: "+err.Error()
		if container != "" {
			proc.Why = "the " + container + " container masks /proc, so a new one cannot be mounted"
			proc.Mend = containerMend(container)
		}
	} else {
		proc.OK, proc.Value = true, "works"
	}
	return []Fact{overlay, proc}
}

func tryOverlay(ctx context.Context, f *Fact, scratch string) {
	var option []string
	for _, d := range [...]string{"lower", "upper", "work"} {
		path := filepath.Join(scratch, d)
		if err := os.Mkdir(path, 0o755); err != nil {
			f.Value, f.Why = "not tried", err.Error()
			return
		}
		option = append(option, d+"dir="+path)
	}
	point := filepath.Join(scratch, "merged")
	if err := os.Mkdir(point, 0o755); err != nil {
		f.Value, f.Why = "not tried", err.Error()
		return
	}
	if strings.ContainsAny(scratch, ",:\\") {
		f.Value, f.Why = "not tried", "the path holds a character that overlay options cannot: "+scratch
		return
	}
	if err := mountInChild(ctx, "-t", "overlay", "-o", strings.Join(option, ",")+",userxattr", "overlay", point); err != nil {
		f.Value, f.Why = "refused", "overlayfs in a user namespace on "+filepath.Dir(scratch)+": "+err.Error()
		f.Mend = "sudo modprobe overlay   # and a kernel of 5.11 or newer; or set SALLYPORT_STATE to a directory on ext4, xfs or btrfs"
		return
	}
	f.OK, f.Value = true, "works in a user namespace"
}

// mountInChild runs mount(8) in namespaces of its own, which take the mount
// with them when it ends.
func mountInChild(ctx context.Context, args ...string) error {
	path := "/usr/bin/mount"
	if !exists(path) {
		path = "/bin/mount"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-n", "-i"}, args...)...)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n"); first != "" {
		return errors.New(first)
	}
	return err
}
