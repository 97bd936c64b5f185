package sandboxtest

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { Main(m) }

// The suite itself is tested where no zone is: every attempt that is harmless
// there has to work.
func TestControl(t *testing.T) { Control(t) }

func TestJudge(t *testing.T) {
	a := attempt{id: "a", also: []unix.Errno{unix.EINVAL}}
	for _, c := range []struct {
		err     error
		refused bool
	}{
		{nil, false},
		{unix.EPERM, true},
		{fmt.Errorf("wrapped: %w", unix.EACCES), true},
		{unix.EINVAL, true},
		{unix.ENOENT, false},
		{unix.EFAULT, false},
		{errors.New("no errno at all"), false},
		{safe("not there"), true},
	} {
		if v := judge(a, forbidden(), c.err); v.Refused != c.refused || v.Note == "" {
			t.Errorf("%v: %+v", c.err, v)
		}
	}
}

func TestReversed(t *testing.T) {
	if got := reversed(reversed("canary-1")); got != "canary-1" || reversed("canary-1") == "canary-1" {
		t.Errorf("got %q", got)
	}
}
