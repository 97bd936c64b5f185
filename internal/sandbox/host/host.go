// Package host says what this machine can give a zone: which of the kernel's
// primitives work for this user, and for each that does not, why and the
// command that mends it.
//
// Whatever can be tried is tried, in a child that ends at once, rather than
// read from a version number: a sysctl, a profile or an outer container can
// refuse what the kernel has. Nothing is left behind, nothing is changed, and
// no program but mount(8) is run.
package host

import (
	"context"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// Need tells what a lack costs.
type Need string

// The needs.
const (
	ForAny   Need = "any"   // without it no zone starts
	ForFull  Need = "full"  // without it the level is reduced
	Optional Need = "extra" // without it something is slower or absent, not weaker
)

// Fact is one primitive or tool as found on this host.
type Fact struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Value string `json:"value"` // what was found
	Need  Need   `json:"need"`
	Why   string `json:"why,omitempty"`  // what is in the way, when not OK
	Mend  string `json:"mend,omitempty"` // the exact command, where one is known
}

// Facts is everything that was found, in a fixed order.
type Facts struct {
	Kernel    string `json:"kernel"`
	Arch      string `json:"arch"`
	UID       int    `json:"uid"`
	Container string `json:"container,omitempty"` // docker, podman, kubernetes, or what else is around this process
	Level     string `json:"level"`               // sandbox.LevelFull, LevelReduced or LevelNone
	Facts     []Fact `json:"facts"`
}

// Measure tells how strong the isolation can be here.
func Measure(ctx context.Context) sandbox.Level {
	return Inspect(ctx, "").Isolation()
}

// Inspect finds the facts. The overlay is tried in dir, which should be on the
// state directory's file system; empty means the directory for temporary files.
func Inspect(ctx context.Context, dir string) Facts {
	f := Facts{Arch: runtime.GOARCH, UID: os.Getuid(), Container: container()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	spaces := namespaces(f.Container)
	f.Facts = append(f.Facts, spaces...)
	f.Facts = append(f.Facts, mounts(ctx, spaces, dir, f.Container)...)
	f.Facts = append(f.Facts, landlock(), seccomp(), memfd())
	f.Facts = append(f.Facts, cgroups()...)
	f.Facts = append(f.Facts, idmapped(), ids(), kvm())
	f.Facts = append(f.Facts, tools()...)
	f.Level = f.Isolation().Name
	return f
}

// Isolation is the level that the facts allow, with what is missing for full.
func (f Facts) Isolation() sandbox.Level {
	l := sandbox.Level{Name: sandbox.LevelFull}
	for _, fact := range f.Facts {
		if fact.OK || fact.Need == Optional {
			continue
		}
		l.Missing = append(l.Missing, sandbox.Lack{Primitive: fact.Name, Why: fact.Why, Mend: fact.Mend})
		if fact.Need == ForAny {
			l.Name = sandbox.LevelNone
		} else if l.Name == sandbox.LevelFull {
			l.Name = sandbox.LevelReduced
		}
	}
	return l
}

// Find returns the fact of that name; its zero value is not OK.
func (f Facts) Find(name string) Fact {
	for _, fact := range f.Facts {
		if fact.Name == name {
			return fact
		}
	}
	return Fact{Name: name, Need: ForAny, Why: "not measured"}
}

// container names what is around this process, from the marks that the common
// runtimes leave; empty when there is none.
func container() string {
	switch {
	case os.Getenv("KUBERNETES_SERVICE_HOST") != "":
		return "kubernetes"
	case exists("/.dockerenv"):
		return "docker"
	case exists("/run/.containerenv"):
		return "podman"
	}
	return os.Getenv("container") // systemd's convention: lxc, systemd-nspawn ...
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// setting reads one value below /proc/sys; empty when the kernel has none.
func setting(name string) string {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
