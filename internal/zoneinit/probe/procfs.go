package probe

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// processes checks that proc shows the zone's own processes, and that neither
// the first of them nor the controller can be looked into.
func (p *prober) processes() {
	p.found("proc.own", "the zone's own process table", p.ownProcAgainst())
	p.found("proc.controller", "not visible", p.controllerAgainst())
	p.found("proc.init", "closed", p.initAgainst())
	if !p.OwnKernel { // see kernel
		p.found("proc.kernel", "not writable, not readable", p.kernelAgainst())
	}
	p.found("state.directory", "not visible", p.stateAgainst())
}

// ownProcAgainst compares the number by which proc calls this process with the
// number that the kernel gives it in its own namespace: with a proc of the
// host's they differ, or the status names more than one.
func (p *prober) ownProcAgainst() string {
	pid := strconv.Itoa(unix.Getpid())
	self, err := readlink(p.proc + "/self")
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	if self != pid {
		return "proc of another namespace"
	}
	status, err := readFile(p.proc + "/self/status")
	if err != nil {
		return "cannot tell: " + errnoName(err)
	}
	if ns, ok := statusField(status, "NSpid"); (!ok || ns != pid) && (ok || !p.OwnKernel) {
		return "numbers in more than one namespace: " + ns
	}
	return ""
}

func (p *prober) controllerAgainst() string {
	if len(p.HostPIDs) == 0 {
		return "cannot tell: the controller named none"
	}
	own := map[int]bool{1: true, unix.Getpid(): true, unix.Getppid(): true}
	for _, pid := range p.HostPIDs {
		// The same small number can be one of ours; ns.own and proc.own say
		// that the table is not the host's.
		if pid <= 0 || own[pid] {
			continue
		}
		var st unix.Stat_t
		if e := errno(unix.Stat(p.proc+"/"+strconv.Itoa(pid), &st)); e != unix.ENOENT {
			return "process " + strconv.Itoa(pid) + " in proc: " + answer(e)
		}
		if e := errno(unix.Kill(pid, 0)); e != unix.ESRCH {
			return "process " + strconv.Itoa(pid) + " can be named: " + answer(e)
		}
	}
	return ""
}

// initAgainst checks that the zone's first process shows nothing: not what it
// was started with, not its memory, not its view of the file system.
func (p *prober) initAgainst() string {
	text, err := readFile(p.proc + "/1/environ")
	if err == nil && text != "" {
		return "environ is readable"
	}
	if err != nil && !denied(errno(err)) {
		return "environ: " + errnoName(err)
	}
	fd, err := openRetry(p.proc+"/1/mem", unix.O_RDONLY|unix.O_CLOEXEC)
	if err == nil {
		unix.Close(fd)
		return "mem can be opened"
	}
	if !denied(errno(err)) {
		return "mem: " + errnoName(err)
	}
	for _, link := range [...]string{"root", "cwd", "exe"} {
		if _, err := readlink(p.proc + "/1/" + link); err == nil {
			return link + " can be followed"
		} else if !denied(errno(err)) {
			return link + ": " + errnoName(err)
		}
	}
	return ""
}

// denied tells whether the answer is a refusal, or that there is nothing.
func denied(e unix.Errno) bool {
	return e == unix.EACCES || e == unix.EPERM || e == unix.ENOENT || e == unix.EROFS || e == unix.ENOTDIR
}

// kernelAgainst checks the files of proc and sys through which the host itself
// can be changed or read.
func (p *prober) kernelAgainst() string {
	for _, path := range [...]string{
		p.proc + "/sys/kernel/core_pattern", p.proc + "/sys/kernel/modprobe", p.proc + "/sys/vm/overcommit_memory",
		p.proc + "/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs",
	} {
		fd, err := openRetry(path, unix.O_WRONLY|unix.O_CLOEXEC)
		if err == nil {
			unix.Close(fd)
			return path + " can be written"
		}
		if !denied(errno(err)) {
			return path + ": " + errnoName(err)
		}
	}
	for _, name := range [...]string{"/kcore", "/keys", "/timer_list"} {
		if text, err := readSome(p.proc + name); err == nil && text != "" {
			return p.proc + name + " can be read"
		}
	}
	return ""
}

// readSome reads the beginning of a file.
func readSome(path string) (string, error) {
	fd, err := openRetry(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var buf [64]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (p *prober) stateAgainst() string {
	if !strings.HasPrefix(p.StateDir, "/") {
		return "cannot tell: the controller named none"
	}
	var st unix.Stat_t
	if e := errno(unix.Lstat(p.StateDir, &st)); e != unix.ENOENT && e != unix.ENOTDIR {
		return answer(e)
	}
	return ""
}

// environment checks the names and values that the payload will see.
func (p *prober) environment() {
	own, err := readFile(p.proc + "/self/environ")
	var read []string
	if err == nil {
		read = strings.Split(strings.TrimSuffix(own, "\x00"), "\x00")
	}
	all := append(append(read, unix.Environ()...), p.Env...)
	p.found("env.names", "only the allowed", p.namesAgainst(all))
	p.found("env.values", "no secret", p.valuesAgainst(all))
}

func (p *prober) namesAgainst(env []string) string {
	allowed := make(map[string]bool, len(p.AllowedEnv))
	for _, n := range p.AllowedEnv {
		allowed[n] = true
	}
	for _, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); kv != "" && !allowed[name] {
			return "variable " + strconv.Quote(bounded(name))
		}
	}
	return ""
}

// valuesAgainst looks for the forbidden values in the environment and in the
// command lines of the processes that can be seen. It names the place only.
func (p *prober) valuesAgainst(env []string) string {
	shown := make(map[string]bool, len(p.Canaries))
	for _, c := range p.Canaries {
		shown[c] = true
	}
	lines := p.commandLines()
	for _, secret := range p.Forbidden {
		if secret == "" || shown[secret] {
			continue
		}
		for _, kv := range env {
			if strings.Contains(kv, secret) {
				name, _, _ := strings.Cut(kv, "=")
				return "a forbidden value in variable " + strconv.Quote(bounded(name))
			}
		}
		for pid, line := range lines {
			if strings.Contains(line, secret) {
				return "a forbidden value in the command line of process " + pid
			}
		}
	}
	return ""
}

func (p *prober) commandLines() map[string]string {
	if len(p.Forbidden) == 0 {
		return nil
	}
	names, _, _ := readDir(p.proc)
	lines := make(map[string]string)
	for _, n := range names {
		if _, err := strconv.Atoi(n); err != nil || len(lines) > 64 {
			continue
		}
		if text, err := readFile(p.proc + "/" + n + "/cmdline"); err == nil {
			lines[n] = text
		}
	}
	return lines
}
