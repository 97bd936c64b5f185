package drill

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The programs that a build of BuildKit's needs, and who may run them.
func TestHasBuildKit(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for _, p := range []string{"buildkitd", "buildctl", "runc", "tar"} {
		if HasBuildKit() {
			t.Fatalf("it is here without %s", p)
		}
		if err := writeFile(filepath.Join(dir, p), "#!/bin/sh\n"); err != nil {
			t.Fatal(err)
		}
	}
	if root := os.Geteuid() == 0; HasBuildKit() != root {
		t.Errorf("all programs are here, root is %v: HasBuildKit is %v", root, HasBuildKit())
	}
}

// Every stage is a RUN step of its own, in order, with the cache of this world
// alone; the last one hands out what came of it.
func TestDockerfile(t *testing.T) {
	w := &World{o: Options{Path: "/usr/bin:/bin"}, Dir: "/w1", Src: "/w1/src", Cache: "/w1/cache", Tools: "/w1/tools", Runner: "/w1/runner", mark: "seen"}
	w.sinks = &sinks{}
	file, err := dockerfile(w, &Act{Stages: []Stage{{Command: `echo "@MARK@"`}, {Command: "make\nmake install", Out: "dist/app"}}})
	if err != nil {
		t.Fatal(err)
	}
	const mount = "RUN --mount=type=cache,id=w1,from=cache,target=/w1/cache "
	want := []string{
		"FROM host AS step\nENV HOME=/root PATH=/usr/bin:/bin npm_config_nodedir=/usr npm_config_fetch_retries=0\n",
		"COPY --from=src . /w1/src\n", "COPY --from=tools . /w1/tools\n", "COPY --from=runner . /w1/runner\n",
		"WORKDIR /w1/src\n" + mount + `["/bin/sh","-c","echo \"seen\""]` + "\n" + mount + `["/bin/sh","-c","make\nmake install"]` + "\n" + mount,
		"cp -a '/w1/cache' /got/cache; cp -RL 'dist/app' /got/out/; exit 0\"]\nFROM scratch\nCOPY --from=step /got /\n",
	}
	for _, part := range want {
		if !strings.Contains(file, part) {
			t.Errorf("no %q in\n%s", part, file)
		}
	}
	if n := strings.Count(file, "\nRUN "); n != 3 {
		t.Errorf("%d steps, want 3:\n%s", n, file)
	}
}

// The daemon gets the Dockerfile and the image as they lie here, and asks no
// registry.
func TestBuildArguments(t *testing.T) {
	s := &BuildKit{ctl: "/bin/buildctl", addr: "unix:///d/socket", image: "/d/image", digest: "sha256:abc"}
	got := strings.Join(s.argv("/b", "--output", "type=local,dest=/o"), " ")
	want := "/bin/buildctl --addr unix:///d/socket build --progress=plain --frontend dockerfile.v0 --local dockerfile=/b" +
		" --oci-layout host=/d/image --opt context:host=oci-layout://host@sha256:abc --output type=local,dest=/o"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A blob is found by the digest of its bytes.
func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	b, err := jsonBlob(dir, "a/b", map[string]string{"x": "y"})
	if err != nil {
		t.Fatal(err)
	}
	text := `{"x":"y"}`
	if want := (blob{"a/b", fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))), int64(len(text))}); b != want {
		t.Errorf("%+v, want %+v", b, want)
	}
	layer := filepath.Join(dir, "layer")
	if err := os.WriteFile(layer, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := nameBlob(layer, "c/d")
	if err != nil || l.Digest != b.Digest || l.Size != b.Size || l.MediaType != "c/d" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := os.Stat(layer); err == nil {
		t.Error("the layer still has the name that says nothing")
	}
	got, err := os.ReadFile(filepath.Join(dir, strings.TrimPrefix(l.Digest, "sha256:")))
	if err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := jsonBlob(dir, "a/b", func() {}); err == nil {
		t.Error("a value that is no JSON has a blob")
	}
	if _, err := nameBlob(filepath.Join(dir, "none"), ""); err == nil {
		t.Error("a file that is not there has a digest")
	}
}

// A real daemon plays what really is an attack: what a step wrote into the cache
// and the exit code come out, what it changed of the checkout does not.
func TestBuildKitPlays(t *testing.T) {
	if !HasBuildKit() {
		t.Skip("not run: needs root, and buildkitd, buildctl, runc and tar in PATH")
	}
	dir, o := t.TempDir(), options(t)
	o.Timeout = 3 * time.Minute
	b, err := StartBuildKit(t.Context(), filepath.Join(dir, "daemon"), o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	checkImage(t, b)
	cases, err := Choose([]string{"R22.cache", "R23.exec", "R31.python"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Outcome{"R22.cache": Leaked, "R23.exec": Stopped, "R31.python": Stopped}
	for i := range cases {
		rs, err := Run(t.Context(), &cases[i], o, b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if w, ok := want[r.ID]; ok && r.Outcome != w {
				t.Errorf("%s: %s, want %s (%s; reached %v)", r.ID, r.Outcome, w, r.Why, r.Reached)
			}
			delete(want, r.ID)
		}
	}
	if len(want) > 0 {
		t.Errorf("not played: %v", want)
	}
}

// checkImage reads the image's index the way the daemon does.
func checkImage(t *testing.T, b *BuildKit) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.image, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Manifests []blob `json:"manifests"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != b.digest {
		t.Errorf("index %s, manifest %s", text, b.digest)
	}
}
