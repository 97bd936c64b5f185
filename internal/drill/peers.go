package drill

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Peers are the other ways to keep a step apart that are compared with, as far
// as this machine has them. Each gets what a job container of today's CI gets:
// the checkout, the cache, the tools and the runner's files are writable, the
// rest of the machine is read-only or not there, HOME and /tmp are empty, and
// the job's variables stay outside.
func Peers() []Subject {
	var out []Subject
	for _, p := range []Wrapped{
		{"bwrap", bwrap}, {"nsjail", nsjail}, {"runc", ociPeer("runc", "--rootless", "true")}, {"crun", ociPeer("crun", "--cgroup-manager=disabled")},
	} {
		if _, err := exec.LookPath(p.Label); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// shared are the directories of a job that its containers write to.
func (w *World) shared() []string { return []string{w.Src, w.Cache, w.Tools, w.Runner} }

// plainSettings are the only variables that peers pass in beside PATH and HOME: what
// native modules of npm are built with, without asking a server, and that a
// server which is not there is not asked again and again.
func plainSettings() []string {
	return []string{"npm_config_nodedir=/usr", "npm_config_fetch_retries=0"}
}

// toolchains are those on the PATH of steps that lie where a peer has a HOME of
// its own, such as /root/.rustup/toolchains/stable: it shows them read-only.
func toolchains(path string) []string {
	var out []string
	for _, d := range filepath.SplitList(path) {
		if root := filepath.Dir(d); strings.HasPrefix(root, "/root/") || strings.HasPrefix(root, "/home/") {
			out = append(out, root)
		}
	}
	return out
}

// bwrap is bubblewrap with everything unshared and the host's root read-only.
func bwrap(w *World, command string) []string {
	args := []string{"bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
		"--tmpfs", "/tmp", "--tmpfs", "/root", "--tmpfs", "/home"}
	for _, d := range toolchains(w.o.Path) {
		args = append(args, "--ro-bind", d, d)
	}
	for _, d := range w.shared() {
		args = append(args, "--bind", d, d)
	}
	args = append(args, "--clearenv", "--setenv", "PATH", w.o.Path, "--setenv", "HOME", "/root")
	for _, s := range plainSettings() {
		name, value, _ := strings.Cut(s, "=")
		args = append(args, "--setenv", name, value)
	}
	return append(args, "--chdir", w.Src, "/bin/sh", "-c", command)
}

// nsjail is in its mode for one command, with the host's root read-only. Its own
// limits are left out, since they are for smaller things than a build; a limit of
// "hard" would not do, for it makes of an unlimited file size one at which every
// write fails, and whatever cannot write looks as if it had been stopped.
func nsjail(w *World, command string) []string {
	args := []string{"nsjail", "-Mo", "-Q", "--chroot", "/", "--time_limit", "0", "--disable_rlimits", "--cwd", w.Src, "-E", "PATH=" + w.o.Path, "-E", "HOME=/root"}
	for _, d := range []string{"/tmp", "/root", "/home"} {
		args = append(args, "-m", "none:"+d+":tmpfs:size=1073741824")
	}
	for _, s := range plainSettings() {
		args = append(args, "-E", s)
	}
	for _, d := range toolchains(w.o.Path) {
		args = append(args, "-R", d)
	}
	for _, d := range w.shared() {
		args = append(args, "-B", d)
	}
	return append(args, "--", "/bin/sh", "-c", command)
}

// ociPeer runs a step in the container that `runc spec --rootless` describes, as
// it stands but for the process, the root and the mounts of the job.
func ociPeer(runtime string, flags ...string) func(w *World, command string) []string {
	return func(w *World, command string) []string {
		bundle, err := makeBundle(w, command)
		if err != nil {
			return []string{"/bin/sh", "-c", "echo 'no bundle: " + strings.ReplaceAll(err.Error(), "'", "") + "'; exit 125"}
		}
		args := append([]string{runtime, "--root", filepath.Join(w.Dir, "subject/state")}, flags...)
		if runtime == "crun" && os.Geteuid() == 0 {
			// crun refuses a hybrid tree of control groups, and looks nowhere else.
			args = append([]string{"unshare", "-m", "/bin/sh", "-c", `mount -t cgroup2 none /sys/fs/cgroup && exec "$@"`, "crun"}, args...)
		}
		return append(args, "run", "--bundle", bundle, "drill-"+filepath.Base(bundle)+"-"+filepath.Base(w.Dir))
	}
}

type ociMount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options,omitempty"`
}

func makeBundle(w *World, command string) (string, error) {
	if err := os.MkdirAll(filepath.Join(w.Dir, "subject"), 0o755); err != nil {
		return "", err
	}
	bundle, err := os.MkdirTemp(filepath.Join(w.Dir, "subject"), "bundle")
	if err != nil {
		return "", err
	}
	spec := exec.Command("runc", "spec", "--rootless", "--bundle", bundle)
	if out, err := spec.CombinedOutput(); err != nil {
		return "", fmt.Errorf("runc spec: %w: %s", err, out)
	}
	file := filepath.Join(bundle, "config.json")
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var config map[string]any
	if err := json.Unmarshal(b, &config); err != nil {
		return "", err
	}
	if err := fillBundle(w, config, bundle, command); err != nil {
		return "", err
	}
	if b, err = json.Marshal(config); err != nil {
		return "", err
	}
	return bundle, os.WriteFile(file, b, 0o644)
}

func fillBundle(w *World, config map[string]any, bundle, command string) error {
	root := filepath.Join(bundle, "rootfs")
	for _, d := range []string{"usr", "etc", "tmp", "root", "proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+d, filepath.Join(root, d)); err != nil {
			return err
		}
	}
	process, ok1 := config["process"].(map[string]any)
	mounts, ok2 := config["mounts"].([]any)
	if !ok1 || !ok2 {
		return fmt.Errorf("runc spec gave no process or mounts")
	}
	process["terminal"], process["args"], process["cwd"] = false, []string{"/bin/sh", "-c", command}, w.Src
	process["env"] = append([]string{"PATH=" + w.o.Path, "HOME=/root"}, plainSettings()...)
	more := []ociMount{{"/usr", "none", "/usr", []string{"rbind", "ro"}}, {"/etc", "none", "/etc", []string{"rbind", "ro"}},
		{"/tmp", "tmpfs", "tmpfs", nil}, {"/root", "tmpfs", "tmpfs", nil}}
	for _, d := range toolchains(w.o.Path) {
		more = append(more, ociMount{d, "none", d, []string{"rbind", "ro"}})
	}
	for _, d := range w.shared() {
		more = append(more, ociMount{d, "none", d, []string{"rbind", "rw"}})
	}
	for _, m := range more {
		mounts = append(mounts, m)
	}
	config["mounts"], config["root"] = mounts, map[string]any{"path": "rootfs", "readonly": false}
	return nil
}
