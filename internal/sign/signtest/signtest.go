// Package signtest puts bundles before verifiers that are not ours: stock cosign
// and @sigstore/verify, without a network. It is for tests only.
package signtest

import (
	"bufio"
	"bytes"
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
	"testing"
)

// Case is a bundle with what a verifier is told to want of it. All but the
// strings are paths of files.
type Case struct {
	Bundle        string `json:"bundle"`
	Root          string `json:"root"` // trusted_root.json
	Artifact      string `json:"-"`
	SHA256        string `json:"sha256"` // of Artifact, in hexadecimal
	Identity      string `json:"identity"`
	Issuer        string `json:"issuer"`
	PredicateType string `json:"predicateType"`
}

// Cosign returns the path of cosign 3.1 or skips the test. It is looked for at
// $SALLYPORT_TEST_COSIGN and in tools/bin.
func Cosign(t testing.TB) string {
	t.Helper()
	path := os.Getenv("SALLYPORT_TEST_COSIGN")
	if path == "" {
		path = filepath.Join(repository(t), "tools", "bin", "cosign")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("not run: needs tools/bin/cosign; make tools")
	}
	return path
}

// RunCosign verifies a full bundle with cosign and no check turned off, in a
// network namespace of its own with an empty home.
func RunCosign(t testing.TB, cosign string, c Case) error {
	t.Helper()
	return offline(t, cosign, "verify-blob-attestation", "--bundle", c.Bundle,
		"--trusted-root", c.Root, "--use-signed-timestamps",
		"--certificate-identity", c.Identity, "--certificate-oidc-issuer", c.Issuer,
		"--type", c.PredicateType, c.Artifact)
}

// RunCosignKey verifies a plain bundle with cosign and the public key file.
func RunCosignKey(t testing.TB, cosign, key string, c Case) error {
	t.Helper()
	return offline(t, cosign, "verify-blob-attestation", "--bundle", c.Bundle,
		"--key", key, "--insecure-ignore-tlog", "--type", c.PredicateType, c.Artifact)
}

func offline(t testing.TB, name string, args ...string) error {
	t.Helper()
	cmd := isolated(t, name, args...)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v", name, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// isolated makes a command without a network, as root or in a user namespace.
func isolated(t testing.TB, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// JS is a running @sigstore/verify.
type JS struct {
	in  io.Writer
	out *bufio.Scanner
}

// StartJS starts test/sigstore-js, after `npm ci` when its packages are not
// there, or skips the test.
func StartJS(t testing.TB) *JS {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("not run: needs node")
	}
	dir := filepath.Join(repository(t), "test", "sigstore-js")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@sigstore", "verify")); err != nil {
		install(t, dir)
	}
	cmd := isolated(t, node, "verify.js")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	return &JS{in: in, out: bufio.NewScanner(out)}
}

func install(t testing.TB, dir string) {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("not run: needs npm")
	}
	cmd := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("not run: needs the packages of test/sigstore-js: %v: %s", err, out)
	}
}

// Verify returns the error with which @sigstore/verify refuses c, or nil.
func (j *JS) Verify(t testing.TB, c Case) error {
	t.Helper()
	req, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(j.in, "%s\n", req); err != nil {
		t.Fatal(err)
	}
	if !j.out.Scan() {
		t.Fatalf("no answer of verify.js: %v", j.out.Err())
	}
	var answer struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(j.out.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if !answer.OK {
		return errors.New(answer.Error)
	}
	return nil
}

// repository returns the top of the checkout that this file was built from.
func repository(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	root := strings.TrimSuffix(file, filepath.FromSlash("/internal/sign/signtest/signtest.go"))
	if !ok || root == file {
		t.Fatal("cannot tell where the repository is")
	}
	return root
}
