package namespaces

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// farEnd makes a conn of the end that a zone's process has.
func farEnd(t *testing.T, f *os.File) conn {
	t.Helper()
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return conn{c.(*net.UnixConn)}
}

// The payload's process of a container is told nothing, and so probes nothing,
// before the container's init has closed /proc: on a busy machine it would be
// the faster one.
func TestContainerIsLockedBeforeItIsProbed(t *testing.T) {
	control, zoneEnd, err1 := linePair()
	payload, payloadEnd, err2 := linePair()
	io, err3 := newStreams(script("exit 0"), 1, zoneUser{insideID, os.Getuid(), os.Getgid()})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	pid1, child := farEnd(t, zoneEnd), farEnd(t, payloadEnd)
	r := &process{zone: &zone{sandbox: &Sandbox{options: Options{Container: &Container{}}}, control: control, payload: payload}, streams: io}
	made := make(chan error, 1)
	go func() { made <- r.make(&plan{spec: script("exit 0")}, sandbox.Level{}) }()

	var setup wire.Setup
	streams, err := pid1.receive(wire.KindSetup, &setup)
	closeAll(streams)
	if err == nil {
		err = pid1.send(wire.KindMade, &wire.Made{})
	}
	if err == nil {
		_, err = pid1.receive(wire.KindEnter, &wire.Enter{})
	}
	if err != nil {
		t.Fatal(err)
	}
	var early [1]byte
	if err := child.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := child.Read(early[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the payload's process was told its part before the container was locked: %v", err)
	}
	if err := pid1.send(wire.KindLocked, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := child.receive(wire.KindLaunch, &wire.Launch{}); err != nil {
		t.Errorf("then it is told: %v", err)
	}
	_ = child.Close()
	if err := <-made; err == nil || !strings.Contains(err.Error(), "probe the zone") {
		t.Errorf("a zone that ends unprobed: %v", err)
	}
}
