package golang

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/screen"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/gateway/vault"
)

// Service fetches, verifies and keeps modules for all sessions of a gateway.
type Service struct {
	conf   Config
	client *upstream.Client
	vault  *vault.Vault
	db     *database
	ctx    context.Context // of the gateway: a fetch outlives the session that asked first
	flight singleflight.Group
	busy   sync.WaitGroup // fetches under way
	now    func() time.Time
	feed   *screen.Feed

	mu    sync.Mutex
	fresh map[string]bool              // keys fetched in this process
	dates map[module.Version]time.Time // as upstream says
}

// NewService returns a service that keeps the database's tree head below dir.
func NewService(ctx context.Context, conf Config, client *upstream.Client, v *vault.Vault, dir string, feed *screen.Feed) (*Service, error) {
	db, err := newDatabase(ctx, conf, client, filepath.Join(dir, "sumdb"))
	if err != nil {
		return nil, err
	}
	return &Service{conf: conf, client: client, vault: v, db: db, ctx: ctx, now: time.Now, feed: feed, fresh: map[string]bool{}, dates: map[module.Version]time.Time{}}, nil
}

// Wait returns when no fetch is under way. The context that the service was
// made with has ended by then.
func (s *Service) Wait() { s.busy.Wait() }

// Config is what the service was made with.
func (s *Service) Config() Config { return s.conf }

// Known is the malware that the service knows.
func (s *Service) Known() *screen.Feed { return s.feed }

// got is one verified file, open.
type got struct {
	*os.File
	entry  vault.Entry
	cached bool
	mended bool // stored bytes had changed and were fetched again
}

// key names a file together with who promises its checksum, so that a changed
// promise is never answered with bytes that were checked against the old one.
func (s *Service) key(m *Module, kind string) string {
	promise := m.ZipSum
	if kind == KindMod {
		promise = m.ModSum
	}
	if promise == "" && s.db != nil {
		promise = "sumdb:" + s.db.conf.Name
	}
	return kind + " " + m.String() + " " + promise
}

// open gives a file of a module, fetched and verified where it is not here yet.
func (s *Service) open(ctx context.Context, m *Module, kind string) (got, error) {
	// Asked at each request: bytes that are here may have become known since.
	if err := s.feed.Refusal(screen.Go, m.Path, m.Version.Version, m.where()); err != nil {
		return got{}, err
	}
	if err := s.age(ctx, m); err != nil {
		return got{}, err
	}
	key := s.key(m, kind)
	for try := range 2 { // the second time after a tampered file was put aside
		e, here := s.vault.Find(key)
		if !here {
			var err error
			if e, err = s.fetchOnce(ctx, m, kind, key); err != nil {
				return got{}, err
			}
		}
		f, err := s.vault.Open(e, recheck(m, kind))
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			return got{f, e, !s.fresh[key], try > 0}, nil
		}
		if !errors.Is(err, fault.Tampered) {
			return got{}, err
		}
	}
	return got{}, fault.New(fault.Tampered, "stored bytes of "+m.String()+" change again and again")
}

// recheck compares a go.mod with its promise on each first open. A zip's h1
// means unpacking it, which the SHA-256 of the very bytes stands in for.
func recheck(m *Module, kind string) func(*os.File) error {
	if kind != KindMod || m.ModSum == "" {
		return nil
	}
	return func(f *os.File) error {
		sum, err := hashMod(f.Name())
		if err == nil && sum != m.ModSum {
			err = fmt.Errorf("wanted %s, got %s", m.ModSum, sum)
		}
		return err
	}
}

// fetchOnce fetches one file once, however many sessions ask.
func (s *Service) fetchOnce(ctx context.Context, m *Module, kind, key string) (vault.Entry, error) {
	done := make(chan outcome, 1)
	s.busy.Go(func() {
		v, err, _ := s.flight.Do(key, func() (any, error) {
			if e, here := s.vault.Find(key); here {
				return e, nil
			}
			e, err := s.fetch(s.ctx, m, kind, key)
			if err == nil {
				s.mu.Lock()
				s.fresh[key] = true
				s.mu.Unlock()
			}
			return e, err
		})
		e, _ := v.(vault.Entry)
		done <- outcome{e, err}
	})
	select {
	case o := <-done:
		return o.entry, o.err
	case <-ctx.Done():
		return vault.Entry{}, context.Cause(ctx)
	}
}

