package ledger

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/sign/inclusion"
	"github.com/sallyport/sallyport/internal/sign/keyfile"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	maxBundle  = tileWidth * (2 + inclusion.MaxLeaf)
)

// Reader reads a ledger: this machine's, or a copy of somebody else's. All that
// it returns has been checked against a signed checkpoint, with
// golang.org/x/mod/sumdb and not with the code that wrote the log.
type Reader struct {
	dir  string
	vkey string
	v    note.Verifier
	keys *keyfile.Dir // nil for a copy: no last seen checkpoint then

	mu   sync.Mutex
	last map[string]inclusion.Checkpoint // notes whose signature has been checked
}

// ReadOnly opens the log in dir with the key that Open has left in the
// directory of keys, and adds nothing to either.
func ReadOnly(dir, keyDir string) (*Reader, error) {
	if _, err := os.Stat(keyDir); err != nil {
		return nil, fmt.Errorf("ledger keys: %w", err)
	}
	keys, err := keyfile.Open(keyDir)
	if err != nil {
		return nil, err
	}
	vkey, err := keys.Read(pubName)
	if err != nil {
		return nil, err
	}
	return newReader(dir, string(vkey), keys)
}

// ReadCopy opens a copy of a log, which is believed only as far as its public
// key ("origin+hash+base64") vouches for it.
func ReadCopy(dir, vkey string) (*Reader, error) { return newReader(dir, vkey, nil) }

func newReader(dir, vkey string, keys *keyfile.Dir) (*Reader, error) {
	v, err := inclusion.Verifier(vkey)
	if err != nil {
		return nil, err
	}
	return &Reader{dir: dir, vkey: strings.TrimSpace(vkey), v: v, keys: keys, last: map[string]inclusion.Checkpoint{}}, nil
}

// Origin is the log's name, a host name of its own.
func (r *Reader) Origin() string { return r.v.Name() }

// VerifierKey is the public key that checkpoints are signed with, as a signed
// note's verifier key. It is what a stranger needs to check a proof.
func (r *Reader) VerifierKey() string { return r.vkey }

// Checkpoint returns the latest signed checkpoint. Keep it: Verify tells
// whether the log still continues it.
func (r *Reader) Checkpoint() (inclusion.Checkpoint, error) { return r.current() }

// current is the larger of what is published and what was last signed. After a
// crash between the two the signed one is as good: the tree supports it.
func (r *Reader) current() (inclusion.Checkpoint, error) {
	cp, _, err := r.latest()
	return cp, err
}

// latest returns the current checkpoint and the last one that was signed. It
// reads the latter first: other processes may sign meanwhile, and the current
// one must not be the older of the two.
func (r *Reader) latest() (current, seen inclusion.Checkpoint, err error) {
	if seen, err = r.lastSeen(); err != nil {
		return current, seen, err
	}
	b, err := readBounded(filepath.Join(r.dir, "checkpoint"), 16<<10)
	switch {
	case errors.Is(err, fs.ErrNotExist) && seen.Size == 0:
		return seen, seen, nil
	case errors.Is(err, fs.ErrNotExist):
		return current, seen, fmt.Errorf("no checkpoint where %d records were signed: %w", seen.Size, ErrForked)
	case err != nil:
		return current, seen, fmt.Errorf("read checkpoint: %w", err)
	}
	if current, err = r.open(b); err != nil {
		return current, seen, err
	}
	if current.Size < seen.Size {
		current = seen
	}
	return current, seen, nil
}

// open checks a checkpoint's signature, once for each text.
func (r *Reader) open(b []byte) (inclusion.Checkpoint, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.last[string(b)]; ok {
		return c, nil
	}
	c, err := inclusion.ParseCheckpoint(b, r.v)
	if err != nil {
		return inclusion.Checkpoint{}, fmt.Errorf("ledger %s: %w", r.dir, err)
	}
	if len(r.last) > 4 {
		clear(r.last)
	}
	r.last[string(b)] = c
	return c, nil
}

// continues tells whether the log on disk may be added to: it holds at least
// what was signed. That it is the same history is checked before the next
// signature, when the new root is known.
func (r *Reader) continues() error {
	seen, err := r.lastSeen()
	if err != nil || seen.Size == 0 {
		return err
	}
	n, _, err := r.integrated()
	if err != nil {
		return err
	}
	if n < seen.Size {
		return fmt.Errorf("ledger %s holds %d records, %d were signed: %w", r.dir, n, seen.Size, ErrForked)
	}
	return nil
}

