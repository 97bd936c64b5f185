package sandboxtest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// testLimits checks that each bound holds and is named.
func (s *suite) testLimits(t *testing.T) {
	t.Run("processes", s.testProcesses)
	t.Run("memory", s.testMemory)
	t.Run("disk", func(t *testing.T) {
		for _, dir := range []string{sandbox.Temp, sandbox.Home, sandbox.Box, "/dev/shm"} {
			spec := s.spec(t, "fill", dir+"/file", "64")
			spec.Limits.Disk = 16 << 20
			if o := s.run(t, spec); strings.HasPrefix(o.stdout, "all") && o.Limit == "" {
				t.Errorf("64 MiB in %s with a limit of 16", dir)
			}
		}
	})
	t.Run("disk of the upper layer", s.testUpperDisk)
	t.Run("file size", func(t *testing.T) {
		spec := s.spec(t, "fill", sandbox.Temp+"/file", "8")
		spec.Limits.FileSize = 2 << 20
		if o := s.run(t, spec); strings.HasPrefix(o.stdout, "all") {
			t.Error("a file of 8 MiB with a limit of 2")
		}
	})
	t.Run("open files", func(t *testing.T) {
		spec := s.spec(t, "open", "500")
		spec.Limits.OpenFiles = 100
		if o := s.run(t, spec); !strings.HasPrefix(o.stdout, "refused after") {
			t.Errorf("500 open files with a limit of 100: %q", o.stdout)
		}
	})
	t.Run("time", func(t *testing.T) {
		spec := s.spec(t, "sleep")
		spec.Limits.Time = 300 * time.Millisecond
		if o := s.run(t, spec); o.Limit != "time" || o.Bound != int64(spec.Limits.Time) || o.ExitCode == 0 && o.Signal == nil {
			t.Errorf("a payload that sleeps for ever: limit %q of %d, exit code %d", o.Limit, o.Bound, o.ExitCode)
		}
	})
	t.Run("output", func(t *testing.T) {
		spec := s.spec(t, "print")
		spec.Limits.Output = 100000
		o := s.run(t, spec)
		if o.Limit != "output" || len(o.stdout) > 100000 {
			t.Errorf("a payload that prints for ever: limit %q, %d bytes", o.Limit, len(o.stdout))
		}
	})
	t.Run("default", func(t *testing.T) {
		if o := s.run(t, s.spec(t, "fork", "33000")); strings.HasPrefix(o.stdout, "all") {
			t.Errorf("without limits in the Spec there are none: %v", o)
		}
	})
}

// testProcesses checks the bound on processes, and that the host still forks.
func (s *suite) testProcesses(t *testing.T) {
	spec := s.spec(t, "fork", "400")
	spec.Limits.PIDs = 150
	o := s.run(t, spec)
	if strings.HasPrefix(o.stdout, "all") {
		t.Errorf("400 processes in a zone of 150: %v", o)
	}
	if !s.lacks("cgroup") && o.ExitCode != 0 && o.Limit != "pids" {
		t.Errorf("the limit that ended it is %q", o.Limit)
	}
	bystander(t) // the host still forks
}

// testMemory checks the bound on memory.
func (s *suite) testMemory(t *testing.T) {
	if s.lacks("cgroup") || s.lacks("cgroup.memory") || s.lacks("memory") {
		t.Skip("not run: needs a control group with the memory controller")
	}
	spec := s.spec(t, "alloc", "512")
	spec.Limits.Memory = 128 << 20
	o := s.run(t, spec)
	if strings.Contains(o.stdout, "all") || o.ExitCode == 0 && o.Signal == nil {
		t.Errorf("512 MiB in a zone of 128: %q, exit code %d, signal %v", o.stdout, o.ExitCode, o.Signal)
	}
	if o.Limit != "memory" {
		t.Errorf("the limit that ended it is %q", o.Limit)
	}
}

// testUpperDisk checks that what is written to the host's disk is bounded too.
func (s *suite) testUpperDisk(t *testing.T) {
	dir := s.owned(t, "lower", "upper", "work")
	spec := s.spec(t, "fill", sandbox.Box+"/file", "256")
	spec.Overlay = sandbox.Overlay{Lower: []string{filepath.Join(dir, "lower")}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	spec.Limits.Disk, spec.Limits.FileSize = 16<<20, 1<<30
	if o := s.run(t, spec); strings.HasPrefix(o.stdout, "all") && o.Limit != "disk" {
		t.Errorf("256 MiB with a limit of 16: %q, limit %q", o.stdout, o.Limit)
	}
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d, signal %v, limit %q, error %v\n%s%s", o.ExitCode, o.Signal, o.Limit, o.err, o.stdout, o.stderr)
}