// outcome is how a fetch ended.
type outcome struct {
	entry vault.Entry
	err   error
}

func (s *Service) fetch(ctx context.Context, m *Module, kind, key string) (vault.Entry, error) {
	want, proof, err := s.promise(m, kind)
	if err != nil {
		return vault.Entry{}, err
	}
	d, err := s.vault.Begin()
	if err != nil {
		return vault.Entry{}, err
	}
	defer d.Abort()
	site, err := s.download(ctx, m.Version, kind, d)
	if err != nil {
		return vault.Entry{}, err
	}
	if err := check(d.Name(), d.Size(), m, kind, want); err != nil {
		return vault.Entry{}, err
	}
	uri, err := address(site, m.Version, kind)
	if err != nil {
		return vault.Entry{}, err
	}
	return d.Commit(vault.Entry{Key: key, Sum: want, URI: uri, Proof: proof, FirstSeen: s.now().UTC()})
}

// promise is the checksum that a file must have. Where go.sum and the checksum
// database both speak, they must agree; a module that the database does not
// know is held to go.sum alone, as the go command does.
func (s *Service) promise(m *Module, kind string) (want, proof string, err error) {
	want = m.ZipSum
	if kind == KindMod {
		want = m.ModSum
		if want != "" {
			return want, "", nil // names of further modules, no code: go.sum is enough
		}
	}
	if !s.conf.covered(m.Path) {
		if want == "" {
			return "", "", fault.New(fault.Checksum, "nothing promises a checksum for "+m.String()+": go.sum has none, and no checksum database covers it").
				At(m.where()).Mend("go mod download " + m.String() + " && go mod tidy, and commit go.sum")
		}
		return want, "", nil
	}
	zip, mod, err := s.db.Lookup(m.Version)
	if err != nil {
		if want != "" && errors.Is(err, fault.NotFound) {
			return want, "", nil
		}
		return "", "", err
	}
	proven := zip
	if kind == KindMod {
		proven = mod
	}
	if proven == "" || (want != "" && want != proven) {
		return "", "", fault.New(fault.Checksum, fmt.Sprintf("%s: go.sum promises %q, the checksum database has %q", m, want, proven)).
			At(m.where()).Mend("find out who changed go.sum")
	}
	return proven, s.db.conf.Name, nil
}

// download asks the proxies in order, as GOPROXY says.
func (s *Service) download(ctx context.Context, v module.Version, kind string, to upstream.Sink) (upstream.Site, error) {
	path, err := remotePath(v, kind)
	if err != nil {
		return upstream.Site{}, err
	}
	limit := int64(modzip.MaxZipFile)
	if kind == KindMod {
		limit = modzip.MaxGoMod
	}
	return s.ask(v.Path, func(site upstream.Site) error {
		return s.client.Download(ctx, upstream.Request{Site: site, Path: path, Limit: limit, Plain: true}, to)
	})
}

func (s *Service) ask(path string, try func(upstream.Site) error) (upstream.Site, error) {
	if err := errors.Join(s.conf.needProxy(), s.conf.fetchable(path)); err != nil {
		return upstream.Site{}, err
	}
	var last error
	for _, p := range s.conf.Proxies {
		last = try(p.Site)
		if last == nil {
			return p.Site, nil
		}
		if !p.AnyError && !errors.Is(last, fault.NotFound) {
			break
		}
	}
	return upstream.Site{}, last
}

func remotePath(v module.Version, kind string) (string, error) {
	ep, err := module.EscapePath(v.Path)
	if err != nil {
		return "", fault.Wrap(fault.Lockfile, "module path", err)
	}
	ev, err := module.EscapeVersion(v.Version)
	if err != nil {
		return "", fault.Wrap(fault.Lockfile, "module version", err)
	}
	ext := ".zip"
	if kind == KindMod {
		ext = ".mod"
	}
	return ep + "/@v/" + ev + ext, nil
}