// integrated returns the count of records on disk, signed or not, and their
// root, which is tessera's word only; 0 for no log.
func (r *Reader) integrated() (uint64, tlog.Hash, error) {
	b, err := readBounded(filepath.Join(r.dir, ".state", "treeState"), 4<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, tlog.Hash{}, nil
	}
	if err != nil {
		return 0, tlog.Hash{}, fmt.Errorf("read ledger state: %w", err)
	}
	var state struct {
		Size uint64    `json:"size"`
		Root tlog.Hash `json:"root"`
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return 0, tlog.Hash{}, fmt.Errorf("read ledger state: %w", err)
	}
	return state.Size, state.Root, nil
}

// sound tells whether a log may be opened for writing: it has a checkpoint of
// its key, and continues the last one that was signed.
func (r *Reader) sound() error {
	if err := r.continues(); err != nil {
		return err
	}
	current, seen, err := r.latest()
	if err != nil {
		return err
	}
	return r.tree(current).contains(seen)
}

// mayFollow tells whether next continues the last checkpoint that was signed.
func (r *Reader) mayFollow(next inclusion.Checkpoint) error {
	seen, err := r.lastSeen()
	if err != nil {
		return err
	}
	if next.Size < seen.Size {
		if err := r.continues(); err != nil {
			return err
		}
		return errStale
	}
	return r.tree(next).contains(seen)
}

// Filter chooses records. The zero value chooses all.
type Filter struct {
	Run   string   // entries of this run
	Stage string   // entries of this stage
	Kinds []string // types of entries, or kinds of foreign records
}

func (f Filter) match(rec Record) bool {
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, rec.Kind) {
		return false
	}
	if f.Run == "" && f.Stage == "" {
		return true
	}
	return rec.Entry != nil &&
		(f.Run == "" || rec.Entry.Run == f.Run) &&
		(f.Stage == "" || rec.Entry.Stage == f.Stage)
}

// Entries yields the records under the latest checkpoint, oldest first, each
// checked against it. It ends with the first error.
func (r *Reader) Entries(ctx context.Context, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		cp, err := r.current()
		if err != nil {
			yield(Record{}, err)
			return
		}
		for rec, err := range r.tree(cp).records(ctx) {
			if err != nil {
				yield(Record{}, err)
				return
			}
			if f.match(rec) && !yield(rec, nil) {
				return
			}
		}
	}
}

// Prove returns the proof that the record number index stands in the log.
func (r *Reader) Prove(ctx context.Context, index uint64) (*inclusion.Proof, error) {
	cp, err := r.current()
	if err != nil {
		return nil, err
	}
	if index >= cp.Size {
		return nil, fmt.Errorf("the ledger has %d records, none with number %d", cp.Size, index)
	}
	t := r.tree(cp)
	leaves, err := t.bundle(ctx, index/tileWidth)
	if err != nil {
		return nil, err
	}
	return t.prove(index, leaves[index%tileWidth])
}

// tree reads the log as one checkpoint describes it.
type tree struct {
	r  *Reader
	cp inclusion.Checkpoint
	h  tlog.HashReader // gives only hashes that lead to cp's root
}

func (r *Reader) tree(cp inclusion.Checkpoint) tree {
	return tree{r: r, cp: cp, h: tlog.TileHashReader(tlog.Tree{N: int64(cp.Size), Hash: cp.Root}, tiles{r.dir})}
}

// contains tells whether the tree begins with all that old describes.
func (t tree) contains(old inclusion.Checkpoint) error {
	if old.Size == 0 {
		return nil
	}
	if t.cp.Size < old.Size {
		return fmt.Errorf("%d records where %d were signed: %w", t.cp.Size, old.Size, ErrForked)
	}
	h, err := tlog.TreeHash(int64(old.Size), t.h)
	if err != nil {
		return fmt.Errorf("compare with the checkpoint of %d records: %w: %w", old.Size, ErrForked, err)
	}
	if h != old.Root {
		return fmt.Errorf("the first %d records are not those that were signed: %w", old.Size, ErrForked)
	}
	return nil
}

