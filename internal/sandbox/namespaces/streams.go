package namespaces

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/internal/sandbox"
)

// streams are the payload's standard input, output and error: pipes, whatever
// the caller reads from or writes to, so that no terminal and no file of the
// caller's is inside.
type streams struct {
	inside  [3]*os.File
	stdin   *os.File // the controller's ends
	outputs []output
	source  io.Reader

	left atomic.Int64 // bytes that may still be written
	wait sync.WaitGroup
	mu   sync.Mutex
	err  error // the first one of a caller's writer
}

type output struct {
	from *os.File
	to   io.Writer
}

// newStreams makes the pipes. Their files belong to the zone's user, who may
// so open /dev/stdout again.
func newStreams(spec sandbox.Spec, limit int64, user zoneUser) (*streams, error) {
	s := &streams{source: spec.Stdin}
	s.left.Store(limit)
	err := s.open(spec)
	for _, f := range s.inside {
		if err == nil && os.Geteuid() == 0 {
			err = chownPipe(f, user)
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func chownPipe(f *os.File, user zoneUser) error {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return err
	}
	return f.Chown(user.uid, user.gid)
}

func (s *streams) open(spec sandbox.Spec) (err error) {
	if spec.Stdin != nil {
		s.inside[0], s.stdin, err = os.Pipe()
	} else {
		s.inside[0], err = os.Open(os.DevNull)
	}
	if err != nil {
		return err
	}
	if s.inside[1], err = s.output(spec.Stdout); err != nil {
		return err
	}
	if spec.Stdout != nil && same(spec.Stdout, spec.Stderr) {
		// One pipe: the order of what is written to either is kept.
		s.inside[2] = s.inside[1]
		return nil
	}
	s.inside[2], err = s.output(spec.Stderr)
	return err
}

// same compares two writers; those that cannot be compared differ.
func same(a, b io.Writer) bool {
	defer func() { _ = recover() }()
	return a == b
}

func (s *streams) output(to io.Writer) (*os.File, error) {
	if to == nil {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.outputs = append(s.outputs, output{r, to})
	return w, nil
}

func (s *streams) closeInside() { closeAll(s.inside[:]) }

// close ends what has not been started.
func (s *streams) close() {
	s.closeInside()
	closeAll([]*os.File{s.stdin})
	for _, o := range s.outputs {
		_ = o.from.Close() // nothing was read
	}
}

// copy starts to move bytes. exceeded is called once when more is written than
// the limit lets.
func (s *streams) copy(exceeded func()) {
	if s.stdin != nil {
		// Not waited for: a reader may block as long as it likes after the
		// zone has ended.
		go func() {
			_, _ = io.Copy(s.stdin, s.source) // a zone need not read its input
			_ = s.stdin.Close()
		}()
	}
	var once sync.Once
	for _, o := range s.outputs {
		s.wait.Go(func() { s.drain(o, func() { once.Do(exceeded) }) })
	}
}

// drain copies one stream to its end. It reads on after the limit and after an
// error of the writer, so that the zone is never held up by either.
func (s *streams) drain(o output, exceeded func()) {
	defer func() { _ = o.from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := o.from.Read(buf)
		left := s.left.Add(-int64(n))
		if left < 0 {
			n = max(0, n+int(left))
			exceeded()
		}
		if n > 0 && o.to != nil {
			if _, werr := o.to.Write(buf[:n]); werr != nil {
				s.fail(werr)
				o.to = nil
			}
		}
		if err != nil {
			return // the end: every writer is gone
		}
	}
}

func (s *streams) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

// end waits for the last byte, once the zone is gone.
func (s *streams) end() error {
	s.wait.Wait()
	if s.stdin != nil {
		_ = s.stdin.Close() // ends a copy that waits to write
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
