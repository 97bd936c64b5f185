// Package probe tries, from inside a zone, what must not work there.
//
// It runs as the payload's user, on the thread that will become the payload,
// after the zone is locked down and before the payload's first instruction.
// Run promises that
//   - nothing it does has an effect, in the zone or outside: system calls are
//     made with arguments that no kernel accepts, so that only a filter can
//     answer "not permitted", and a packet is sent by none of them;
//   - no address is tried while an interface but lo, or a route, exists: the
//     network may then be the host's, and that alone is the finding;
//   - a check that cannot tell is not OK;
//   - no value of a secret is in a result, only the name of the place.
//
// It promises nothing about kernel bugs, and a filter that kills instead of
// refusing ends the process: no receipt, which is not a clean one.
package probe

// Config is what the controller knows and the zone cannot find out by itself.
type Config struct {
	HostPIDs      []int    // process numbers of the controller, on the host
	StateDir      string   // the controller's state directory, on the host
	AllowedListen []int    // TCP ports that may be listening in the zone
	Canaries      []string // values shown to the zone on purpose
	Forbidden     []string // values that must not be visible
	AllowedEnv    []string // names of variables that the payload may have
	NoLoopback    bool     // lo has to be down
	Metadata      bool     // the clouds' metadata address is the zone's own, and the controller listens there
	Zone          string   // the zone's name, for the results

	// OwnKernel says that a container runtime's own kernel answers, which has
	// to show that it is not the host's, of release HostRelease. What the files
	// of /proc and /sys would tell or change is then not the host.
	OwnKernel   bool
	HostRelease string

	// HostNS are the controller's namespaces that the zone must not share, as
	// /proc/self/ns spells them: "net:[4026531840]". Without any, the check is
	// not OK.
	HostNS []string
	// Env is the environment that the payload will get. It is judged together
	// with that of the running process.
	Env []string
	// Writable are mount points, beside the fixed ones, that the zone was
	// given for writing.
	Writable []string
	// FDs are descriptors beside 0, 1 and 2 that the payload inherits.
	FDs []int
}

// Result is the outcome of one check.
type Result struct {
	Name   string `json:"name"`   // stable id
	Wanted string `json:"wanted"` // what a tight zone answers
	Got    string `json:"got"`    // what this one answered
	OK     bool   `json:"ok"`
}

// Run makes every check, in a fixed order. It takes about a millisecond of
// processor time and starts no process.
func Run(c Config) []Result {
	p := &prober{Config: c, proc: "/proc"}
	p.results = make([]Result, 0, 48)
	if p.OwnKernel {
		p.kernel()
	}
	p.identity()
	p.namespaces()
	p.network()
	p.families()
	p.processes()
	p.environment()
	p.files()
	p.descriptors()
	p.calls()
	return p.results
}

// RunAround makes the checks of a zone's network from outside of a container in
// it, by the kernel that the container's might hide.
func RunAround(c Config) []Result {
	p := &prober{Config: c, proc: "/proc", around: true}
	p.found("zone.net.interfaces", "lo alone", p.interfacesAgainst())
	p.found("zone.net.routes", "none", p.routesAgainst())
	p.found("zone.net.listeners", "only the gateway's", p.listenersAgainst())
	return p.results
}

// prober collects the results of one run.
type prober struct {
	Config
	proc    string // where proc is mounted; tests put fixtures there
	around  bool   // of a zone, outside of its container: nothing may be connected to
	results []Result
}

// found records what a check got; it is OK when nothing was found against it.
func (p *prober) found(name, wanted, against string) {
	r := Result{Name: name, Wanted: wanted, Got: wanted, OK: against == ""}
	if !r.OK {
		r.Got = against
	}
	p.results = append(p.results, r)
}
