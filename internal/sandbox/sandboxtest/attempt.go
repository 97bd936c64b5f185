package sandboxtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attempt is one forbidden thing.
type attempt struct {
	id  string
	try func(world) error // nil: it worked
	// control is where the same attempt has to work, to show that it can.
	control  control
	also     []unix.Errno  // answers that are refusals here, beside those of the table
	patience time.Duration // how long to wait for an answer; zero: 20 seconds
}

// itWorked is the note of an attempt that was not refused at all.
const itWorked = "it worked"

// control is a place outside of any zone.
type control int

// The places. In a loose zone there are the namespaces of a zone, but every
// capability in them, the host's files, and no filter.
const (
	nowhere   control = iota // nothing harmless would show it, or not every host allows it
	plain                    // a child of the test
	plainRoot                // a child of the test, when that is root
	loose                    // a child in namespaces of its own
)

// world is what an attempt has to know about the outside.
type world struct {
	HostFile   string // exists on the host, holds the canary
	HostPID    int    // a process of the host
	Canary     string // reversed
	TCP, UDP   int    // ports on the host's loopback: the first accepts, the second echoes
	Socket     string // path of a unix socket of the host
	Abstract   string // name of an abstract one
	Input      string // a directory that is mounted read-only
	StateDir   string
	Scratch    string // a directory for the attempt's own files
	Setuid     string // the test binary with the set-user-id bit; empty when the test is not root
	Resolvers  []string
	PeerPort   int // of another zone
	PeerSocket string
	PeerMark   string // stands in the command line of the other zone's processes
	PeerFile   string
	PeerKey    int // of a System V shared memory segment
}

// table is a group of attempts that share what counts as a refusal.
type table struct {
	attempts []attempt
	refusals []unix.Errno
}

// forbidden are the answers of something that is there and closed.
func forbidden() []unix.Errno {
	return []unix.Errno{unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EROFS}
}

// hidden are the answers of something that is not there.
func hidden() []unix.Errno {
	return append(forbidden(), unix.ENOENT, unix.ENOTDIR, unix.ESRCH, unix.ENXIO, unix.ENODEV)
}

// unreached are the answers of a network without anything in it.
func unreached() []unix.Errno {
	return append(forbidden(), unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ECONNREFUSED, unix.ENETDOWN, unix.EADDRNOTAVAIL,
		unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ENOENT, unix.EOPNOTSUPP)
}

// tables are all attempts.
func tables() []table {
	return []table{
		{fileAttempts(), hidden()}, {inputAttempts(), forbidden()}, {procAttempts(), hidden()}, {deviceAttempts(), hidden()},
		{netAttempts(), unreached()}, {familyAttempts(), unreached()}, {mountAttempts(), forbidden()}, {spaceAttempts(), forbidden()},
		{callAttempts(), forbidden()}, {powerAttempts(), forbidden()},
	}
}

// safe is a refusal that is no error number: what was looked for is not there.
type safe string

func (s safe) Error() string { return string(s) }

// verdict is what came of one attempt.
type verdict struct {
	ID      string
	Refused bool
	Note    string
}

// judge turns the answer into a verdict. An answer that is neither success nor
// a known refusal is not one.
func judge(a attempt, refusals []unix.Errno, err error) verdict {
	if err == nil {
		return verdict{a.id, false, itWorked}
	}
	var nothing safe
	if errors.As(err, &nothing) {
		return verdict{a.id, true, err.Error()}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && (slices.Contains(refusals, errno) || slices.Contains(a.also, errno)) {
		return verdict{a.id, true, err.Error()}
	}
	return verdict{a.id, false, "an answer that is no refusal: " + err.Error()}
}

// tryOne makes one attempt in this process and prints the verdict.
func tryOne(w world, id string) int {
	for _, tb := range tables() {
		for _, a := range tb.attempts {
			if a.id == id {
				return printJSON(judge(a, tb.refusals, a.try(w)))
			}
		}
	}
	fmt.Fprintln(os.Stderr, "no attempt", id)
	return 2
}

// drive makes every attempt, each in a process of its own, since some of them
// are answered with a signal.
func drive(encoded string, ids []string) int {
	for _, tb := range tables() {
		for _, a := range tb.attempts {
			if len(ids) > 0 && !slices.Contains(ids, a.id) {
				continue
			}
			if code := printJSON(driveOne(encoded, a)); code != 0 {
				return code
			}
		}
	}
	return 0
}

func driveOne(encoded string, a attempt) verdict {
	id := a.id
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(a.patience, 20*time.Second))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", word, "try", encoded, id)
	cmd.Stdin = strings.NewReader("") // not /dev/null, which a kernel of the zone's own may have let go
	cmd.Env = append(os.Environ(), atOnce)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGSYS {
			return verdict{id, true, "killed by the filter"}
		}
	}
	if err != nil {
		return verdict{id, false, fmt.Sprintf("the attempt's process: %v: %.300s", err, stderr.String())}
	}
	var v verdict
	if err := json.Unmarshal(stdout.Bytes(), &v); err != nil {
		return verdict{id, false, "unreadable verdict: " + err.Error()}
	}
	return v
}

func printJSON(v any) int {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
