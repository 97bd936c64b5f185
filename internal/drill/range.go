package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// CanHaveRange says whether this process may make a network namespace without
// changing who it is. An ordinary user cannot: the drill then uses the host's
// loopback, and a stand-in for the metadata address.
func CanHaveRange() bool { return os.Geteuid() == 0 }

// Range runs this program again in a network namespace of its own and returns
// its exit code.
func Range(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// EnterRange brings up the loopback of a new network namespace, with the
// metadata address on it (netdevice(7)).
func EnterRange() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := raise(fd); err != nil {
		return fmt.Errorf("bring up the loopback: %w", err)
	}
	host, _, err := net.SplitHostPort(metadataAddress)
	if err != nil {
		return err
	}
	if err := address(fd, "lo:0", host); err != nil {
		return fmt.Errorf("add %s to the loopback: %w", host, err)
	}
	return nil
}

func raise(fd int) error {
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

func address(fd int, name, ip string) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := req.SetInet4Addr(net.ParseIP(ip).To4()); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, req)
}
