package zoneinit

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Landlock is a wall of its own: here there is no mount that forbids anything.
func TestLandlockAlone(t *testing.T) {
	if landlockVersion() < leastLandlock {
		t.Skip("not run: needs Landlock")
	}
	inside, outside := t.TempDir(), t.TempDir()
	old := filepath.Join(outside, "old")
	if err := os.WriteFile(old, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := unix.Open(outside, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(held)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Error(err)
		}
		if lack, err := landlock([]string{inside}); lack != "" || err != nil {
			t.Error(lack, err)
			return
		}
		checkWall(t, inside, outside, held)
	}()
	<-done
}

func checkWall(t *testing.T, inside, outside string, held int) {
	for _, c := range []struct {
		what    string
		err     error
		refused bool
	}{
		{"write inside", make1(unix.AT_FDCWD, inside+"/new"), false},
		{"rename inside", unix.Rename(inside+"/new", inside+"/newer"), false},
		{"read outside", openAs(outside+"/old", unix.O_RDONLY), false},
		{"write /dev/null", openAs("/dev/null", unix.O_WRONLY), false},
		{"write outside", make1(unix.AT_FDCWD, outside+"/new"), true},
		{"write outside by a descriptor", make1(held, "new"), true},
		{"write what is there", openAs(outside+"/old", unix.O_WRONLY), true},
		{"truncate", unix.Truncate(outside+"/old", 0), true},
		{"remove", unix.Unlink(outside + "/old"), true},
		{"move out", unix.Rename(inside+"/newer", outside+"/newer"), true},
		{"a directory", unix.Mkdir(outside+"/dir", 0o700), true},
		{"a link", unix.Symlink("x", outside+"/link"), true},
		{"a device inside", unix.Mknod(inside+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))), true}, //nolint:gosec // a small number
	} {
		got := errors.Is(c.err, unix.EACCES) || errors.Is(c.err, unix.EXDEV) || errors.Is(c.err, unix.EPERM)
		if got != c.refused || !c.refused && c.err != nil {
			t.Errorf("%s: %v", c.what, c.err)
		}
	}
}

func make1(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func openAs(name string, flags int) error {
	fd, err := unix.Open(name, flags, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
