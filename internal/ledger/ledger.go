// Package ledger is the tamper-evident log: append, checkpoint, prove.
//
// It is a C2SP tlog-tiles log (transparency-dev/tessera, POSIX) in one
// directory. Each crossing of the boundary is one entry; so is each signature,
// in the form that Sigstore bundles point to. Entries carry digests, never
// secrets or personal data, and are at most 64 KiB.
//
// It promises that an append that has returned survives the loss of the
// process and of power, that several processes may append at once, and that
// this log never signs a history which is not a continuation of what it signed
// before: a store restored from an old backup would otherwise be signed as if it
// were new. For that the last signed checkpoint is kept apart from the log, in
// the directory of keys. It does not promise that an owner of both directories
// cannot rewrite both; who keeps a checkpoint elsewhere (each bundle holds one)
// finds that out with Verify.
//
// An entry is one JSON object in canonical form (RFC 8785):
//
//	{"data":"sha256:...","facts":{"rule":"SP3"},"identity":"spiffe://...",
//	 "run":"42","schema":"sallyport/ledger/v1","stage":"build",
//	 "subjects":["sha256:..."],"time":"2026-11-23T08:00:00Z","type":"denial"}
package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/sallyport/sallyport/internal/sign/keyfile"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"k8s.io/klog/v2"
)

var (
	// ErrForked reports that the log on disk is not a continuation of what was
	// signed before: it is shorter, or another history.
	ErrForked = errors.New("ledger is not a continuation of what it signed before")
	// ErrDamaged reports bytes on disk that do not match the signed checkpoint.
	ErrDamaged = errors.New("ledger does not match its checkpoint")
	// ErrClosed reports a use after Close.
	ErrClosed = errors.New("ledger is closed")
)

const (
	minInterval = 100 * time.Millisecond // shortest time between checkpoints that tessera accepts
	maxInterval = time.Minute
	batchAge    = time.Millisecond // batches are formed here, tessera need not wait for more
	batchSize   = 256
	gcInterval  = 10 * time.Second
	stopTimeout = 2 * time.Second
)

// Options says where the log's key is and how the log behaves.
type Options struct {
	Keys     string           // directory of the log's key and the last signed checkpoint
	Domain   string           // trust domain, for the origin of a new log; default sallyport.local
	Interval time.Duration    // between checkpoints that nobody waits for; default 500 ms, from 100 ms to a minute
	Clock    func() time.Time // default time.Now
}

func (o *Options) defaults() {
	if o.Domain == "" {
		o.Domain = "sallyport.local"
	}
	if o.Interval == 0 {
		o.Interval = 5 * minInterval
	}
	o.Interval = min(max(o.Interval, minInterval), maxInterval)
	if o.Clock == nil {
		o.Clock = time.Now
	}
}

// Log appends to a ledger and reads it. It is safe for concurrent use.
type Log struct {
	*Reader
	clock func() time.Time
	guard *guard // the key; signs only what continues the log
	lock  string // file whose flock(2) orders appends of all processes
	add   tessera.AddFn
	stop  func(orderly bool)
	done  chan struct{} // closed when the writer has ended
	wake  chan struct{}

	mu      sync.Mutex
	closed  bool
	waiting []*item // not yet handed to the writer
	async   []*item // appended with AppendAsync since the last Flush
}

// Open opens the log in dir, makes it on first use, and refuses with ErrForked
// one that does not continue what its key has signed before. Close it.
func Open(dir string, o Options) (*Log, error) {
	o.defaults()
	quietTessera()
	keys, err := keyfile.Open(o.Keys)
	if err != nil {
		return nil, err
	}
	signer, vkey, err := noteKey(keys, o.Domain)
	if err != nil {
		return nil, err
	}
	r, err := newReader(dir, vkey, keys)
	if err != nil {
		return nil, err
	}
	if err := r.sound(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	l := &Log{
		Reader: r, clock: o.Clock,
		guard: &guard{Signer: signer, r: r, keys: keys},
		lock:  filepath.Join(dir, "append.lock"),
		wake:  make(chan struct{}, 1), done: make(chan struct{}),
	}
	if err := l.start(dir, o); err != nil {
		return nil, err
	}
	go l.write()
	return l, nil
}

// start opens tessera's appender. Making a new log writes several files, so it
// is done under the lock that orders appends.
func (l *Log) start(dir string, o Options) error {
	release, err := l.exclude()
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancel(context.Background())
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		cancel()
		return fmt.Errorf("open ledger %s: %w", dir, err)
	}
	a, shutdown, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(l.guard).
		WithCheckpointInterval(o.Interval).
		WithBatching(batchSize, batchAge).
		WithGarbageCollectionInterval(gcInterval).
		WithShutdownTimeout(stopTimeout))
	if err != nil {
		cancel()
		return fmt.Errorf("open ledger %s: %w", dir, err)
	}
	l.add = a.Add
	l.stop = func(orderly bool) {
		if orderly {
			_ = shutdown(ctx) // waits for the published checkpoint, which settle has written
		}
		cancel()
	}
	return nil
}

// Close writes what was appended, signs a checkpoint that covers it, and ends
// the background work. A second Close does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.signal()
	<-l.done
	err := l.settle()
	l.stop(err == nil)
	return err
}

// settle puts everything on disk under a signed checkpoint.
func (l *Log) settle() error {
	n, _, err := l.integrated()
	if err != nil {
		return err
	}
	if _, err := l.guard.vouch(n); err != nil {
		return err
	}
	return l.continues()
}

// exclude takes the lock that orders appends. It is a flock(2) lock of its own:
// tessera's fcntl locks do not exclude two logs opened in one process.
func (l *Log) exclude() (release func(), err error) {
	f, err := os.OpenFile(l.lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger lock: %w", err)
	}
	if err := keyfile.Flock(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// quietTessera stops tessera's log lines, which klog writes to stderr. What
// matters of them comes back as an error of Append, Include or Close. klog's
// logger is global and must be set before its first use, hence once.
var quietTessera = sync.OnceFunc(func() { klog.SetLogger(logr.Discard()) })
