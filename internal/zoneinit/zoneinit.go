// Package zoneinit is the only code of ours inside a zone: its first process,
// and the process that becomes the payload. Hostile code runs beside the first
// and after the second.
//
// The controller clones PID 1 into fresh namespaces, out of a sealed memory
// file, with an empty environment. PID 1 gives up every capability it will not
// need, starts the payload's process, makes the zone's root, and moves into it;
// that much does not depend on the stage and is done ahead of time. With the
// stage's Setup it mounts the rest, opens the listening sockets, hands them
// out, drops its last capability, and from then on only reaps. The payload's
// process takes its Launch, puts up Landlock and seccomp, probes the zone from
// behind them, reports, waits for the controller's word, and becomes the
// payload. One pid namespace dies with PID 1, and PID 1 with the controller.
//
// The package promises that the payload's first instruction runs only after
// every step succeeded: each step returns an error, and any error ends the
// process that had it before there is a payload. A primitive that may be
// missing (wire.Lack) is reported, and the controller decides.
//
// It holds no key, resolves no name, and reads nothing that a stage wrote
// except through openat2 without links. What it does not promise: that a
// kernel bug within the system calls that remain cannot be used; that is what
// a sandbox with a kernel of its own is for.
package zoneinit

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors of the init's processes, given by who starts them.
const (
	controlFD = 3 // PID 1: its line to the controller; payload: the same
	payloadFD = 4 // PID 1 only: the payload's line, handed on
	programFD = 5 // PID 1 only: the program itself, which started from it
	startedFD = 4 // payload in a container: its line to the container's PID 1
)

// The exit codes of our own processes: the controller takes any as a failure.
const (
	exitEnded  = 0
	exitFailed = 71
)

// Main is the whole program. It runs on the main thread, which is the one that
// the kernel calls the process: credentials are set for each thread.
//
// Its first argument says which process it is: "zone" is PID 1, "payload" the
// process that becomes the payload, "container" and "contained" are those two
// where a container is in between, "hold" keeps a user namespace until its
// standard input ends.
func Main(args []string) int {
	runtime.LockOSThread()
	if len(args) < 2 {
		return exitFailed
	}
	switch args[1] {
	case "zone":
		return zoneMain()
	case "container":
		return containerMain()
	case "payload", "contained":
		return payloadMain(args[1] == "contained")
	case "hold":
		var b [1]byte
		_, _ = unix.Read(0, b[:])
		return exitEnded
	}
	return exitFailed
}

// stepError is a failed step, with its cause.
type stepError struct {
	step string
	what string
	err  error
}

func (e *stepError) Error() string {
	s := e.step
	if e.what != "" {
		s += ": " + e.what
	}
	return s + ": " + e.err.Error()
}

func (e *stepError) Unwrap() error { return e.err }

// at says to what a system call was being done.
func at(what string, err error) error {
	if err == nil {
		return nil
	}
	return &whatError{what, err}
}

type whatError struct {
	what string
	err  error
}

func (e *whatError) Error() string { return e.what + ": " + e.err.Error() }
func (e *whatError) Unwrap() error { return e.err }

// step is one thing to do, with the name that a failure is told by.
type step struct {
	name string
	run  func() error
}

// steps counts the steps of one process, so that a test can let each of them
// fail in turn.
type steps struct {
	done int
	fail int // the step that is made to fail; 0: none
}

// all does list in order and stops at the first failure.
func (s *steps) all(list []step) error {
	for _, st := range list {
		s.done++
		if s.done == s.fail {
			return &stepError{st.name, "made to fail", syscall.ECANCELED}
		}
		if err := st.run(); err != nil {
			return &stepError{step: st.name, err: err}
		}
	}
	return nil
}
