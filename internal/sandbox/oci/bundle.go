package oci

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sallyport/sallyport/internal/sandbox/namespaces"
)

// initCapabilities are what our init in the container needs: to give the payload
// a user of its own in place of root (SETUID, SETGID, SETFCAP), in a process
// that shows nothing of itself (SYS_PTRACE), to close /proc (SYS_ADMIN), and to
// take everything from itself (SETPCAP). It keeps none.
func initCapabilities() []string {
	return []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP"}
}

// bundle is config.json for a view, as the OCI runtime specification 1.0.2 has
// it. It asks for no user namespace, since the runtime is in the zone's already,
// for none of network, which is the zone's too, and for no masks, which our init
// puts up itself.
func (r Runtime) bundle(v namespaces.View) *specs.Spec {
	caps := initCapabilities()
	s := &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: v.Root, Readonly: true},
		Process: &specs.Process{
			Args: v.Args, Env: []string{}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps, Inheritable: caps, Ambient: caps},
		},
		Hostname: v.Hostname,
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev", "hidepid=invisible"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}},
		},
	}
	if !r.OwnKernel {
		s.Mounts = append(s.Mounts, bind(v, "/dev"))
		return s
	}
	// This runtime makes devices of its own, and takes a root that is read-only
	// for read-only in all its parts, unless they are named.
	s.Mounts[0].Options = s.Mounts[0].Options[:3]
	// Its picture of /sys, which tells of the host's processors, is left out.
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys", Type: "bind", Source: v.Root + "/sys", Options: []string{"bind", "ro"}})
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev", Type: "devtmpfs", Source: "devtmpfs", Options: []string{"ro", "nosuid", "noexec"}})
	for _, place := range v.Writable {
		s.Mounts = append(s.Mounts, bind(v, place))
	}
	return s
}

func bind(v namespaces.View, place string) specs.Mount {
	return specs.Mount{Destination: place, Type: "bind", Source: v.Root + place, Options: []string{"rbind", "rw"}}
}
