package host

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
)

func TestInspect(t *testing.T) {
	f := Inspect(t.Context(), t.TempDir())
	seen := make(map[string]bool)
	for _, fact := range f.Facts {
		if seen[fact.Name] {
			t.Errorf("%s stands there twice", fact.Name)
		}
		seen[fact.Name] = true
		if fact.Value == "" || fact.Need == "" {
			t.Errorf("%s: value %q, need %q: both have to say something", fact.Name, fact.Value, fact.Need)
		}
		if fact.OK != (fact.Why == "") {
			t.Errorf("%s: OK is %v and why is %q", fact.Name, fact.OK, fact.Why)
		}
		t.Logf("%-14s %-5v %-24s %s", fact.Name, fact.OK, fact.Value, fact.Why)
	}
	for _, name := range []string{"userns", "mountns", "pidns", "netns", "ipcns", "utsns", "cgroupns", "overlay", "proc",
		"landlock", "seccomp", "memfd", "cgroup", "cgroup.memory", "cgroup.pids", "cgroup.cpu", "idmapped", "subids", "kvm",
		"go", "node", "npm", "git", "gcc"} {
		if !seen[name] {
			t.Errorf("no fact %s", name)
		}
	}
	if f.Kernel == "" || f.Level == "" {
		t.Errorf("kernel %q, level %q", f.Kernel, f.Level)
	}
}

