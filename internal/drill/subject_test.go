package drill

import (
	"path/filepath"
	"slices"
	"testing"
)

// The jobs of a world have a PATH without the runtime; who runs the drill has it.
func TestRuntimeOffThePathOfJobs(t *testing.T) {
	dir := t.TempDir()
	if err := writeFile(filepath.Join(dir, "crun"), "#!/bin/sh\n"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for value, want := range map[string]string{
		"oci:crun": "oci:" + dir + "/crun", "oci:/opt/crun": "oci:/opt/crun", "oci:absent": "oci:absent", "oci": "oci", "namespaces": "namespaces",
	} {
		s := Boundary{Binary: []string{"sallyport"}, Sandbox: value}
		if got := s.argv("exec"); !slices.Equal(got, []string{"sallyport", "--sandbox", want, "exec"}) {
			t.Errorf("%s: %v", value, got)
		}
		if s.Name() != value {
			t.Errorf("%s is called %s", value, s.Name())
		}
	}
}

// A peer with a HOME of its own shows the toolchains that lie there, and no more.
func TestToolchains(t *testing.T) {
	got := toolchains("/usr/local/go/bin:/root/.rustup/toolchains/stable/bin:/home/ann/node/bin:/root/bin:/usr/bin:/bin")
	if want := []string{"/root/.rustup/toolchains/stable", "/home/ann/node"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
