package probe

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// identity checks who the payload will be: no user zero, no capability, a
// filter that is on and cannot be taken off.
func (p *prober) identity() {
	p.found("id.user", "an ordinary user and group", userAgainst())
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

func userAgainst() string {
	ru, eu, su := unix.Getresuid()
	rg, eg, sg := unix.Getresgid()
	if ru == 0 || eu == 0 || su == 0 {
		return "user 0"
	}
	if ru != eu || eu != su {
		return "three different user ids"
	}
	if rg == 0 || eg == 0 || sg == 0 {
		return "group 0"
	}
	if rg != eg || eg != sg {
		return "three different group ids"
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
