package sandboxtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fileAttempts try to reach the host's files.
func fileAttempts() []attempt {
	return []attempt{
		{id: "file.absolute", control: plain, try: func(w world) error { return readCanary(w, w.HostFile) }},
		{id: "file.dotdot", control: plain, try: func(w world) error {
			return readCanary(w, strings.Repeat("../", 40)+w.HostFile)
		}},
		{id: "file.symlink", control: plain, try: func(w world) error {
			link := filepath.Join(w.Scratch, "link")
			os.Remove(link)
			if err := os.Symlink(w.HostFile, link); err != nil {
				return err
			}
			return readCanary(w, link)
		}},
		{id: "file.proc-root", control: plain, try: func(w world) error {
			return throughProcesses(w, "root")
		}},
		{id: "file.proc-cwd", control: plain, try: func(w world) error {
			return throughProcesses(w, "cwd/"+strings.Repeat("../", 40))
		}},
		{id: "file.handle", control: plainRoot, try: func(w world) error { return openByHandle("/") }},
		{id: "file.shadow", control: plainRoot, try: openRead("/etc/shadow")},
		{id: "file.state", control: plain, try: func(w world) error { _, err := os.ReadDir(w.StateDir); return err }},
		{id: "file.home", control: plainRoot, try: func(world) error { _, err := os.ReadDir("/root"); return err }},
		{id: "file.boot", try: func(world) error { _, err := os.ReadDir("/boot"); return err }},
		{id: "file.sys", control: plain, try: func(world) error { _, err := os.ReadDir("/sys/kernel"); return err }},
		{id: "file.write-root", control: plainRoot, try: createIn("/")},
		{id: "file.write-etc", control: plainRoot, try: createIn("/etc")},
		{id: "file.write-usr", control: plainRoot, try: createIn("/usr")},
		{id: "file.write-dev", control: plainRoot, try: createIn("/dev")},
		{id: "file.write-proc", try: func(world) error { return os.WriteFile("/proc/sallyport", nil, 0o600) }},
		{id: "file.write-program", try: func(world) error { return openFor(program, unix.O_WRONLY) }, also: []unix.Errno{unix.ETXTBSY}},
		{id: "file.cgroup", control: plainRoot, try: func(world) error { return openFor("/sys/fs/cgroup/memory/cgroup.procs", unix.O_WRONLY) }},
	}
}

func readCanary(w world, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(b, []byte(reversed(w.Canary))) {
		return safe("a file of that name, but not the host's")
	}
	return nil
}

// throughProcesses follows a link of each visible process to the host's file.
func throughProcesses(w world, link string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if readCanary(w, "/proc/"+e.Name()+"/"+link+w.HostFile) == nil {
			return nil
		}
	}
	return safe("no process leads to the host's file")
}

// openByHandle opens a directory by its number, past every path
// (CAP_DAC_READ_SEARCH).
func openByHandle(path string) error {
	handle, mount, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		return err
	}
	_ = mount
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	got, err := unix.OpenByHandleAt(fd, handle, unix.O_RDONLY)
	if err != nil {
		return err
	}
	return unix.Close(got)
}

func openRead(path string) func(world) error {
	return func(world) error { return openFor(path, unix.O_RDONLY) }
}

func openFor(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// createIn makes a file in a directory, which it removes again.
func createIn(dir string) func(world) error {
	return func(world) error {
		f, err := os.CreateTemp(dir, ".sandboxtest-")
		if err != nil {
			return err
		}
		f.Close()
		return os.Remove(f.Name())
	}
}

// inputAttempts try to change an input that was mounted read-only.
func inputAttempts() []attempt {
	in := func(w world, name string) string { return filepath.Join(w.Input, name) }
	return []attempt{
		{id: "input.write", control: plain, try: func(w world) error { return openFor(in(w, "write"), unix.O_WRONLY) }},
		{id: "input.append", control: plain, try: func(w world) error { return openFor(in(w, "write"), unix.O_RDWR|unix.O_APPEND) }},
		{id: "input.truncate", control: plain, try: func(w world) error { return os.Truncate(in(w, "truncate"), 0) }},
		{id: "input.chmod", control: plain, try: func(w world) error { return os.Chmod(in(w, "write"), 0o600) }},
		{id: "input.chown", control: plain, try: func(w world) error { return os.Lchown(in(w, "write"), os.Getuid(), os.Getgid()) }},
		{id: "input.times", control: plain, try: func(w world) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, in(w, "write"), []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0)
		}},
		{id: "input.xattr", control: plain, try: func(w world) error { return unix.Setxattr(in(w, "write"), "user.a", []byte("b"), 0) }},
		{id: "input.create", control: plain, try: func(w world) error { return os.WriteFile(in(w, "new"), nil, 0o600) }},
		{id: "input.mkdir", control: plain, try: func(w world) error { return os.Mkdir(in(w, "newdir"), 0o700) }},
		{id: "input.symlink", control: plain, try: func(w world) error { return os.Symlink("x", in(w, "newlink")) }},
		{id: "input.link", control: plain, try: func(w world) error { return os.Link(in(w, "write"), in(w, "hard")) }},
		{id: "input.rename", control: plain, try: func(w world) error { return os.Rename(in(w, "rename"), in(w, "renamed")) }},
		{id: "input.unlink", control: plain, try: func(w world) error { return os.Remove(in(w, "unlink")) }},
		{id: "input.reopen", control: plain, try: func(w world) error {
			// A read-only descriptor opened again through proc must not become a writable one.
			f, err := os.Open(in(w, "write"))
			if err != nil {
				return err
			}
			defer f.Close()
			return openFor("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.O_WRONLY)
		}},
	}
}

// inputFiles are the names that inputAttempts expect.
func inputFiles() []string { return []string{"write", "truncate", "rename", "unlink"} }

// deviceAttempts try to reach hardware.
func deviceAttempts() []attempt {
	all := []attempt{
		{id: "device.mknod-char", control: plainRoot, try: mknod(unix.S_IFCHR, 1, 1)},
		{id: "device.mknod-block", control: plainRoot, try: mknod(unix.S_IFBLK, 7, 200)},
		{id: "device.listed", control: plainRoot, try: func(world) error { return unknownDevice() }},
	}
	for _, name := range []string{"mem", "kmem", "port", "kmsg", "kvm", "fuse", "vsock", "net/tun", "loop-control", "userfaultfd",
		"autofs", "console", "tty1", "ttyS0", "vhost-net", "vhost-vsock", "vda", "sda", "nvme0n1", "dri", "snd", "input", "hwrng", "cuse", "uinput", "rtc0"} {
		all = append(all, attempt{id: "device." + name, try: openRead("/dev/" + name)})
	}
	return all
}

func mknod(kind uint32, major, minor uint32) func(world) error {
	return func(w world) error {
		path := filepath.Join(w.Scratch, "node")
		os.Remove(path)
		if err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor))); err != nil {
			return err
		}
		return os.Remove(path)
	}
}

// unknownDevice looks through /dev for what no zone should have.
func unknownDevice() error {
	allowed := map[string]bool{"null": true, "zero": true, "full": true, "random": true, "urandom": true, "tty": true, "ptmx": true,
		"pts": true, "shm": true, "mqueue": true, "fd": true, "stdin": true, "stdout": true, "stderr": true}
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !allowed[e.Name()] {
			return nil
		}
	}
	return safe("nothing but the minimal set")
}
