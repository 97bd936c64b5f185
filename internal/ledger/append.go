package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/sign/inclusion"
	"github.com/transparency-dev/tessera"
)

// item is one leaf on its way into the log; done is closed when it is there
// (durable, at index) or err says why not.
type item struct {
	leaf  []byte
	done  chan struct{}
	index uint64
	err   error
}

func (i *item) end(index uint64, err error) {
	i.index, i.err = index, err
	close(i.done)
}

func (i *item) wait(ctx context.Context) (uint64, error) {
	select {
	case <-i.done:
		return i.index, i.err
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the ledger: %w", ctx.Err())
	}
}

// Append writes an entry and returns its index when it is durable. Schema is
// filled in, and Time where it is zero.
func (l *Log) Append(ctx context.Context, e Entry) (uint64, error) {
	it, err := l.submit(e)
	if err != nil {
		return 0, err
	}
	return it.wait(ctx)
}

// AppendAsync starts to write an entry and returns at once; only an entry that
// the ledger does not take is reported here. Entries become durable in the
// order in which they were appended, together where they wait for the disk
// together. Flush before acting on one.
func (l *Log) AppendAsync(e Entry) error {
	it, err := l.submit(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.async = append(l.async, it)
	return nil
}

// Flush waits until every entry of AppendAsync is durable, and returns what
// went wrong with any of them.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	items := l.async
	l.async = nil
	l.mu.Unlock()
	var errs []error
	for _, it := range items {
		if _, err := it.wait(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Include appends records that are not entries (Rekor's hashedrekord, and
// certificates), signs one checkpoint that covers them all, and returns a proof for each, in order. It is what sign.Log asks for.
func (l *Log) Include(ctx context.Context, leaves [][]byte) ([]*inclusion.Proof, error) {
	for i, leaf := range leaves {
		r, err := ParseRecord(leaf)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		if r.Entry != nil {
			return nil, fmt.Errorf("record %d is an entry, which Append takes: %w", i, ErrEntry)
		}
	}
	items, err := l.enqueue(leaves...)
	if err != nil {
		return nil, err
	}
	var last uint64
	for _, it := range items {
		n, err := it.wait(ctx)
		if err != nil {
			return nil, err
		}
		last = max(last, n)
	}
	cp, err := l.guard.vouch(last + 1)
	if err != nil {
		return nil, err
	}
	return l.proveAll(cp, items)
}

func (l *Log) proveAll(cp inclusion.Checkpoint, items []*item) ([]*inclusion.Proof, error) {
	tree := l.tree(cp)
	out := make([]*inclusion.Proof, len(items))
	for i, it := range items {
		p, err := tree.prove(it.index, it.leaf)
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

func (l *Log) submit(e Entry) (*item, error) {
	e.Schema = Schema
	if e.Time.IsZero() {
		e.Time = l.clock()
	}
	leaf, err := e.Canonical()
	if err != nil {
		return nil, err
	}
	items, err := l.enqueue(leaf)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

func (l *Log) enqueue(leaves ...[]byte) ([]*item, error) {
	items := make([]*item, len(leaves))
	for i, leaf := range leaves {
		items[i] = &item{leaf: leaf, done: make(chan struct{})}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	l.waiting = append(l.waiting, items...)
	l.signal()
	return items, nil
}

// signal tells the writer that there is something to do.
func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write is the log's only writer in this process. While one batch waits for
// the disk the next one gathers.
func (l *Log) write() {
	defer close(l.done)
	for range l.wake {
		for {
			batch, closed := l.take()
			if len(batch) == 0 && closed {
				return
			}
			if len(batch) == 0 {
				break
			}
			l.commit(batch)
		}
	}
}

func (l *Log) take() (batch []*item, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), batchSize)
	batch, l.waiting = l.waiting[:n:n], l.waiting[n:]
	return batch, l.closed
}

// commit writes one batch. Whether the log has been put back to an older state
// is looked at under the lock, before anything is added to it.
func (l *Log) commit(batch []*item) {
	release, err := l.exclude()
	if err == nil {
		defer release()
		err = l.continues()
	}
	if err != nil {
		for _, it := range batch {
			it.end(0, err)
		}
		return
	}
	ctx := context.Background() // an entry that was handed in is written, whoever still waits
	futures := make([]tessera.IndexFuture, len(batch))
	for i, it := range batch {
		futures[i] = l.add(ctx, tessera.NewEntry(it.leaf))
	}
	for i, f := range futures {
		n, err := f()
		if err != nil {
			err = fmt.Errorf("append to ledger: %w", err)
		}
		batch[i].end(n.Index, err)
	}
}
