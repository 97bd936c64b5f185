package namespaces

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// cgroups are the control groups of this process, below which those of zones
// are made. Version 1 has a tree for each controller, version 2 one for all; a
// hybrid host has some controllers in either.
type cgroups struct {
	v1 map[string]string // controller -> own group
	v2 string            // own group; empty: none
	n  atomic.Int64
}

// counted are the controllers that bound and count; the first two have to be
// there for the full level.
var counted = []string{"memory", "pids", "cpu", "cpuacct"}

// locateCgroups reads where this process is (cgroups(7)).
func locateCgroups() *cgroups {
	table, err1 := os.ReadFile("/proc/self/mountinfo")
	own, err2 := os.ReadFile("/proc/self/cgroup")
	if err1 != nil || err2 != nil {
		return &cgroups{}
	}
	return findCgroups(string(table), string(own))
}

func findCgroups(mountinfo, own string) *cgroups {
	c := &cgroups{v1: make(map[string]string)}
	paths := make(map[string]string) // controller, or "" for version 2
	for line := range strings.Lines(own) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for controller := range strings.SplitSeq(f[1], ",") {
				paths[controller] = f[2]
			}
		}
	}
	for line := range strings.Lines(mountinfo) {
		front, back, ok := strings.Cut(line, " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 5 || len(b) < 3 {
			continue
		}
		switch b[0] {
		case "cgroup2":
			if p, ok := paths[""]; ok {
				c.v2 = groupDir(f[4], f[3], p)
			}
		case "cgroup":
			for controller := range strings.SplitSeq(b[2], ",") {
				if p, ok := paths[controller]; ok && slices.Contains(counted, controller) {
					c.v1[controller] = groupDir(f[4], f[3], p)
				}
			}
		}
	}
	return c
}

// groupDir is the directory of a group in a tree that is mounted at point, from
// root on.
func groupDir(point, root, group string) string {
	if rel, err := filepath.Rel(root, group); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return filepath.Join(point, rel)
	}
	return point
}

// group is the control group of one zone: one directory, or one for each
// controller of version 1. A nil group is one that could not be made.
type group struct {
	v1 map[string]string
	v2 string
}

// create makes a group for one zone. What it could make comes with an error
// too.
func (c *cgroups) create() (*group, error) {
	name := "sallyport-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(c.n.Add(1), 10)
	if c.n.Load() == 1 {
		c.sweep()
	}
	g := &group{v1: make(map[string]string)}
	var errs error
	for controller, dir := range c.v1 {
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = errors.Join(errs, err)
			continue
		}
		g.v1[controller] = dir
	}
	if c.v1["memory"] == "" || c.v1["pids"] == "" {
		errs = errors.Join(errs, c.createV2(g, name))
	}
	return g, errs
}

// createV2 makes a group with the controllers that version 1 does not have.
func (c *cgroups) createV2(g *group, name string) error {
	if c.v2 == "" {
		return errors.New("no control group with memory and pids is mounted")
	}
	if err := c.enable(); err != nil {
		return err
	}
	g.v2 = filepath.Join(c.v2, name)
	if err := os.Mkdir(g.v2, 0o755); err != nil {
		g.v2 = ""
		return err
	}
	return nil
}

// enable lets the groups below this process's have controllers. A group that
// has them may hold no process itself, so this one moves into a group below,
// which a delegated tree (systemd's Delegate=yes) allows.
func (c *cgroups) enable() error {
	control := filepath.Join(c.v2, "cgroup.subtree_control")
	have, err := os.ReadFile(filepath.Join(c.v2, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range []string{"memory", "pids"} {
		if !slices.Contains(strings.Fields(string(have)), controller) {
			return fmt.Errorf("the group %s has no %s controller", c.v2, controller)
		}
	}
	want := []byte("+memory +pids")
	if slices.Contains(strings.Fields(string(have)), "cpu") {
		want = append(want, " +cpu"...)
	}
	if os.WriteFile(control, want, 0) == nil {
		return nil
	}
	own := filepath.Join(c.v2, "sallyport-controller")
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.WriteFile(filepath.Join(own, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return err
	}
	return os.WriteFile(control, want, 0)
}

// sweep removes the groups of controllers that were killed. The kernel lets
// go only of those that are empty.
func (c *cgroups) sweep() {
	for _, dir := range append(mapValues(c.v1), c.v2) {
		left, _ := filepath.Glob(filepath.Join(dir, "sallyport-[0-9]*-[0-9]*"))
		for _, g := range left {
			pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(g), "sallyport-"), "-")
			if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
				_ = os.Remove(g) // another one's: not ours to insist
			}
		}
	}
}

