package drill

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// BuildKit runs the stages of an act as RUN steps of one Dockerfile, with the
// daemon's default settings: runc, its seccomp profile and capabilities, and the
// network of the daemon. A build works on a copy of the checkout, the tools and
// the runner's files, so that what comes out is what its last stage holds: the
// artifacts, and the cache, since a cache mount is shared by all builds of a
// daemon and a release build would find in it what this one left.
type BuildKit struct {
	ctl    string // path of buildctl
	addr   string // of the daemon, unix://...
	image  string // OCI layout of the base image
	digest string // of its manifest
	daemon *exec.Cmd
}

// HasBuildKit says whether the programs are here and this process may run them.
func HasBuildKit() bool {
	for _, p := range []string{"buildkitd", "buildctl", "runc", "tar"} {
		if _, err := exec.LookPath(p); err != nil {
			return false
		}
	}
	return os.Geteuid() == 0
}

// StartBuildKit starts a daemon that keeps all it has below dir, and gives it the
// host's programs, and the toolchains on a PATH, as base image: no registry is
// asked. Close ends it.
func StartBuildKit(ctx context.Context, dir, path string) (*BuildKit, error) {
	s := &BuildKit{addr: "unix://" + filepath.Join(dir, "socket"), image: filepath.Join(dir, "image")}
	var err error
	if s.ctl, err = exec.LookPath("buildctl"); err != nil {
		return nil, err
	}
	if s.digest, err = makeImage(ctx, s.image, toolchains(path)); err != nil {
		return nil, fmt.Errorf("image of the host's programs: %w", err)
	}
	s.daemon = exec.Command("buildkitd", "--root", filepath.Join(dir, "root"), "--addr", s.addr, "--oci-worker=true", "--containerd-worker=false")
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.daemon.Start(); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, filepath.Join(dir, "first")); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// ready waits for the daemon, and has it unpack the image: later builds have a
// limit of time.
func (s *BuildKit) ready(ctx context.Context, dir string) error {
	for range 100 {
		if exec.CommandContext(ctx, s.ctl, "--addr", s.addr, "debug", "workers").Run() == nil { //nolint:gosec // found in PATH
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := writeFile(filepath.Join(dir, "Dockerfile"), "FROM host\nRUN [\"/bin/sh\", \"-c\", \"exit 0\"]\n"); err != nil {
		return err
	}
	args := s.argv(dir)
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // found in PATH
		return fmt.Errorf("first build: %w: %s", err, out)
	}
	return nil
}

// Close ends the daemon.
func (s *BuildKit) Close() error {
	if err := s.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = s.daemon.Wait() // how it ends says nothing
	return nil
}

// Name is "buildkit".
func (*BuildKit) Name() string { return "buildkit" }

// argv is a build of the Dockerfile in dir.
func (s *BuildKit) argv(dir string, more ...string) []string {
	return append([]string{
		s.ctl, "--addr", s.addr, "build", "--progress=plain", "--frontend", "dockerfile.v0", "--local", "dockerfile=" + dir,
		"--oci-layout", "host=" + s.image, "--opt", "context:host=oci-layout://host@" + s.digest,
	}, more...)
}

// Play runs one build, takes out what it made, and runs the release step of the
// job outside.
func (s *BuildKit) Play(ctx context.Context, w *World, a *Act) error {
	dir, got := filepath.Join(w.Dir, "subject/build"), filepath.Join(w.Dir, "subject/got")
	file, err := dockerfile(w, a)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "Dockerfile"), file); err != nil {
		return err
	}
	args := s.argv(dir, "--output", "type=local,dest="+got)
	for name, d := range map[string]string{"src": w.Src, "cache": w.Cache, "tools": w.Tools, "runner": w.Runner} {
		args = append(args, "--local", name+"="+d, "--opt", "context:"+name+"=local:"+name)
	}
	code, err := w.command(ctx, &w.log, w.env(), args...)
	if err != nil || code != 0 {
		return err
	}
	take := fmt.Sprintf("cp -RP '%s/cache/.' '%s/' && cp -RP '%s/out/.' '%s/'", got, w.Cache, got, w.Out)
	if _, err := w.command(ctx, &w.log, w.env(), "/bin/sh", "-c", take); err != nil {
		return err
	}
	if a.Release != "" {
		return w.trusted(ctx, a.Release)
	}
	return nil
}

