package sandboxtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// openInitFiles opens what the zone's first process has open, by whatever
// number: its line to the controller is among it.
func openInitFiles() error {
	var err error
	for n := range 16 {
		if err = openFor("/proc/1/fd/"+strconv.Itoa(n), unix.O_RDWR); err == nil {
			return nil
		}
	}
	return err
}

// procAttempts try to look at, or act on, what is outside through proc.
func procAttempts() []attempt {
	return []attempt{
		{id: "proc.host-process", control: plain, try: func(w world) error {
			_, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.HostPID))
			return err
		}},
		{id: "proc.environ-search", control: plain, try: func(w world) error { return searchProcesses(w, "environ") }},
		{id: "proc.cmdline-search", try: func(w world) error { return searchProcesses(w, "cmdline") }},
		{id: "proc.memory-search", control: plain, try: searchMemory},
		{id: "proc.init-environ", try: notEmpty("/proc/1/environ")},
		{id: "proc.init-mem", try: openRead("/proc/1/mem")},
		{id: "proc.init-maps", try: notEmpty("/proc/1/maps")},
		{id: "proc.init-root", try: func(world) error { _, err := os.ReadDir("/proc/1/root"); return err }},
		{id: "proc.init-cwd", try: func(world) error { _, err := os.ReadDir("/proc/1/cwd"); return err }},
		{id: "proc.init-fd", try: func(world) error { _, err := os.ReadDir("/proc/1/fd"); return err }},
		{id: "proc.init-fd-open", try: func(world) error { return openInitFiles() }},
		{id: "proc.init-exe", try: openRead("/proc/1/exe")},
		{id: "proc.kcore", try: notEmpty("/proc/kcore")},
		{id: "proc.keys", try: notEmpty("/proc/keys")},
		{id: "proc.sysrq", try: func(world) error { return openFor("/proc/sysrq-trigger", unix.O_WRONLY) }},
		{id: "proc.core-pattern", control: plainRoot, try: func(world) error { return openFor("/proc/sys/kernel/core_pattern", unix.O_WRONLY) }},
		{id: "proc.modprobe", try: func(world) error { return openFor("/proc/sys/kernel/modprobe", unix.O_WRONLY) }},
		{id: "proc.ip-forward", control: plainRoot, try: func(world) error { return openFor("/proc/sys/net/ipv4/ip_forward", unix.O_WRONLY) }},
		{id: "proc.hostname", control: plainRoot, try: func(world) error { return openFor("/proc/sys/kernel/hostname", unix.O_WRONLY) }},
		{id: "proc.oom", try: func(world) error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0) }},
		{id: "proc.uid-map", try: func(world) error { return os.WriteFile("/proc/self/uid_map", []byte("0 0 1"), 0) }},
		{id: "proc.setgroups", try: func(world) error { return os.WriteFile("/proc/self/setgroups", []byte("allow"), 0) }},
		{id: "proc.signal", control: plain, try: func(w world) error { return unix.Kill(w.HostPID, 0) }},
		{id: "proc.pidfd", control: plain, try: func(w world) error {
			fd, err := unix.PidfdOpen(w.HostPID, 0)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}},
	}
}

func notEmpty(path string) func(world) error {
	return func(world) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		var buf [64]byte
		n, err := f.Read(buf[:])
		if n > 0 {
			return nil
		}
		if err != nil && err.Error() != "EOF" {
			return err
		}
		return safe("empty")
	}
}

// searchProcesses looks for the canary in one file of every visible process.
func searchProcesses(w world, file string) error {
	paths, err := filepath.Glob("/proc/[0-9]*/" + file)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte(reversed(w.Canary))) {
			return nil
		}
	}
	return safe(fmt.Sprintf("not in %d processes", len(paths)))
}

// searchMemory opens the controller's memory, and that of every process that is
// not this one's ancestor in the zone.
func searchMemory(w world) error {
	for _, pid := range []int{w.HostPID, 1} {
		if pid == 1 && w.HostPID != 0 && unix.Kill(w.HostPID, 0) == nil {
			continue // outside: process 1 is none of ours
		}
		f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/mem")
		if err == nil {
			return f.Close()
		}
	}
	return safe("no memory can be opened")
}
