package sandboxtest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rootless is the user under whom tests run again when they run as root.
const rootless = 2000

// AsOrdinaryUser runs tests of this binary again under a user without any
// privilege, in control groups that are given. The files are copied to where
// that user can read them, and named by variables: variable to path.
func AsOrdinaryUser(t *testing.T, tests string, groups []string, files map[string]string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-rootless-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test")
	copyFile(t, self, program)
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "GROUPS_GIVEN=" + strings.Join(groups, " ")}
	given := []string{dir, program}
	for name, path := range files {
		copied := filepath.Join(dir, filepath.Base(path))
		copyFile(t, path, copied)
		env = append(env, name+"="+copied)
		given = append(given, copied)
	}
	for _, name := range given {
		if err := os.Chown(name, rootless, rootless); err != nil {
			t.Fatal(err)
		}
	}
	// The shell moves itself into the groups, which only root may, and then
	// becomes the user.
	text := `for g in $GROUPS_GIVEN; do echo $$ > $g/cgroup.procs || exit 1; done; exec setpriv --reuid 2000 --regid 2000 --clear-groups "$@"`
	cmd := exec.Command("sh", "-c", text, "sh", program, "-test.run", tests, "-test.v")
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("as user %d: %v", rootless, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
