package golang

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
)

// database is the checksum database as the gateway sees it: every record is
// proven to be in the signed tree, and every tree head to extend the one before,
// which is kept in the gateway's directory for all runs.
type database struct {
	conf    *SumConfig
	client  *upstream.Client
	proxies []Proxy
	dir     string
	ctx     context.Context // ends with the gateway: records are shared by sessions

	siteMu sync.Mutex
	found  upstream.Site

	mu     sync.Mutex
	sums   *sumdb.Client
	cause  error // of the last failed remote read
	forged string
}

func newDatabase(ctx context.Context, conf Config, client *upstream.Client, dir string) (*database, error) {
	if conf.SumDB == nil {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(fault.Store, "open the checksum database's cache", err)
	}
	return &database{conf: conf.SumDB, client: client, proxies: conf.Proxies, dir: dir, ctx: ctx}, nil
}

// Lookup returns the proven checksums of a module and of its go.mod. Either is
// empty where the record has no such line.
func (d *database) Lookup(v module.Version) (zip, mod string, err error) {
	c := d.current()
	lines, err := c.Lookup(v.Path, v.Version)
	if err != nil {
		return "", "", d.explain(c, v, err)
	}
	modLines, err := c.Lookup(v.Path, v.Version+"/go.mod")
	if err != nil {
		return "", "", d.explain(c, v, err)
	}
	return lastField(lines), lastField(modLines), nil
}

func lastField(lines []string) string {
	for _, l := range lines {
		if f := strings.Fields(l); len(f) == 3 && checkH1(f[2]) == nil {
			return f[2]
		}
	}
	return ""
}

func (d *database) current() *sumdb.Client {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sums == nil {
		d.sums = sumdb.NewClient(&ops{d})
	}
	return d.sums
}

// explain finds the typed cause that sumdb.Client flattened into text. The
// client remembers failures for ever, so it is replaced.
func (d *database) explain(failed *sumdb.Client, v module.Version, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sums == failed {
		d.sums = nil
	}
	if d.forged != "" {
		return fault.New(fault.Checksum, "checksum database "+d.conf.Name+" contradicts itself: "+d.forged)
	}
	cause := d.cause
	if cause == nil {
		return fault.Wrap(fault.Checksum, "checksum database "+d.conf.Name+" on "+v.String(), err)
	}
	if code, ok := fault.CodeOf(cause); ok {
		return fault.Wrap(code, "checksum database "+d.conf.Name+" on "+v.String(), cause)
	}
	return fault.Wrap(fault.UpstreamDown, "checksum database "+d.conf.Name+" on "+v.String(), cause)
}

// site finds out once who passes the database on: the address in GOSUMDB, the
// first proxy that says it does, or the database itself.
func (d *database) site() (upstream.Site, error) {
	d.siteMu.Lock()
	defer d.siteMu.Unlock()
	if !d.found.IsZero() {
		return d.found, nil
	}
	if d.conf.URL.IsZero() {
		for _, p := range d.proxies {
			s := p.Site.Sub("sumdb/" + d.conf.Name)
			_, err := d.client.Read(d.ctx, upstream.Request{Site: s, Path: "supported", Limit: 1 << 20})
			if err == nil {
				d.found = s
				return s, nil
			}
			if !errors.Is(err, fault.NotFound) && !p.AnyError {
				return upstream.Site{}, err
			}
		}
	}
	s, err := d.conf.site()
	if err == nil {
		d.found = s
	}
	return s, err
}

// maxRecord bounds one answer of the database; a tile has at most 8 KiB.
const maxRecord = 1 << 20

func (d *database) remote(path string) ([]byte, error) {
	s, err := d.site()
	if err != nil {
		return nil, err
	}
	return d.client.Read(d.ctx, upstream.Request{Site: s, Path: strings.TrimPrefix(path, "/"), Limit: maxRecord})
}

// file is the place of a cached answer. Names come from escaped module paths
// and tile coordinates; anything else is refused.
func (d *database) file(name string) (string, error) {
	if !filepath.IsLocal(name) || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("%q is not a name in the cache", name)
	}
	return filepath.Join(d.dir, filepath.FromSlash(name)), nil
}

func (d *database) readFile(name string) ([]byte, error) {
	path, err := d.file(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRecord))
}

func (d *database) writeFile(name string, b []byte) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// ops is what golang.org/x/mod/sumdb needs of the outside.
type ops struct{ d *database }

func (o *ops) ReadRemote(path string) ([]byte, error) {
	b, err := o.d.remote(path)
	if err != nil {
		o.d.mu.Lock()
		o.d.cause = err
		o.d.mu.Unlock()
	}
	return b, err
}

