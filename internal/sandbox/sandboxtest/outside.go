package sandboxtest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newWorld puts everything on the host that the attempts look for.
func newWorld(t *testing.T) world {
	t.Helper()
	dir := t.TempDir()
	canary := "canary-" + rand.Text()
	w := world{
		HostFile: filepath.Join(dir, "host-file"), Canary: reversed(canary), StateDir: filepath.Join(dir, "state"),
		Socket: filepath.Join(dir, "s"), Abstract: "sandboxtest-" + rand.Text(), Scratch: filepath.Join(dir, "scratch"),
		Input: filepath.Join(dir, "input"), Resolvers: resolvers(),
	}
	for _, d := range []string{w.StateDir, w.Scratch, w.Input} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(w.HostFile, []byte(canary), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, n := range inputFiles() {
		if err := os.WriteFile(filepath.Join(w.Input, n), []byte("input"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// In the environment of this process, as a credential of the controller
	// would be; and in its memory, since here it is.
	t.Setenv("SANDBOXTEST_CREDENTIAL", canary)
	w.TCP, w.UDP = acceptAll(t), echoAll(t)
	serveUnix(t, w.Socket)
	serveUnix(t, "@"+w.Abstract)
	w.HostPID = bystander(t)
	if os.Getuid() == 0 {
		w.Setuid = setuidCopy(t, dir)
	}
	return w
}

// resolvers are the name servers of the host.
func resolvers() (all []string) {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "nameserver" {
			all = append(all, f[1])
		}
	}
	return all
}

func acceptAll(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(l, "host")
	return l.Addr().(*net.TCPAddr).Port
}

// serve says something to everybody who connects.
func serve(l net.Listener, text string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, text)
		c.Close()
	}
}

func echoAll(t *testing.T) int {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(buf[:n], from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).Port
}

func serveUnix(t *testing.T, name string) {
	t.Helper()
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if name[0] != '@' {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	go serve(l, "host")
}

// bystander is a process of the host that has nothing to do with any zone. Its
// environment holds the canary. The number is one that no zone reaches by
// itself.
func bystander(t *testing.T) int {
	t.Helper()
	passLowNumbers(t)
	cmd := again("wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return cmd.Process.Pid
}

// passLowNumbers uses up the process numbers that a zone, which counts from
// one, could have too. On a machine that has been up for a while there are none.
func passLowNumbers(t *testing.T) {
	t.Helper()
	const low = 5000
	for range low {
		pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		for e == 0 && pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		if e != 0 {
			t.Fatal(e)
		}
		if _, err := unix.Wait4(int(pid), nil, 0, nil); err != nil {
			t.Fatal(err)
		}
		if pid >= low {
			return
		}
	}
	t.Fatal("every process of this host has a low number")
}

// setuidCopy makes a set-user-id program of root's.
func setuidCopy(t *testing.T, dir string) string {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(dir, "setuid")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	return path
}

// verdicts reads what a driver printed.
func verdicts(t *testing.T, text string) map[string]verdict {
	t.Helper()
	all := make(map[string]verdict)
	d := json.NewDecoder(strings.NewReader(text))
	for {
		var v verdict
		if err := d.Decode(&v); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("unreadable verdicts: %v\n%s", err, text)
		}
		all[v.ID] = v
	}
}

// Control makes the attempts outside of any zone, where those that are harmless
// have to work: a suite that cannot fail shows nothing.
func Control(t *testing.T) {
	w := newWorld(t)
	ids := map[control][]string{}
	seen := make(map[string]bool)
	for _, tb := range tables() {
		for _, a := range tb.attempts {
			if seen[a.id] {
				t.Errorf("two attempts are called %s", a.id)
			}
			seen[a.id] = true
			ids[a.control] = append(ids[a.control], a.id)
		}
	}
	t.Run("plain", func(t *testing.T) { worked(t, w, ids[plain], nil) })
	t.Run("root", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("not run: needs root")
		}
		worked(t, w, ids[plainRoot], nil)
	})
	t.Run("loose", func(t *testing.T) {
		worked(t, w, ids[loose], &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
				unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		})
	})
	t.Run("peer", func(t *testing.T) { controlPeer(t) })
}

// worked runs attempts outside and checks that none was refused.
func worked(t *testing.T, w world, ids []string, attr *syscall.SysProcAttr) {
	t.Helper()
	cmd := again("drive", append([]string{encode(t, w)}, ids...)...)
	cmd.SysProcAttr = attr
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	got := verdicts(t, stdout.String())
	for _, id := range ids {
		if v, ran := got[id]; !ran {
			t.Errorf("%s did not run", id)
		} else if v.Refused || v.Note != itWorked {
			t.Errorf("%s is refused even outside of a zone (%s): the attempt shows nothing", id, v.Note)
		}
	}
}

// meeting is the argument list of a peer, and of who looks for it.
type meeting struct {
	port, socket, file, key, mark string
}

func newMeeting(t *testing.T, file string) meeting {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 3)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	number := 1 + int(key[0]) + int(key[1])<<8 + int(key[2])<<16
	return meeting{itoa(port), "sandboxtest-" + rand.Text(), file, itoa(number), "mark-" + rand.Text()}
}

func (m meeting) peer() []string { return []string{m.port, m.socket, m.file, m.key, m.mark} }

func (m meeting) meet() []string { return []string{m.port, m.socket, m.file, m.key, reversed(m.mark)} }

// controlPeer shows that two processes that are not apart do meet.
func controlPeer(t *testing.T) {
	m := newMeeting(t, filepath.Join(t.TempDir(), "peer"))
	cmd := again("peer", m.peer()...)
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
	defer cmd.Wait()
	defer in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the peer said %q: %v", line, err)
	}
	text, err := again("meet", m.meet()...).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := verdicts(t, string(text))
	for _, a := range meetings() {
		if v := got[a.id]; v.Note != itWorked {
			t.Errorf("%s is refused even outside of a zone: %q", a.id, v.Note)
		}
	}
}

// eventually waits for something that another process brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("it never came about that %s", what)
}

// alive tells whether a process of the host has the mark in its command line.
func alive(t *testing.T, mark string) bool {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(paths, func(p string) bool {
		b, err := os.ReadFile(p)
		return err == nil && bytes.Contains(b, []byte(mark))
	})
}