func address(site upstream.Site, v module.Version, kind string) (string, error) {
	path, err := remotePath(v, kind)
	if err != nil {
		return "", err
	}
	u, err := site.URL(path)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// check compares a downloaded file with its promise.
func check(name string, size int64, m *Module, kind, want string) error {
	var sum string
	var err error
	if kind == KindMod {
		sum, err = hashMod(name)
	} else if err = checkZip(name, size, m.Version); err == nil {
		sum, err = dirhash.HashZip(name, dirhash.Hash1)
	}
	if err != nil {
		return fault.Wrap(fault.Checksum, "verify "+m.String(), err).At(m.where())
	}
	if sum != want {
		return fault.New(fault.Checksum, fmt.Sprintf("%s: upstream gave %s, wanted %s", m, sum, want)).
			At(m.where()).Mend("go clean -modcache && go mod verify, and find out which of the two is right")
	}
	return nil
}

func hashMod(name string) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return os.Open(name) })
}

// maxDirectory bounds the central directory of a zip, which archive/zip reads
// into memory as a whole.
const maxDirectory = 24 << 20

// checkZip refuses archives whose mere reading would cost too much, before
// anything is unpacked to be hashed.
func checkZip(name string, size int64, v module.Version) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	tail := make([]byte, min(size, 66<<10))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	i := strings.LastIndex(string(tail), "PK\x05\x06")
	if i < 0 || i+16 > len(tail) {
		return errors.New("not a zip file")
	}
	if n := binary.LittleEndian.Uint32(tail[i+12:]); n > maxDirectory {
		return fmt.Errorf("a zip directory of %d bytes", n)
	}
	_, err = modzip.CheckZip(v, name)
	return err
}

// info is a proxy's word about a version: the commit's time, which who made the
// commit could set to anything.
type info struct {
	Version string
	Time    time.Time
}

func (s *Service) info(ctx context.Context, v module.Version) (info, error) {
	path, err := remotePath(v, KindMod)
	if err != nil {
		return info{}, err
	}
	var in info
	_, err = s.ask(v.Path, func(site upstream.Site) error {
		b, err := s.client.Read(ctx, upstream.Request{Site: site, Path: strings.TrimSuffix(path, ".mod") + ".info", Limit: 1 << 20})
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &in); err != nil || in.Version != v.Version {
			return fault.New(fault.UpstreamDown, "the proxy's word about "+v.String()+" cannot be read")
		}
		return nil
	})
	return in, err
}

// age holds min_age, whether the bytes are here already or not. A version whose
// age nobody says is too young.
//
// BUG: the only clock is the proxy's, which repeats the time of the commit; who
// makes the commit can put it into the past. The first time that this gateway
// saw a version is kept in its store, and decides nothing yet.
func (s *Service) age(ctx context.Context, m *Module) error {
	if m.MinAge <= 0 {
		return nil
	}
	s.mu.Lock()
	published, known := s.dates[m.Version]
	s.mu.Unlock()
	if !known {
		in, err := s.info(ctx, m.Version)
		if err != nil {
			return fault.Wrap(fault.TooYoung, "the age of "+m.String()+" cannot be told", err).At(m.where())
		}
		published = in.Time
		s.mu.Lock()
		s.dates[m.Version] = published
		s.mu.Unlock()
	}
	return oldEnough(m, published, s.now())
}

func oldEnough(m *Module, published, now time.Time) error {
	switch age := now.Sub(published); {
	case m.MinAge <= 0:
		return nil
	case published.IsZero():
		return fault.New(fault.TooYoung, m.String()+" has no publishing time, and min_age is set").At(m.where())
	case age < 0:
		return fault.New(fault.TooYoung, fmt.Sprintf("%s claims to be from %s, which is still to come", m, published.Format(time.RFC3339))).At(m.where())
	case age < m.MinAge:
		return fault.New(fault.TooYoung, fmt.Sprintf("%s is %s old by the upstream's clock, min_age is %s", m, age.Round(time.Minute), m.MinAge)).At(m.where())
	}
	return nil
}

// material is the record of a file that was served.
func material(m *Module, kind string, g got) evidence.Material {
	pin := m.Pin
	if kind == KindMod {
		pin = m.ModPin
	}
	return evidence.Material{
		PURL: Purl(m.Path, m.Version.Version), Kind: kind, Sum: g.entry.Sum, Digest: g.entry.Digest, Size: g.entry.Size,
		URI: g.entry.URI, Pin: pin, File: m.File, Line: m.Line, Cached: g.cached,
	}
}
