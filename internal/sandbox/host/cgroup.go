package host

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hierarchies is where control groups are mounted and which one this process is
// in. v1 has one place for each controller, v2 one for all.
type hierarchies struct {
	v1 map[string]string // controller -> own directory
	v2 string            // own directory; empty: no v2
}

// cgroups finds, for each limit, a control group in which this user may make
// one for a zone.
func cgroups() []Fact {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []Fact{{Name: "cgroup", Need: ForFull, Value: "unknown", Why: err.Error()}}
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return []Fact{{Name: "cgroup", Need: ForFull, Value: "absent", Why: "the kernel has no control groups: " + err.Error()}}
	}
	h := locate(string(table), string(own))
	version := Fact{Name: "cgroup", Need: Optional, OK: true, Value: h.version()}
	if h.v2 == "" && len(h.v1) == 0 {
		version.OK, version.Why = false, "no control group is mounted"
	}
	return []Fact{version, h.limit("cgroup.memory", "memory", ForFull), h.limit("cgroup.pids", "pids", ForFull), h.limit("cgroup.cpu", "cpu", Optional)}
}

func (h hierarchies) version() string {
	switch {
	case h.v2 != "" && len(h.v1) > 0:
		return "hybrid"
	case h.v2 != "":
		return "v2"
	case len(h.v1) > 0:
		return "v1"
	}
	return "none"
}

// locate reads the mount table and this process's groups (cgroups(7)).
func locate(mountinfo, groups string) hierarchies {
	h := hierarchies{v1: make(map[string]string)}
	own := make(map[string]string) // controller, or "" for v2 -> path of the own group
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			own[c] = f[2]
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
			if path, ok := own[""]; ok {
				h.v2 = within(f[4], f[3], path)
			}
		case "cgroup":
			for c := range strings.SplitSeq(b[2], ",") {
				if path, ok := own[c]; ok {
					h.v1[c] = within(f[4], f[3], path)
				}
			}
		}
	}
	return h
}

// within gives the directory of a group whose hierarchy is mounted at point
// from root on.
func within(point, root, group string) string {
	if rel, err := filepath.Rel(root, group); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return filepath.Join(point, rel)
	}
	return point
}

// limit tells whether a group with this controller can be made here.
func (h hierarchies) limit(name, controller string, need Need) Fact {
	f := Fact{Name: name, Need: need}
	if dir, ok := h.v1[controller]; ok {
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err == nil {
			f.OK, f.Value = true, "v1 "+dir
			return f
		}
		f.Value, f.Why = "closed", "the v1 group "+dir+" is not this user's"
		f.Mend = "sudo mkdir " + dir + "/sallyport && sudo chown -R \"$USER\" " + dir + "/sallyport && echo $$ | sudo tee " + dir + "/sallyport/cgroup.procs"
		return f
	}
	const delegate = "systemd-run --user --scope -p Delegate=yes sallyport ..."
	switch {
	case h.v2 == "":
		f.Value, f.Why = "absent", "no control group with the "+controller+" controller is mounted"
		f.Mend = "sudo mount -t cgroup2 none /sys/fs/cgroup"
	case !h.v2Has(controller):
		f.Value, f.Why, f.Mend = "not delegated", "the group "+h.v2+" has no "+controller+" controller", delegate
	case unix.Access(h.v2, unix.W_OK|unix.X_OK) != nil || unix.Access(h.v2+"/cgroup.procs", unix.W_OK) != nil:
		f.Value, f.Why, f.Mend = "not delegated", "the group "+h.v2+" is not this user's", delegate
	default:
		f.OK, f.Value = true, "v2 "+h.v2
	}
	return f
}

func (h hierarchies) v2Has(controller string) bool {
	b, err := os.ReadFile(h.v2 + "/cgroup.controllers")
	if err != nil {
		return false
	}
	for _, c := range strings.Fields(string(b)) {
		if c == controller {
			return true
		}
	}
	return false
}