func mapValues(m map[string]string) []string {
	var all []string
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// lack says that zones are not bounded by a control group.
func (c *cgroups) lack(err error) sandbox.Lack {
	return sandbox.Lack{
		Primitive: wire.Cgroup, Why: err.Error(),
		Mend: "systemd-run --user --scope -p Delegate=yes sallyport ...",
	}
}

// enter lets what this thread starts next be born in the group: to move
// a process that runs takes the kernel milliseconds. The thread itself goes into
// groups of version 1, and comes back with the function that is returned, which
// is never nil. Version 2 takes the group from the attributes.
func (g *group) enter(a *syscall.SysProcAttr) (leave func() error, err error) {
	if g == nil {
		return func() error { return nil }, nil
	}
	var entered []string
	var v2 *os.File
	leave = func() error {
		var errs error
		for _, dir := range entered {
			errs = errors.Join(errs, join(filepath.Dir(dir)))
		}
		if v2 != nil {
			errs = errors.Join(errs, v2.Close())
		}
		return errs
	}
	for _, dir := range g.v1 {
		if err := join(dir); err != nil {
			return leave, err
		}
		entered = append(entered, dir)
	}
	if g.v2 != "" {
		if v2, err = os.OpenFile(g.v2, unix.O_PATH|unix.O_DIRECTORY, 0); err == nil {
			a.UseCgroupFD, a.CgroupFD = true, int(v2.Fd()) //nolint:gosec // a descriptor
		}
	}
	return leave, err
}

// join moves this thread into a group of version 1.
func join(dir string) error {
	return os.WriteFile(filepath.Join(dir, "tasks"), []byte("0"), 0)
}

// dirs are the group's directories, each once.
func (g *group) dirs() []string {
	all := mapValues(g.v1)
	if g.v2 != "" {
		all = append(all, g.v2)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// period is the time over which a bound on processors is kept.
const period = 100 * time.Millisecond

// setting is one file of a group. What is optional exists only on some
// kernels.
type setting struct {
	dir, file, value string
	optional         bool
}

// limit bounds the group.
func (g *group) limit(l sandbox.Limits) error {
	if g == nil {
		return nil
	}
	for _, s := range g.settings(l) {
		err := os.WriteFile(filepath.Join(s.dir, s.file), []byte(s.value), 0)
		if err != nil && !(s.optional && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

func (g *group) settings(l sandbox.Limits) []setting {
	memory, pids := strconv.FormatInt(l.Memory, 10), strconv.Itoa(l.PIDs)
	quota := strconv.FormatInt(int64(l.CPUs*float64(period.Microseconds())), 10)
	window := strconv.FormatInt(period.Microseconds(), 10)
	var all []setting
	if dir, ok := g.v1["memory"]; ok {
		all = append(all, setting{dir, "memory.limit_in_bytes", memory, false},
			setting{dir, "memory.memsw.limit_in_bytes", memory, true})
	}
	if dir, ok := g.v1["pids"]; ok {
		all = append(all, setting{dir, "pids.max", pids, false})
	}
	if dir, ok := g.v1["cpu"]; ok {
		all = append(all, setting{dir, "cpu.cfs_period_us", window, true}, setting{dir, "cpu.cfs_quota_us", quota, true})
	}
	if g.v2 != "" {
		all = append(all, setting{g.v2, "memory.max", memory, false}, setting{g.v2, "memory.swap.max", "0", true},
			setting{g.v2, "memory.oom.group", "1", true}, setting{g.v2, "pids.max", pids, false},
			setting{g.v2, "cpu.max", quota + " " + window, true})
	}
	return all
}

// countsProcesses says whether the group refuses processes beyond its bound,
// and counts that. Where the rlimit has the same value, the kernel asks it
// first, and nobody learns which limit the zone met.
func (g *group) countsProcesses() bool {
	return g != nil && (g.v1["pids"] != "" || g.v2 != "")
}

// usage is what a group counted.
type usage struct {
	cpu          time.Duration
	memory       int64 // bytes at the peak
	outOfMemory  int64 // processes killed
	forksRefused int64
}

// usage reads the counters, as far as there are any.
func (g *group) usage() usage {
	var u usage
	if g == nil {
		return u
	}
	u.cpu = time.Duration(number(g.v1["cpuacct"], "cpuacct.usage", "")) +
		time.Duration(number(g.v2, "cpu.stat", "usage_usec"))*time.Microsecond
	u.memory = max(number(g.v1["memory"], "memory.max_usage_in_bytes", ""), number(g.v2, "memory.peak", ""))
	u.outOfMemory = number(g.v1["memory"], "memory.oom_control", "oom_kill") + number(g.v2, "memory.events", "oom_kill")
	u.forksRefused = number(g.v1["pids"], "pids.events", "max") + number(g.v2, "pids.events", "max")
	return u
}

// number reads a counter: the whole file, or the line of it that starts with
// key. What cannot be read counts as nothing.
func number(dir, file, key string) int64 {
	if dir == "" {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if key == "" && len(f) == 1 || len(f) == 2 && f[0] == key {
			n, err := strconv.ParseInt(f[len(f)-1], 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// remove takes the group away, once its processes are gone. It may take the
// kernel a moment to see that; what stays is swept by the next controller.
func (g *group) remove() {
	if g == nil {
		return
	}
	for _, dir := range g.dirs() {
		_ = os.Remove(dir)
	}
}
