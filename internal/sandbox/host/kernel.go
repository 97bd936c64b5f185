package host

import (
	"bufio"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// enoughLandlock is the first ABI that governs truncation, without which a
// read-only file could still be emptied.
const enoughLandlock = 3

func landlock() Fact {
	abi, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return landlockFact(int(abi), e)
}

// landlockFact judges the kernel's answer to the question for its ABI.
func landlockFact(abi int, e unix.Errno) Fact {
	f := Fact{Name: "landlock", Need: ForFull, Value: "ABI " + strconv.Itoa(abi)}
	switch {
	case e == unix.EOPNOTSUPP:
		f.Value, f.Why = "disabled", "the kernel has Landlock but it is not among the active modules"
		f.Mend = `sudo sed -i 's/^GRUB_CMDLINE_LINUX="/&lsm=landlock,lockdown,yama,integrity,apparmor,bpf /' /etc/default/grub && sudo update-grub && sudo reboot`
	case e != 0:
		f.Value, f.Why = "absent", "the kernel has no Landlock ("+e.Error()+"); it needs 5.13, and 6.2 for all that a zone uses"
	case abi < enoughLandlock:
		f.Why = "ABI " + strconv.Itoa(enoughLandlock) + " (Linux 6.2) is the first that governs truncation"
	default:
		f.OK = true
	}
	return f
}

func seccomp() Fact {
	f := Fact{Name: "seccomp", Need: ForAny}
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	if e := seccompAction(&action); e != 0 {
		f.Value, f.Why = "absent", "the kernel was built without seccomp filters ("+e.Error()+")"
		return f
	}
	f.OK, f.Value = true, "filters"
	return f
}

// memfd checks that the zone's init can be run from sealed memory.
func memfd() Fact {
	f := Fact{Name: "memfd", Need: ForAny}
	fd, err := unix.MemfdCreate("sallyport-doctor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		f.Value, f.Why = "refused", "memfd_create: "+err.Error()
		return f
	}
	defer unix.Close(fd)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		f.Value, f.Why = "not sealed", "F_ADD_SEALS: "+err.Error()
		return f
	}
	if setting("vm/memfd_noexec") == "2" {
		f.Value, f.Why, f.Mend = "not executable", "vm.memfd_noexec is 2", "sudo sysctl -w vm.memfd_noexec=1"
		return f
	}
	f.OK, f.Value = true, "sealed, executable"
	return f
}

// idmapped checks for mounts that show another owner (mount_setattr), which
// `sallyport exec` uses as root to work in a checkout of another user.
func idmapped() Fact {
	return idmappedFact(unix.MountSetattr(-1, "", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP}), os.Getuid())
}

// idmappedFact judges the answer to a call that cannot succeed.
func idmappedFact(err error, uid int) Fact {
	f := Fact{Name: "idmapped", Need: Optional}
	switch {
	case err == unix.ENOSYS:
		f.Value, f.Why = "absent", "the kernel has no mount_setattr: it needs 5.12"
	case uid != 0:
		f.Value, f.Why = "not for this user", "idmapped mounts need root; without root a zone works under the user's own id"
	default:
		f.OK, f.Value = true, "available"
	}
	return f
}

// ids looks for a range of subordinate ids and the programs that map it. A zone
// needs one id only, so nothing is weaker without.
func ids() Fact {
	f := Fact{Name: "subids", Need: Optional}
	path, err := exec.LookPath("newuidmap")
	if err != nil {
		f.Value, f.Why, f.Mend = "no newuidmap", "newuidmap is not installed", "sudo apt-get install uidmap"
		return f
	}
	me, err := user.Current()
	if err != nil {
		f.Value, f.Why = "unknown", err.Error()
		return f
	}
	file, err := os.Open("/etc/subuid")
	if err == nil {
		defer file.Close()
		if size := subordinate(bufio.NewScanner(file), me.Username, me.Uid); size > 0 {
			f.OK, f.Value = true, strconv.Itoa(size)+" ids by "+path
			return f
		}
	}
	f.Value, f.Why = "no range", "/etc/subuid has no range for "+me.Username
	f.Mend = "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + me.Username
	return f
}

// subordinate adds up the ranges of one user in subuid(5).
func subordinate(lines *bufio.Scanner, name, uid string) (size int) {
	for lines.Scan() {
		f := strings.Split(lines.Text(), ":")
		if len(f) != 3 || f[0] != name && f[0] != uid {
			continue
		}
		if n, err := strconv.Atoi(f[2]); err == nil && n > 0 {
			size += n
		}
	}
	return size
}

func kvm() Fact { return kvmFact(unix.Access("/dev/kvm", unix.R_OK|unix.W_OK)) }

func kvmFact(err error) Fact {
	f := Fact{Name: "kvm", Need: Optional}
	switch err {
	case nil:
		f.OK, f.Value = true, "usable"
	case unix.ENOENT:
		f.Value, f.Why = "absent", "there is no /dev/kvm"
	default:
		f.Value, f.Why, f.Mend = "closed", "/dev/kvm: "+err.Error(), "sudo usermod -aG kvm \"$USER\""
	}
	return f
}

// tools looks for the programs that projects are built with. They are not run.
func tools() []Fact {
	var facts []Fact
	const apt = "sudo apt-get install "
	for _, t := range [...]struct{ name, mend string }{
		{"go", apt + "golang-go"}, {"node", apt + "nodejs"}, {"npm", apt + "npm"}, {"git", apt + "git"}, {"gcc", apt + "build-essential"},
		{"runsc", "go install gvisor.dev/gvisor/runsc@go"}, {"crun", apt + "crun"}, {"runc", apt + "runc"}, // for --sandbox oci
	} {
		f := Fact{Name: t.name, Need: Optional}
		if path, err := exec.LookPath(t.name); err == nil {
			f.OK, f.Value = true, path
		} else {
			f.Value, f.Why, f.Mend = "absent", t.name+" is not on the PATH", t.mend
		}
		facts = append(facts, f)
	}
	return facts
}
