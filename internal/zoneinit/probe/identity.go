package probe

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// identity checks who the payload will be: no user zero, no capability, a
// filter that is on and cannot be taken off.
func (p *prober) identity() {
	ru, eu, su := unix.Getresuid()
	rg, eg, sg := unix.Getresgid()
	p.found("id.user", "an ordinary user and group", idAgainst("user", ru, eu, su)+idAgainst("group", rg, eg, sg))
	status, err := readFile(p.proc + "/thread-self/status")
	if err != nil {
		against := "cannot read the thread's status: " + errnoName(err)
		p.found("id.capabilities", "none, bounding set empty", against)
		p.found("id.no_new_privs", "on", against)
		p.found("id.seccomp", "a filter", against)
		return
	}
	p.found("id.capabilities", "none, bounding set empty", capabilitiesAgainst(status))
	p.found("id.no_new_privs", "on", fieldAgainst(status, "NoNewPrivs", "1"))
	p.found("id.seccomp", "a filter", fieldAgainst(status, "Seccomp", "2"))
}

// idAgainst judges the real, effective and saved id of one kind.
func idAgainst(kind string, real, effective, saved int) string {
	switch {
	case real == 0 || effective == 0 || saved == 0:
		return kind + " 0"
	case real != effective || effective != saved:
		return "three different " + kind + " ids"
	}
	return ""
}

// statusField returns the value of one line of /proc/*/status.
func statusField(status, name string) (string, bool) {
	for line := range strings.SplitSeq(status, "\n") {
		if k, v, ok := strings.Cut(line, ":"); ok && k == name {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

func fieldAgainst(status, name, want string) string {
	switch v, ok := statusField(status, name); {
	case !ok:
		return "the kernel does not say " + name
	case v != want:
		return name + " is " + v
	}
	return ""
}

func capabilitiesAgainst(status string) string {
	for _, set := range [...]string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		v, ok := statusField(status, set)
		if !ok {
			return "the kernel does not say " + set
		}
		if n, err := strconv.ParseUint(v, 16, 64); err != nil || n != 0 {
			return set + " is " + v
		}
	}
	return ""
}

// kernel checks that the kernel which answers is not the host's.
func (p *prober) kernel() {
	const name, wanted = "kernel.own", "another than the host's"
	var u unix.Utsname
	err := unix.Uname(&u)
	switch release := unix.ByteSliceToString(u.Release[:]); {
	case err != nil:
		p.found(name, wanted, "cannot tell: "+errnoName(err))
	case p.HostRelease == "":
		p.found(name, wanted, "cannot tell: the controller named none")
	case release == p.HostRelease:
		p.found(name, wanted, "the host's")
	default:
		p.found(name, wanted, "")
	}
}

// namespaces checks that no namespace that has to be the zone's own is the
// controller's.
func (p *prober) namespaces() {
	const name, wanted = "ns.own", "none of the controller's namespaces"
	if len(p.HostNS) == 0 {
		p.found(name, wanted, "cannot tell: the controller named none")
		return
	}
	for _, host := range p.HostNS {
		kind, _, ok := strings.Cut(host, ":")
		if !ok || strings.Contains(kind, "/") {
			p.found(name, wanted, "cannot tell: "+host+" is no namespace")
			return
		}
		own, err := readlink(p.proc + "/self/ns/" + kind)
		if err == unix.ENOENT && p.OwnKernel {
			continue // it knows no such namespace
		}
		if err != nil {
			p.found(name, wanted, "cannot tell "+kind+": "+errnoName(err))
			return
		}
		if own == host {
			p.found(name, wanted, "the controller's "+kind+" namespace")
			return
		}
	}
	p.found(name, wanted, "")
}
