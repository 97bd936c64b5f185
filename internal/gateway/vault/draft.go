package vault

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// Draft is bytes on their way in. Nothing can read them before Commit.
type Draft struct {
	v    *Vault
	f    *os.File
	sums []hash.Hash // the SHA-256 first, then what the caller asked for
	n    int64
	done bool
}

// Begin opens a draft. The hashes in also are fed with the same bytes.
func (v *Vault) Begin(also ...hash.Hash) (*Draft, error) {
	f, err := os.CreateTemp(filepath.Join(v.dir, "tmp"), "draft-")
	if err != nil {
		return nil, fault.Wrap(fault.Store, "begin a draft in the gateway's store", err)
	}
	return &Draft{v: v, f: f, sums: append([]hash.Hash{sha256.New()}, also...)}, nil
}

// Write adds bytes.
func (d *Draft) Write(p []byte) (int, error) {
	n, err := d.f.Write(p)
	for _, h := range d.sums {
		h.Write(p[:n])
	}
	d.n += int64(n)
	if err != nil {
		return n, fault.Wrap(fault.Store, "write to the gateway's store", err)
	}
	return n, nil
}

// Reset throws the bytes away, for a download that starts over.
func (d *Draft) Reset() error {
	if _, err := d.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for _, h := range d.sums {
		h.Reset()
	}
	d.n = 0
	return d.f.Truncate(0)
}

// Size is the count of bytes so far.
func (d *Draft) Size() int64 { return d.n }

// Name is the draft's path, for readers that need a file.
func (d *Draft) Name() string { return d.f.Name() }

// Digest is the SHA-256 so far.
func (d *Draft) Digest() digest.Digest { return digest.Digest(d.sums[0].Sum(nil)) }

// Commit makes the bytes an entry. The caller has verified them. There is no
// fsync: a file that a crash cut short does not have its digest, which the next
// open finds out.
func (d *Draft) Commit(e Entry) (Entry, error) {
	defer d.Abort()
	e.Digest, e.Size = d.Digest(), d.n
	blob := d.v.blob(e.Digest)
	if err := os.MkdirAll(filepath.Dir(blob), 0o700); err != nil {
		return Entry{}, fault.Wrap(fault.Store, "keep verified bytes", err)
	}
	if err := d.f.Chmod(0o400); err != nil {
		return Entry{}, fault.Wrap(fault.Store, "keep verified bytes", err)
	}
	if err := os.Rename(d.f.Name(), blob); err != nil {
		return Entry{}, fault.Wrap(fault.Store, "keep verified bytes", err)
	}
	if now, err := stat(d.f); err == nil { // just hashed while it was written
		d.v.mu.Lock()
		d.v.seen[e.Digest.Hex()+e.Key] = now
		d.v.mu.Unlock()
	}
	return e, d.v.Note(e)
}

// Abort ends the draft. After Commit it does nothing to the bytes.
func (d *Draft) Abort() {
	if d.done {
		return
	}
	d.done = true
	_ = os.Remove(d.f.Name()) // gone already after Commit
	_ = d.f.Close()
}

// Note writes an index entry for bytes that are in the vault already.
func (v *Vault) Note(e Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fault.Wrap(fault.Store, "write the gateway's index", err)
	}
	if len(b) > maxIndex {
		return fault.New(fault.Limit, fmt.Sprintf("index entry of %d bytes", len(b)))
	}
	return v.WriteFile(v.index(e.Key), b)
}

// WriteFile replaces a file of the vault's directory in one step.
func (v *Vault) WriteFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Join(v.dir, "tmp"), "write-")
	if err != nil {
		return fault.Wrap(fault.Store, "write to the gateway's store", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fault.Wrap(fault.Store, "write to the gateway's store", err)
	}
	return nil
}
