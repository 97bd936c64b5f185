package sandboxtest

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ownKernel tells whether the zones have a kernel of their own, as the sandbox
// says; the receipt shows that it is another than the host's.
func (s *suite) ownKernel() bool {
	k, ok := s.sb.(interface{ OwnKernel() bool })
	return ok && k.OwnKernel()
}

// harmless are the answers that a kernel of the zone's own may give, and no
// other: what they reach is a part of that kernel, which ends with the zone.
// docs/oci.md says why for each.
func harmless(id string) (answer string) {
	return map[string]string{
		"proc.init-fd":      itWorked, // the numbers alone: see proc.init-fd-open
		"proc.sysrq":        itWorked,
		"proc.oom":          itWorked,
		"device.listed":     itWorked, // FUSE, which needs a mount
		"device.fuse":       itWorked,
		"net.host-fastopen": unix.EINPROGRESS.Error(), // net.host-tcp waits for the answer
		"net.interface-up":  unix.ENOTTY.Error(),
		"call.x32":          "signal: killed", // by the suite: it never answers
		"power.nice":        itWorked,
		"power.realtime":    unix.EINVAL.Error(),
	}[id]
}

// refused tells whether an attempt reached nothing of the host's.
func (s *suite) refused(v verdict) bool {
	answer := harmless(v.ID)
	return v.Refused || s.ownKernel() && answer != "" && strings.Contains(v.Note, answer)
}

// watch returns how to ask whether a zone lives on: whether its payload does, by
// a mark in its command line; or, where a kernel of its own hides that, whether
// anything does that runs below a process.
func (s *suite) watch(t *testing.T, mark string, below int) (lives func() bool) {
	t.Helper()
	if !s.ownKernel() {
		if !alive(t, mark) {
			t.Fatal("the payload cannot be seen from the host: the test shows nothing")
		}
		return func() bool { return alive(t, mark) }
	}
	all := descendants(t, below)
	if len(all) < 3 { // the zone's first process, the runtime, the kernel
		t.Fatalf("%d processes of the zone: the test shows nothing", len(all))
	}
	return func() bool {
		now := processes(t)
		for pid, p := range all {
			if now[pid].started == p.started {
				return true
			}
		}
		return false
	}
}

// process is one line of /proc/*/stat.
type process struct {
	parent  int
	started string
}

func processes(t *testing.T) map[int]process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[int]process)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(f) < 20 || f[0] == "Z" {
			continue
		}
		parent, _ := strconv.Atoi(f[1])
		all[pid] = process{parent, f[19]}
	}
	return all
}

// descendants are the processes below pid, with itself.
func descendants(t *testing.T, pid int) map[int]process {
	t.Helper()
	all := processes(t)
	found := map[int]process{pid: all[pid]}
	for grown := true; grown; {
		grown = false
		for p, info := range all {
			if _, has := found[p]; has {
				continue
			}
			if _, below := found[info.parent]; below {
				found[p], grown = info, true
			}
		}
	}
	return found
}
