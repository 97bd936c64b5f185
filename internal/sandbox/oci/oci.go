// Package oci keeps sandbox's promise with any OCI runtime: runsc (gVisor),
// which answers system calls with a kernel of its own, crun or runc.
//
// The runtime runs inside a zone of package namespaces and makes a container of
// the root that was put together there. So the network is the zone's (none but
// lo and the sockets that the controller serves), the limits are the zone's,
// and the runtime itself sees nothing of the host but its programs: a bug in it
// leads into the zone, not to the host. In the container our init probes,
// filters and waits as ever, before it becomes the payload.
//
// What it does not promise: crun and runc share the host's kernel and are no
// stronger than a zone without them; they are here for those who have to use
// them. Only runsc takes the host's kernel out of the payload's reach.
package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/sandbox/namespaces"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// Name is what --sandbox takes; with a colon and a runtime's name or path, that
// runtime.
const Name = "oci"

// Runtime is an OCI runtime that this package knows how to call.
type Runtime struct {
	Name      string // of its program
	OwnKernel bool
	global    []string // its arguments before the command
	run       []string // and after
}

// Runtimes are those that are known, the strongest first.
func Runtimes() []Runtime {
	logged := []string{"--root", wire.ContainerState + "/state", "--log", wire.ContainerLog}
	lines := []string{"--preserve-fds", "2", "--bundle", wire.ContainerBundle, "zone"}
	return []Runtime{
		{
			Name: "runsc", OwnKernel: true,
			// The network of "host" is the zone's. What the payload writes has
			// to reach the zone's own mounts, so nothing is kept in memory.
			global: append(logged, "--network=host", "--ignore-cgroups", "--overlay2=none", "--host-uds=none", "--host-fifo=none"),
			run:    []string{"--pass-fd", "3:3", "--pass-fd", "4:4", "--bundle", wire.ContainerBundle, "zone"},
		},
		// The control group is the zone's, made and bounded by the controller.
		{Name: "crun", global: append(logged, "--cgroup-manager=disabled"), run: lines},
		{Name: "runc", global: logged, run: lines},
	}
}

// ErrNoRuntime says that none of the runtimes is installed.
var ErrNoRuntime = errors.New("no OCI runtime: install runsc, crun or runc, or name the path of one with --sandbox oci:PATH")

// Find finds the runtime that a value of --sandbox names, on PATH or at its
// path; "oci" alone names the first one that is there.
func Find(value string) (*namespaces.Container, error) {
	_, wanted, _ := strings.Cut(value, ":")
	for _, r := range Runtimes() {
		name := r.Name
		if wanted != "" {
			if r.Name != filepath.Base(wanted) {
				continue
			}
			name = wanted
		}
		path, err := exec.LookPath(name)
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err == nil {
			return r.container(path), nil
		}
		if wanted != "" {
			return nil, fmt.Errorf("OCI runtime %s: %w", wanted, err)
		}
	}
	if wanted != "" {
		return nil, fmt.Errorf("OCI runtime %q is not known: runsc, crun or runc", wanted)
	}
	return nil, ErrNoRuntime
}

func (r Runtime) container(path string) *namespaces.Container {
	args := append([]string{r.Name}, r.global...)
	return &namespaces.Container{
		Name: Name + ":" + r.Name, Program: path, OwnKernel: r.OwnKernel,
		Args: append(append(args, "run"), r.run...),
		Config: func(v namespaces.View) (string, error) {
			b, err := json.Marshal(r.bundle(v))
			return string(b), err
		},
	}
}
