// Package vault keeps the bytes that the gateway verified.
//
// A blob is a file named by its SHA-256; an index entry says which coordinate,
// with which promised checksum, has which blob. Bytes get here only after the
// promised checksum held. They are hashed again when they are first opened in a
// process, and again whenever the file's inode, size or times have changed
// since; a blob that no longer has its digest is moved to quarantine, never
// given out.
//
//	blobs/ab/abcdef...    immutable bytes
//	index/<sha256 of key>.json
//	quarantine/           what failed, for a person to look at
//	tmp/                  drafts; leftovers of a crash are harmless and swept
//
// The vault does not promise to survive another process of the same user that
// rewrites blob and index together: the directory is the controller's own, mode
// 0700. Callers pass the promised checksum again on read where it is cheap.
package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// Entry is what the index knows about one coordinate.
type Entry struct {
	Key       string        `json:"key"` // coordinate and promised checksum
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	Sum       string        `json:"sum"`                 // checksum in the ecosystem's own form
	URI       string        `json:"uri"`                 // where it came from, without credentials
	FirstSeen time.Time     `json:"first_seen,omitzero"` // our own clock
	Proof     string        `json:"proof,omitempty"`     // what else vouched for it: the checksum database's name
}

// Vault is one directory. It is safe for concurrent use, by processes too.
type Vault struct {
	dir string

	mu    sync.Mutex
	seen  map[string]stamp // by key and digest: verified in this process
	known map[string]Entry // by key: index entries that were read
}

// stamp is what a change of a file cannot keep: changing bytes changes ctime.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

// maxIndex bounds one index entry.
const maxIndex = 16 << 10

// Open makes the directory where it is missing and sweeps old drafts.
func Open(dir string) (*Vault, error) {
	for _, d := range []string{"", "blobs", "index", "quarantine", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fault.Wrap(fault.Store, "open the gateway's store", err)
		}
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fault.Wrap(fault.Store, "open the gateway's store", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fault.New(fault.Store, "others can write to the gateway's store "+dir).Mend("chmod 700 " + dir)
	}
	v := &Vault{dir: dir, seen: map[string]stamp{}, known: map[string]Entry{}}
	v.sweep()
	return v, nil
}

// sweep removes drafts that no live process can own any more.
func (v *Vault) sweep() {
	tmp := filepath.Join(v.dir, "tmp")
	list, err := os.ReadDir(tmp)
	if err != nil {
		return
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(filepath.Join(tmp, e.Name())) // a leftover only costs room
		}
	}
}

func (v *Vault) blob(d digest.Digest) string {
	h := d.Hex()
	return filepath.Join(v.dir, "blobs", h[:2], h)
}

func (v *Vault) index(key string) string {
	return filepath.Join(v.dir, "index", digest.OfString(key).Hex()+".json")
}

// Find returns the entry of a key. An entry that cannot be read is no entry.
func (v *Vault) Find(key string) (Entry, bool) {
	v.mu.Lock()
	e, ok := v.known[key]
	v.mu.Unlock()
	if ok {
		return e, true
	}
	e, ok = v.read(key)
	if ok {
		v.mu.Lock()
		v.known[key] = e
		v.mu.Unlock()
	}
	return e, ok
}

func (v *Vault) read(key string) (Entry, bool) {
	f, err := os.Open(v.index(key))
	if err != nil {
		return Entry{}, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIndex))
	if err != nil {
		return Entry{}, false
	}
	var e Entry
	if json.Unmarshal(b, &e) != nil || e.Key != key || e.Digest.IsZero() {
		return Entry{}, false
	}
	return e, true
}

// Open gives the bytes of an entry, verified. The check, where not nil, is done
// together with the first hashing: it looks at the file from its start. An
// error that is fault.Tampered means that the bytes are in quarantine now and
// can be fetched anew.
func (v *Vault) Open(e Entry, check func(*os.File) error) (*os.File, error) {
	f, err := os.OpenFile(v.blob(e.Digest), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		v.forget(e)
		return nil, fault.Wrap(fault.Tampered, "stored bytes of "+e.Key+" are gone", err)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Store, "open stored bytes", err)
	}
	if err := v.verify(f, e, check); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (v *Vault) verify(f *os.File, e Entry, check func(*os.File) error) error {
	now, err := stat(f)
	if err != nil {
		return fault.Wrap(fault.Store, "stat stored bytes", err)
	}
	mark := e.Digest.Hex() + e.Key
	v.mu.Lock()
	known, ok := v.seen[mark]
	v.mu.Unlock()
	if ok && known == now {
		return nil
	}
	if err := rehash(f, e, check); err != nil {
		v.quarantine(e)
		return fault.Wrap(fault.Tampered, "stored bytes of "+e.Key+" have changed", err)
	}
	// Taken before and compared after: a write during the hashing is seen.
	if after, err := stat(f); err != nil || after != now {
		return fault.New(fault.Store, "stored bytes of "+e.Key+" change while they are read")
	}
	v.mu.Lock()
	v.seen[mark] = now
	v.mu.Unlock()
	return nil
}

func rehash(f *os.File, e Entry, check func(*os.File) error) error {
	d, n, err := digest.FromReader(f)
	if err != nil {
		return err
	}
	if d != e.Digest || n != e.Size {
		return fmt.Errorf("wanted %s, got %s", e.Digest, d)
	}
	if check != nil {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := check(f); err != nil {
			return err
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

func stat(f *os.File) (stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return stamp{}, errors.New("not a regular file")
	}
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}, nil
}

func (v *Vault) quarantine(e Entry) {
	// Only best effort: the entry is forgotten either way, so the bytes are
	// not given out again.
	_ = os.Rename(v.blob(e.Digest), filepath.Join(v.dir, "quarantine", fmt.Sprintf("%s-%d", e.Digest.Hex(), time.Now().UnixNano())))
	v.forget(e)
}

func (v *Vault) forget(e Entry) {
	_ = os.Remove(v.index(e.Key))
	v.mu.Lock()
	delete(v.seen, e.Digest.Hex()+e.Key)
	delete(v.known, e.Key)
	v.mu.Unlock()
}

// Quarantined counts the files that were put aside.
func (v *Vault) Quarantined() int {
	list, err := os.ReadDir(filepath.Join(v.dir, "quarantine"))
	if err != nil {
		return 0
	}
	return len(list)
}
