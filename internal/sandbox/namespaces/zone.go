package namespaces

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// zone is one zone's two processes, from the controller's side.
type zone struct {
	sandbox *Sandbox
	user    zoneUser
	image   bool // it is to show an image's programs, not the host's
	control conn // to PID 1
	payload conn // to the payload's process
	process *os.Process
	said    *os.File // what the init's runtime wrote, should it crash
	cgroup  *group
	missing []sandbox.Lack

	reap sync.Once
	used usage         // what it used, once gone
	gone chan struct{} // closed when no process of the zone is left
}

// prepareNext makes the next zone ready in the background.
func (s *Sandbox) prepareNext() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.prepared != nil {
		return
	}
	next := make(chan *zone, 1)
	s.prepared = next
	go func() {
		z, err := s.newZone(zoneUser{insideID, s.ids.uid, s.ids.gid}, false)
		if err != nil {
			z = nil // a start will meet the same error and tell it
		}
		next <- z
	}()
}

// take gives a zone for that user: the prepared one, where it fits and is
// alive, or a new one. The prepared one shows the host's programs.
func (s *Sandbox) take(user zoneUser, image bool) (*zone, error) {
	if !image && user == (zoneUser{insideID, s.ids.uid, s.ids.gid}) {
		s.mu.Lock()
		next := s.prepared
		s.prepared = nil
		s.mu.Unlock()
		if next != nil {
			if z := <-next; z != nil {
				return z, nil
			}
		}
	}
	return s.newZone(user, image)
}

// newZone makes a zone up to where the stage has to be known.
func (s *Sandbox) newZone(user zoneUser, image bool) (*zone, error) {
	z := &zone{sandbox: s, user: user, image: image, gone: make(chan struct{})}
	if err := z.spawn(); err != nil {
		if z.process != nil {
			z.discard()
			return nil, err
		}
		z.closeLines()
		z.cgroup.remove()
		return nil, fmt.Errorf("clone into new namespaces: %w", err)
	}
	if err := s.adopt(z); err != nil {
		z.discard()
		return nil, err
	}
	if err := z.prepare(); err != nil {
		z.discard()
		return nil, fmt.Errorf("prepare a zone: %w", z.explain(err))
	}
	return z, nil
}

// adopt makes Close know of the zone.
func (s *Sandbox) adopt(z *zone) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.zones[z] = struct{}{}
	return nil
}

// spawn clones the init. Its descriptors are: nothing to read, nothing to
// write, a memory file for what its runtime says, the two lines, and itself.
func (z *zone) spawn() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	files := []*os.File{null, null, nil, nil, nil, nil}
	defer func() { closeAll(files[3:5]); _ = null.Close() }()
	if z.said, err = memoryFile("said"); err != nil {
		return err
	}
	files[2], files[5] = z.said, z.sandbox.program
	if z.control, files[3], err = linePair(); err != nil {
		return err
	}
	if z.payload, files[4], err = linePair(); err != nil {
		return err
	}
	s := z.sandbox
	attributes := z.user.attributes(s.ids.root, s.options.WithoutUnsafe)
	if s.options.Container != nil {
		// A runtime wants to be root, as which it starts in the zone; the
		// payload's user is made in the container.
		attributes = zoneUser{0, z.user.uid, z.user.gid}.attributes(s.ids.root, s.options.WithoutUnsafe)
	}
	z.makeGroup()
	return s.spawner.do(func() error {
		leave, err := z.cgroup.enter(attributes)
		if err != nil {
			z.missing = append(z.missing, s.cgroups.lack(err))
		}
		z.process, err = os.StartProcess(descriptor+"5", []string{"init", "zone"}, &os.ProcAttr{
			Dir: "/", Env: []string{}, Files: files, Sys: attributes,
		})
		return errors.Join(err, leave())
	})
}

// makeGroup makes the zone's control group, or notes that there is none.
func (z *zone) makeGroup() {
	s := z.sandbox
	if containsString(s.options.WithoutUnsafe, wire.Cgroup) {
		return
	}
	var err error
	if z.cgroup, err = s.cgroups.create(); err != nil {
		z.missing = append(z.missing, s.cgroups.lack(err))
	}
}

func (z *zone) prepare() error {
	s := z.sandbox
	err := z.control.send(wire.KindPrepare, &wire.Prepare{
		UID: z.user.inside, KeepHost: !s.ids.root, Without: s.options.WithoutUnsafe, FailStep: s.options.FailStepUnsafe,
		Container: s.options.Container != nil, Image: z.image,
	})
	if err != nil {
		return err
	}
	_, err = z.control.receive(wire.KindReady, nil)
	return err
}

// kill ends every process of the zone: they die with PID 1.
func (z *zone) kill() {
	_ = z.process.Kill() // it may have ended by itself
}

// discard ends a zone that no payload ran in, and waits for that.
func (z *zone) discard() {
	z.kill()
	z.wait()
}

// wait returns when no process of the zone is left. The kernel lets PID 1 end
// only after all others of its namespace.
func (z *zone) wait() {
	z.reap.Do(func() {
		_, _ = z.process.Wait() // how PID 1 ended says nothing: it is killed at last
		z.closeLines()
		z.used = z.cgroup.usage()
		z.cgroup.remove()
		s := z.sandbox
		s.mu.Lock()
		delete(s.zones, z)
		s.mu.Unlock()
		close(z.gone)
	})
	<-z.gone
}

func (z *zone) closeLines() {
	for _, c := range []conn{z.control, z.payload} {
		if c.UnixConn != nil {
			_ = c.Close() // nothing is buffered
		}
	}
	if z.said != nil {
		_ = z.said.Close()
	}
}

// maxSaid bounds what is repeated of a crashed init.
const maxSaid = 2048

// explain says why a line ended: what PID 1 told on its own before it went, or
// what its runtime last said.
func (z *zone) explain(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	var told *setupError
	if _, last := z.control.receive(wire.KindEnded, nil); errors.As(last, &told) {
		return told
	}
	said := make([]byte, maxSaid)
	n, _ := z.said.ReadAt(said, 0)
	if n == 0 {
		return errors.New("the zone's init ended")
	}
	return fmt.Errorf("the zone's init ended: %q", said[:n])
}

// memoryFile is an empty file in memory.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil //nolint:gosec // a descriptor
}