func TestJSONNamesStay(t *testing.T) {
	b, err := json.Marshal(Facts{Container: "docker", Facts: []Fact{{Why: "w", Mend: "m"}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"kernel":"","arch":"","uid":0,"container":"docker","level":"","facts":[{"name":"","ok":false,"value":"","need":"","why":"w","mend":"m"}]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestInspectLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	Inspect(t.Context(), dir)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in %s: %v (%v)", dir, left, err)
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(after), dir) || strings.Count(string(after), "\n") > strings.Count(string(before), "\n")+3 {
		t.Errorf("mounts before:\n%s\nafter:\n%s", before, after)
	}
}

func TestIsolation(t *testing.T) {
	all := func(change ...Fact) Facts {
		return Facts{Facts: append([]Fact{{Name: "userns", OK: true, Need: ForAny}, {Name: "landlock", OK: true, Need: ForFull}}, change...)}
	}
	for _, c := range []struct {
		what    string
		facts   Facts
		level   string
		missing int
	}{
		{"everything", all(), sandbox.LevelFull, 0},
		{"no kvm", all(Fact{Name: "kvm", Need: Optional}), sandbox.LevelFull, 0},
		{"no memory limit", all(Fact{Name: "cgroup.memory", Need: ForFull}), sandbox.LevelReduced, 1},
		{"no net namespace", all(Fact{Name: "netns", Need: ForAny}), sandbox.LevelNone, 1},
		{"the worse counts, either order", all(Fact{Name: "netns", Need: ForAny}, Fact{Name: "cgroup.memory", Need: ForFull}), sandbox.LevelNone, 2},
		{"a need nobody knows", all(Fact{Name: "x"}), sandbox.LevelReduced, 1},
	} {
		if l := c.facts.Isolation(); l.Name != c.level || len(l.Missing) != c.missing {
			t.Errorf("%s: level %s, missing %v", c.what, l.Name, l.Missing)
		}
	}
	if (Facts{}).Find("netns").OK {
		t.Error("a fact that was not measured is OK")
	}
}

func TestMeasureAgrees(t *testing.T) {
	f := Inspect(t.Context(), "")
	if l := Measure(t.Context()); l.Name != f.Level {
		t.Errorf("Measure says %s, Inspect %s", l.Name, f.Level)
	}
}

// The control: what the kernel refuses has to come out as refused.
func TestAttemptCanFail(t *testing.T) {
	// CLONE_NEWUSER with CLONE_FS is invalid on every kernel.
	if err := attempt(unix.CLONE_NEWUSER|unix.CLONE_FS, false); err == nil {
		t.Error("an invalid set of namespaces works")
	}
	if err := mountInChild(t.Context(), "-t", "ext4", "none", t.TempDir()); err == nil {
		t.Error("a mount of nothing works")
	}
}

func TestRefusal(t *testing.T) {
	denied := &os.PathError{Op: "fork/exec", Path: "x", Err: syscall.EPERM}
	for _, c := range []struct {
		what, container string
		settings        map[string]string
		why, mend       string
	}{
		{"sysctl of Debian", "", map[string]string{"kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"none allowed", "docker", map[string]string{"user/max_user_namespaces": "0"}, "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces="},
		{"none of this kind", "docker", map[string]string{"user/max_net_namespaces": "0"}, "user.max_net_namespaces is 0", "sysctl -w user.max_net_namespaces="},
		{"none of another kind", "", map[string]string{"user/max_pid_namespaces": "0"}, "operation not permitted", ""},
		{"AppArmor", "", map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor", "userns,"},
		{"docker", "docker", nil, "docker container", "docker run --security-opt"},
		{"podman", "podman", nil, "podman container", "podman run --security-opt"},
		{"kubernetes", "kubernetes", nil, "kubernetes container", "procMount: Unmasked"},
		{"another container", "lxc", nil, "lxc container", ""},
		{"nothing known", "", nil, "operation not permitted", ""},
	} {
		why, mend := refusal(denied, "net", c.container, func(name string) string { return c.settings[name] })
		if !strings.Contains(why, c.why) || !strings.Contains(mend, c.mend) || c.mend == "" && mend != "" {
			t.Errorf("%s: why %q, mend %q", c.what, why, mend)
		}
	}
	if why, _ := refusal(errors.New("odd"), "net", "", func(string) string { return "" }); why != "odd" {
		t.Errorf("why %q", why)
	}
}

func TestKernelFacts(t *testing.T) {
	for _, c := range []struct {
		fact       Fact
		ok         bool
		value, why string
	}{
		{landlockFact(7, 0), true, "ABI 7", ""},
		{landlockFact(3, 0), true, "ABI 3", ""},
		{landlockFact(2, 0), false, "ABI 2", "truncation"},
		{landlockFact(0, unix.ENOSYS), false, "absent", "5.13"},
		{landlockFact(0, unix.EOPNOTSUPP), false, "disabled", "active modules"},
		{idmappedFact(unix.EBADF, 0), true, "available", ""},
		{idmappedFact(unix.EBADF, 1000), false, "not for this user", "root"},
		{idmappedFact(unix.ENOSYS, 0), false, "absent", "5.12"},
		{kvmFact(nil), true, "usable", ""},
		{kvmFact(unix.ENOENT), false, "absent", "no /dev/kvm"},
		{kvmFact(unix.EACCES), false, "closed", "permission denied"},
	} {
		if c.fact.OK != c.ok || c.fact.Value != c.value || !strings.Contains(c.fact.Why, c.why) || c.ok != (c.fact.Why == "") {
			t.Errorf("%+v", c.fact)
		}
	}
}

func TestMountsAreNotTriedInVain(t *testing.T) {
	got := mounts(t.Context(), []Fact{{Name: "userns", Mend: "mend"}}, "", "")
	for _, f := range got {
		if f.OK || f.Why != "needs userns" || f.Mend != "mend" || f.Need != ForAny {
			t.Errorf("%+v", f)
		}
	}
	for _, f := range mounts(t.Context(), nil, filepath.Join(t.TempDir(), "none"), "") {
		if f.OK || f.Why == "" {
			t.Errorf("without a directory: %+v", f)
		}
	}
}

func TestContainer(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	if got := container(); got != "kubernetes" {
		t.Errorf("got %q", got)
	}
}

func TestFind(t *testing.T) {
	f := Facts{Facts: []Fact{{Name: "netns", OK: true}}}
	if !f.Find("netns").OK || f.Find("userns").OK {
		t.Errorf("%+v, %+v", f.Find("netns"), f.Find("userns"))
	}
}

func TestOverlayPathsThatOptionsCannotHold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a,upperdir=b")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var f Fact
	if tryOverlay(t.Context(), &f, dir); f.OK || f.Why == "" {
		t.Errorf("got %+v", f)
	}
}

func TestLocate(t *testing.T) {
	const mounts1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	const mounts2 = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	for _, c := range []struct {
		what, mounts, groups, version, memory, v2 string
	}{
		{"v1", mounts1, "4:memory:/docker/abc/x\n2:cpu,cpuacct:/\n", "v1", "/sys/fs/cgroup/memory/x", ""},
		{"v1, group above the mount", mounts1, "4:memory:/other\n", "v1", "/sys/fs/cgroup/memory", ""},
		{"v2", mounts2, "0::/user.slice/user-1000.slice/a.scope\n", "v2", "", "/sys/fs/cgroup/user.slice/user-1000.slice/a.scope"},
		{"hybrid", mounts1 + mounts2, "4:memory:/docker/abc\n0::/\n", "hybrid", "/sys/fs/cgroup/memory", "/sys/fs/cgroup"},
		{"none", "", "", "none", "", ""},
		{"garbage", "x\n - \n", "x\n:\n", "none", "", ""},
	} {
		h := locate(c.mounts, c.groups)
		if h.version() != c.version || h.v1["memory"] != c.memory || h.v2 != c.v2 {
			t.Errorf("%s: version %s, memory %q, v2 %q", c.what, h.version(), h.v1["memory"], h.v2)
		}
	}
}

func TestLimit(t *testing.T) {
	dir := t.TempDir()
	if f := (hierarchies{v2: dir}).limit("cgroup.memory", "memory", ForFull); f.OK || !strings.Contains(f.Mend, "Delegate=yes") {
		t.Errorf("no controller: %+v", f)
	}
	for name, text := range map[string]string{"cgroup.controllers": "cpu memory pids\n", "cgroup.procs": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if f := (hierarchies{v2: dir}).limit("cgroup.memory", "memory", ForFull); !f.OK {
		t.Errorf("a delegated group: %+v", f)
	}
	if f := (hierarchies{}).limit("cgroup.memory", "memory", ForFull); f.OK || f.Need != ForFull {
		t.Errorf("nothing mounted: %+v", f)
	}
	if f := (hierarchies{v1: map[string]string{"memory": dir + "/none"}}).limit("cgroup.memory", "memory", ForFull); f.OK || f.Mend == "" {
		t.Errorf("a group that cannot be written: %+v", f)
	}
}

func TestSubordinate(t *testing.T) {
	const text = "root:1:65536\nbob:100000:65536\n1000:7:10\nbob:x:y\nbob:1\n"
	for _, c := range []struct {
		name, uid string
		want      int
	}{{"bob", "1000", 65546}, {"eve", "1001", 0}, {"root", "0", 65536}} {
		if got := subordinate(bufio.NewScanner(strings.NewReader(text)), c.name, c.uid); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func FuzzLocate(f *testing.F) {
	f.Add("41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/a\n")
	f.Fuzz(func(t *testing.T, mounts, groups string) {
		locate(mounts, groups).version()
	})
}

func BenchmarkMeasure(b *testing.B) {
	for b.Loop() {
		Measure(b.Context())
	}
}