func (t tree) prove(index uint64, leaf []byte) (*inclusion.Proof, error) {
	hashes, err := tlog.ProveRecord(int64(t.cp.Size), int64(index), t.h)
	if err != nil {
		return nil, fmt.Errorf("prove record %d: %w: %w", index, ErrDamaged, err)
	}
	p := &inclusion.Proof{
		Schema: inclusion.Schema, Index: index, Leaf: leaf,
		Hashes: hashes, Checkpoint: t.cp.Note,
	}
	if _, err := p.Check(t.r.v); err != nil {
		return nil, fmt.Errorf("prove record %d: %w: %w", index, ErrDamaged, err)
	}
	return p, nil
}

// records yields every record of the tree.
func (t tree) records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for n := uint64(0); n*tileWidth < t.cp.Size; n++ {
			leaves, err := t.bundle(ctx, n)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for i, leaf := range leaves {
				rec, err := ParseRecord(leaf)
				if err != nil {
					yield(Record{}, fmt.Errorf("record %d: %w", n*tileWidth+uint64(i), err))
					return
				}
				rec.Index = n*tileWidth + uint64(i)
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

// bundle returns the records of one entry bundle, each hashed and compared with
// the tree.
func (t tree) bundle(ctx context.Context, n uint64) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	count := min(t.cp.Size-n*tileWidth, tileWidth)
	b, err := readTile(t.r.dir, tlog.Tile{H: tileHeight, L: -1, N: int64(n), W: int(count)}, maxBundle)
	if err != nil {
		return nil, fmt.Errorf("read bundle %d: %w: %w", n, ErrDamaged, err)
	}
	leaves, err := splitBundle(b, int(count))
	if err != nil {
		return nil, fmt.Errorf("read bundle %d: %w", n, err)
	}
	indexes := make([]int64, count)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(n*tileWidth)+int64(i))
	}
	hashes, err := t.h.ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("read hashes of bundle %d: %w: %w", n, ErrDamaged, err)
	}
	for i, leaf := range leaves {
		if tlog.RecordHash(leaf) != hashes[i] {
			return nil, fmt.Errorf("record %d has been changed: %w", n*tileWidth+uint64(i), ErrDamaged)
		}
	}
	return leaves, nil
}

// splitBundle cuts the first count records out of an entry bundle: each has a
// length of two bytes, big-endian, before it.
func splitBundle(b []byte, count int) ([][]byte, error) {
	out := make([][]byte, 0, count)
	for range count {
		if len(b) < 2 {
			return nil, fmt.Errorf("%d of %d records: %w", len(out), count, ErrDamaged)
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return nil, fmt.Errorf("%d of %d records: %w", len(out), count, ErrDamaged)
		}
		out = append(out, b[2:2+n:2+n])
		b = b[2+n:]
	}
	return out, nil
}

// tiles reads hash tiles from a directory (C2SP tlog-tiles paths).
type tiles struct{ dir string }

// Height implements tlog.TileReader.
func (tiles) Height() int { return tileHeight }

// SaveTiles implements tlog.TileReader; there is no cache to fill.
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles implements tlog.TileReader.
func (d tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, t := range want {
		b, err := readTile(d.dir, t, tileWidth*tlog.HashSize)
		if err != nil {
			return nil, err
		}
		if len(b) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("tile %s is cut off", t.Path())
		}
		out[i] = b[:t.W*tlog.HashSize]
	}
	return out, nil
}

// readTile reads a tile or entry bundle of at least t.W items. Once a tile is
// full its partial forms may be gone.
func readTile(dir string, t tlog.Tile, limit int64) ([]byte, error) {
	b, err := readBounded(filepath.Join(dir, tilePath(t)), limit)
	if errors.Is(err, fs.ErrNotExist) && t.W < tileWidth {
		t.W = tileWidth
		return readBounded(filepath.Join(dir, tilePath(t)), limit)
	}
	return b, err
}

// tilePath is a tile's path by C2SP tlog-tiles, which leaves the height out and
// calls data entries.
func tilePath(t tlog.Tile) string {
	p := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", t.H))
	return "tile/" + strings.Replace(p, "data/", "entries/", 1)
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, nil
}