// dockerfile has one RUN step for each stage. The last step gathers what comes
// out; links are followed where they lead to files of the build.
func dockerfile(w *World, a *Act) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "FROM host AS step\nENV HOME=/root PATH=%s %s\n", w.o.Path, strings.Join(plainSettings(), " "))
	for name, dir := range map[string]string{"src": w.Src, "tools": w.Tools, "runner": w.Runner} {
		fmt.Fprintf(&b, "COPY --from=%s . %s\n", name, dir)
	}
	fmt.Fprintf(&b, "WORKDIR %s\n", w.Src)
	gather := "mkdir -p /got/out && cp -a '" + w.Cache + "' /got/cache"
	for _, s := range a.Stages {
		if err := w.step(&b, w.fill(s.Command)); err != nil {
			return "", err
		}
		if s.Out != "" {
			gather += "; cp -RL '" + s.Out + "' /got/out/"
		}
	}
	if err := w.step(&b, gather+"; exit 0"); err != nil {
		return "", err
	}
	b.WriteString("FROM scratch\nCOPY --from=step /got /\n")
	return b.String(), nil
}

func (w *World) step(b *strings.Builder, command string) error {
	args, err := json.Marshal([]string{"/bin/sh", "-c", command})
	fmt.Fprintf(b, "RUN --mount=type=cache,id=%s,from=cache,target=%s %s\n", filepath.Base(w.Dir), w.Cache, args)
	return err
}

// makeImage writes an OCI image layout of one layer with the host's programs and
// returns the digest of its manifest (OCI image specification 1.1). Large parts
// that no case needs are left out.
func makeImage(ctx context.Context, dir string, toolchains []string) (string, error) {
	blobs := filepath.Join(dir, "blobs/sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return "", err
	}
	layer := filepath.Join(blobs, "layer")
	args := []string{"-C", "/", "--create", "--file", layer, "--one-file-system",
		"--exclude=*/share/doc", "--exclude=*/share/man", "--exclude=usr/share/locale", "--exclude=usr/lib/llvm-*", "--exclude=usr/lib/*-sdk",
		"usr", "etc", "bin", "sbin", "lib", "lib64"}
	for _, d := range toolchains {
		args = append(args, strings.TrimPrefix(d, "/"))
	}
	tar := exec.CommandContext(ctx, "tar", args...) //nolint:gosec // names of our own
	if out, err := tar.CombinedOutput(); err != nil {
		return "", fmt.Errorf("tar: %w: %s", err, out)
	}
	l, err := nameBlob(layer, "application/vnd.oci.image.layer.v1.tar")
	if err != nil {
		return "", err
	}
	config, err := jsonBlob(blobs, "application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{l.Digest}},
	})
	if err != nil {
		return "", err
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	m, err := jsonBlob(blobs, manifestType, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []blob{l}})
	if err != nil {
		return "", err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []blob{m}})
	if err != nil {
		return "", err
	}
	return m.Digest, errors.Join(writeFile(filepath.Join(dir, "index.json"), string(index)), writeFile(filepath.Join(dir, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`))
}

// blob is a descriptor of OCI.
type blob struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

func jsonBlob(dir, mediaType string, v any) (blob, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return blob{}, err
	}
	sum := sha256.Sum256(b)
	file := filepath.Join(dir, fmt.Sprintf("%x", sum))
	if err := os.WriteFile(file, b, 0o644); err != nil { //nolint:gosec // an image is no secret
		return blob{}, err
	}
	return blob{mediaType, fmt.Sprintf("sha256:%x", sum), int64(len(b))}, nil
}

// nameBlob renames a file to its digest.
func nameBlob(file, mediaType string) (blob, error) {
	f, err := os.Open(file)
	if err != nil {
		return blob{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return blob{}, err
	}
	sum := fmt.Sprintf("%x", h.Sum(nil))
	return blob{mediaType, "sha256:" + sum, n}, os.Rename(file, filepath.Join(filepath.Dir(file), sum))
}