func (o *ops) ReadConfig(name string) ([]byte, error) {
	if name == "key" {
		return []byte(o.d.conf.Key), nil
	}
	b, err := o.d.readFile("config/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // an empty tree, which every tree extends
	}
	return b, err
}

// WriteConfig replaces the tree head if it is still the old one. The lock makes
// that true between processes.
func (o *ops) WriteConfig(name string, old, new []byte) error {
	lock, err := os.OpenFile(filepath.Join(o.d.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	now, err := o.ReadConfig(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) {
		return sumdb.ErrWriteConflict
	}
	return o.d.writeFile("config/"+name, new)
}

func (o *ops) ReadCache(name string) ([]byte, error) { return o.d.readFile("cache/" + name) }

func (o *ops) WriteCache(name string, b []byte) {
	_ = o.d.writeFile("cache/"+name, b) // a cache: what is not kept is asked for again
}

// Log is silent: the database's remarks are no one's.
func (o *ops) Log(string) {}

// SecurityError notes that the database signed two different histories.
func (o *ops) SecurityError(msg string) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	first, _, _ := strings.Cut(msg, "\n")
	o.d.forged = first
}

// Head is a signed tree head that a zone is held at, so that everything it is
// told fits together.
type head struct {
	note []byte
	tree tlog.Tree
}

// head reads the newest proven tree head.
func (d *database) head() (head, error) {
	b, err := d.readFile("config/" + d.conf.Name + "/latest")
	if err != nil {
		return head{}, fault.Wrap(fault.Store, "read the tree head of "+d.conf.Name, err)
	}
	v, err := note.NewVerifier(d.conf.Key)
	if err != nil {
		return head{}, fault.Wrap(fault.Config, "key of "+d.conf.Name, err)
	}
	n, err := note.Open(b, note.VerifierList(v))
	if err != nil {
		return head{}, fault.Wrap(fault.Tampered, "tree head of "+d.conf.Name, err)
	}
	tree, err := tlog.ParseTree([]byte(n.Text))
	if err != nil {
		return head{}, fault.Wrap(fault.Tampered, "tree head of "+d.conf.Name, err)
	}
	return head{b, tree}, nil
}

// record is the answer to a lookup for a zone: the proven record together with
// the zone's tree head. The tiles that prove it are fetched here, named by the
// record alone: the zone's own wishes for tiles never reach the database, since
// a sequence of tile numbers is a message too.
func (d *database) record(v module.Version, h head) ([]byte, error) {
	if _, _, err := d.Lookup(v); err != nil {
		return nil, err
	}
	ep, err := module.EscapePath(v.Path)
	if err != nil {
		return nil, err
	}
	ev, err := module.EscapeVersion(v.Version)
	if err != nil {
		return nil, err
	}
	b, err := d.readFile("cache/" + d.conf.Name + "/lookup/" + ep + "@" + ev)
	if err != nil {
		return nil, fault.Wrap(fault.Store, "read the record of "+v.String(), err)
	}
	id, text, _, err := tlog.ParseRecord(b)
	if err != nil {
		return nil, fault.Wrap(fault.Tampered, "record of "+v.String(), err)
	}
	if id >= h.tree.N {
		return nil, fault.New(fault.UpstreamDown, v.String()+" came into the checksum database during this session: run again")
	}
	if _, err := tlog.TileHashReader(h.tree, &tiles{d}).ReadHashes([]int64{tlog.StoredHashIndex(0, id)}); err != nil {
		return nil, fault.Wrap(fault.Checksum, "prove the record of "+v.String(), err)
	}
	rec, err := tlog.FormatRecord(id, text)
	if err != nil {
		return nil, fault.Wrap(fault.Tampered, "record of "+v.String(), err)
	}
	return slices.Concat(rec, h.note), nil
}

// tile gives a tile that a proof needed before. There is no way from here to
// the database.
func (d *database) tile(path string) ([]byte, error) {
	t, err := tlog.ParseTilePath(path)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	return d.readFile("cache/" + d.conf.Name + "/" + t.Path())
}

// tiles reads through the cache for tlog's proofs.
type tiles struct{ d *database }

func (t *tiles) Height() int { return 8 }

func (t *tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(list))
	for i, tile := range list {
		b, err := t.d.tile(tile.Path())
		if err != nil {
			b, err = t.d.remote("/" + tile.Path())
		}
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

func (t *tiles) SaveTiles(list []tlog.Tile, data [][]byte) {
	for i, tile := range list {
		_ = t.d.writeFile("cache/"+t.d.conf.Name+"/"+tile.Path(), data[i]) // a cache
	}
}
