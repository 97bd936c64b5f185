package namespaces

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/sandbox"
)

func TestFindCgroups(t *testing.T) {
	const hybrid = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
39 31 0:36 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`
	c := findCgroups(hybrid, "4:memory:/own/group\n3:pids:/docker/x/inner\n2:cpu,cpuacct:/\n0::/user.slice/u\n")
	for controller, want := range map[string]string{
		"memory": "/sys/fs/cgroup/memory/own/group", "pids": "/sys/fs/cgroup/pids/inner",
		"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
	} {
		if c.v1[controller] != want {
			t.Errorf("%s is at %q, want %q", controller, c.v1[controller], want)
		}
	}
	if c.v2 != "/sys/fs/cgroup/unified/user.slice/u" {
		t.Errorf("v2 is at %q", c.v2)
	}
	if c := findCgroups("", ""); len(c.v1) > 0 || c.v2 != "" {
		t.Errorf("nothing is %+v", c)
	}
}

// fakeV2 is a version 2 group as systemd delegates one; this machine may have
// another version.
func fakeV2(t *testing.T, controllers string) *cgroups {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"cgroup.controllers": controllers, "cgroup.subtree_control": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &cgroups{v2: dir}
}

func TestVersion2(t *testing.T) {
	c := fakeV2(t, "cpu memory pids\n")
	g, err := c.create()
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(c.v2, "cgroup.subtree_control")); string(b) != "+memory +pids +cpu" {
		t.Errorf("enabled: %q", b)
	}
	want := map[string]string{
		"memory.max": "1024", "pids.max": "7", "cpu.max": "150000 100000", "memory.swap.max": "0", "memory.oom.group": "1",
	}
	for _, s := range g.settings(sandbox.Limits{Memory: 1024, PIDs: 7, CPUs: 1.5}) {
		if s.dir != g.v2 || want[s.file] != s.value {
			t.Errorf("%s is %q, want %q", s.file, s.value, want[s.file])
		}
		delete(want, s.file)
	}
	if len(want) > 0 {
		t.Errorf("not set: %v", want)
	}
	for name, content := range map[string]string{
		"cpu.stat": "usage_usec 2500\nuser_usec 1\n", "memory.peak": "4096\n", "memory.events": "low 0\noom 3\noom_kill 2\n", "pids.events": "max 5\n",
	} {
		if err := os.WriteFile(filepath.Join(g.v2, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.usage(); got != (usage{2500 * time.Microsecond, 4096, 2, 5}) {
		t.Errorf("usage %+v", got)
	}
}

func TestGroupsThatCannotBeMade(t *testing.T) {
	for why, c := range map[string]*cgroups{
		"no control group":     {},
		"no memory controller": fakeV2(t, "cpu pids"),
		"no such file":         {v2: "/none"},
		"no pids controller":   fakeV2(t, "memory"),
	} {
		g, err := c.create()
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
		if l := c.lack(err); l.Primitive != "cgroup" || l.Why == "" {
			t.Errorf("%+v", l)
		}
		leave, err := g.enter(&syscall.SysProcAttr{})
		if err := errors.Join(err, leave()); err != nil {
			t.Error(err)
		}
		g.remove()
	}
	var none *group
	if err := none.limit(sandbox.Limits{}); err != nil || none.usage() != (usage{}) {
		t.Error("a group that was not made does something")
	}
}

// What a controller that was killed left behind is swept by the next one.
func TestSweep(t *testing.T) {
	c := fakeV2(t, "memory pids")
	gone, alive := filepath.Join(c.v2, "sallyport-4194999-1"), filepath.Join(c.v2, "sallyport-1-1")
	for _, dir := range []string{gone, alive} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.create(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("the group of a dead controller is left")
	}
	if _, err := os.Stat(alive); err != nil {
		t.Error("the group of a living controller is gone")
	}
}

func TestDiskWatch(t *testing.T) {
	dir := t.TempDir()
	fill := func(name string, n int) {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill("a", 1<<20)
	if got := held(dir, 1<<30); got < 1<<20 {
		t.Errorf("held %d bytes", got)
	}
	if err := os.Symlink("/usr", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if got := held(dir, 1<<30); got > 2<<20 {
		t.Errorf("held %d bytes: it followed a link", got)
	}
	over := make(chan struct{}, 1)
	w := watchDisk(dir, 2<<20, func() { over <- struct{}{} })
	fill("b", 8<<20)
	if !w.end() {
		t.Error("the limit is exceeded and not told")
	}
	if watchDisk("", 0, nil).end() {
		t.Error("a tmpfs is over its limit")
	}
}
