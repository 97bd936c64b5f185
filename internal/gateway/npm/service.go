package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/screen"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/gateway/vault"
)

// Limits of what upstreams may give.
const (
	maxTarball  = 1 << 30
	maxDocument = 128 << 20
)

// Service fetches, verifies and keeps tarballs for all sessions of a gateway.
type Service struct {
	conf   Config
	client *upstream.Client
	vault  *vault.Vault
	ctx    context.Context // of the gateway: a fetch outlives the session that asked first
	flight singleflight.Group
	busy   sync.WaitGroup // fetches under way
	now    func() time.Time
	feed   *screen.Feed

	mu    sync.Mutex
	fresh map[string]bool                 // keys fetched in this process
	dates map[string]map[string]time.Time // by name and version, as upstream says
}

// NewService returns a service.
func NewService(ctx context.Context, conf Config, client *upstream.Client, v *vault.Vault, feed *screen.Feed) *Service {
	return &Service{conf: conf, client: client, vault: v, ctx: ctx, now: time.Now, feed: feed, fresh: map[string]bool{}, dates: map[string]map[string]time.Time{}}
}

// Wait returns when no fetch is under way. The context that the service was
// made with has ended by then.
func (s *Service) Wait() { s.busy.Wait() }

// Config is what the service was made with.
func (s *Service) Config() Config { return s.conf }

// Known is the malware that the service knows.
func (s *Service) Known() *screen.Feed { return s.feed }

// got is one verified tarball, open.
type got struct {
	*os.File
	entry  vault.Entry
	cached bool
	mended bool // stored bytes had changed and were fetched again
}

// key holds the promise, so that a changed promise is never answered with bytes
// that were checked against the old one.
func (p *Package) key() string { return KindTarball + " " + p.id() + " " + p.Integrity.String() }

// open gives a package's tarball, fetched and verified where it is not here yet.
func (s *Service) open(ctx context.Context, p *Package) (got, error) {
	// Asked at each request: bytes that are here may have become known since.
	if err := s.feed.Refusal(screen.Npm, p.Name, p.Version, p.where()); err != nil {
		return got{}, err
	}
	if err := s.age(ctx, p); err != nil {
		return got{}, err
	}
	for try := range 2 { // the second time after a tampered file was put aside
		e, here := s.vault.Find(p.key())
		if !here {
			var err error
			if e, err = s.fetchOnce(ctx, p); err != nil {
				return got{}, err
			}
		}
		if err := s.same(p, e); err != nil {
			return got{}, err
		}
		f, err := s.vault.Open(e, p.Integrity.check)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			return got{f, e, !s.fresh[p.key()], try > 0}, nil
		}
		if !errors.Is(err, fault.Tampered) {
			return got{}, err
		}
	}
	return got{}, fault.New(fault.Tampered, "stored bytes of "+p.id()+" change again and again")
}

// same holds a version to the bytes that this gateway saw under it first: a
// version that no lockfile pins has no other promise than that a registry never
// changes one.
func (s *Service) same(p *Package, e vault.Entry) error {
	key := "first " + KindTarball + " " + p.id() + " " + p.Site.String()
	first, known := s.vault.Find(key)
	if !known {
		e.Key = key
		return s.vault.Note(e)
	}
	if first.Digest == e.Digest || p.Pin != evidence.PinMade {
		return nil
	}
	return fault.New(fault.Checksum, fmt.Sprintf("%s is not what the registry gave on %s: a version never changes", p.id(), first.FirstSeen.Format(time.DateOnly))).
		At(p.where()).Mend("find out which of the two is right, and commit a lockfile that names it")
}

// fetchOnce fetches one tarball once, however many sessions ask.
func (s *Service) fetchOnce(ctx context.Context, p *Package) (vault.Entry, error) {
	done := make(chan outcome, 1)
	s.busy.Go(func() {
		v, err, _ := s.flight.Do(p.key(), func() (any, error) {
			if e, here := s.vault.Find(p.key()); here {
				return e, nil
			}
			e, err := s.fetch(s.ctx, p)
			if err == nil {
				s.mu.Lock()
				s.fresh[p.key()] = true
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

func (s *Service) fetch(ctx context.Context, p *Package) (vault.Entry, error) {
	sum := newHash(p.Integrity.Algorithm)
	d, err := s.vault.Begin(sum)
	if err != nil {
		return vault.Entry{}, err
	}
	defer d.Abort()
	site, path := p.Site, p.Path
	err = s.client.Download(ctx, upstream.Request{Site: site, Path: path, Limit: maxTarball, Plain: true}, d)
	if errors.Is(err, fault.NotFound) && p.Guessed {
		// The lockfile gave no address and this registry keeps it elsewhere.
		if site, path, err = s.locate(ctx, p); err == nil {
			err = s.client.Download(ctx, upstream.Request{Site: site, Path: path, Limit: maxTarball, Plain: true}, d)
		}
	}
	if err != nil {
		return vault.Entry{}, err
	}
	if err := p.Integrity.holds(sum); err != nil {
		return vault.Entry{}, fault.Wrap(fault.Checksum, p.id()+" is not what the lockfile promises", err).
			At(p.where()).Mend("npm cache verify, and find out which of the two is right before you run npm install --package-lock-only")
	}
	u, err := site.URL(path)
	if err != nil {
		return vault.Entry{}, err
	}
	return d.Commit(vault.Entry{Key: p.key(), Sum: p.Integrity.String(), URI: u.String(), FirstSeen: s.now().UTC()})
}

// locate asks the package's own document where its tarball is.
func (s *Service) locate(ctx context.Context, p *Package) (upstream.Site, string, error) {
	doc, err := s.version(ctx, p.Name, p.Version)
	if err != nil {
		return upstream.Site{}, "", err
	}
	return s.conf.place(p.Name, doc.Dist.Tarball)
}

// place makes an address that a registry gave for a tarball a path of the
// configured registry. Mirrors that do not rewrite their documents name the
// registry that npm is built with, which means the configured one, as in npm.
func (c Config) place(name, address string) (upstream.Site, string, error) {
	site := c.For(name)
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Host == "" {
		return upstream.Site{}, "", fault.New(fault.ForeignHost, "the registry gives no usable address for the tarball of "+name)
	}
	host := strings.ToLower(u.Host)
	if host == c.Default.Host() && u.Scheme == c.Default.Scheme() && host != site.Host() && site.String() == c.Registry.String() {
		return site, strings.TrimPrefix(u.EscapedPath(), c.Default.Path()+"/"), nil
	}
	if host != site.Host() || u.Scheme != site.Scheme() {
		return upstream.Site{}, "", fault.New(fault.ForeignHost, fmt.Sprintf("registry %s keeps the tarball of %s at %s://%s, which is not a configured upstream", site.Host(), name, u.Scheme, host))
	}
	if inner, ok := strings.CutPrefix(u.EscapedPath(), site.Path()+"/"); ok {
		return site, inner, nil
	}
	return site.Root(), strings.TrimPrefix(u.EscapedPath(), "/"), nil
}

// versionDoc is what is read of one version in a registry's document.
type versionDoc struct {
	Name                 string            `json:"name"`
	Version              string            `json:"version"`
	Dependencies         map[string]string `json:"dependencies"`
	OptionalDependencies map[string]string `json:"optionalDependencies"`
	PeerDependencies     map[string]string `json:"peerDependencies"`
	HasInstallScript     bool              `json:"hasInstallScript"`
	Dist                 struct {
		Tarball   string `json:"tarball"`
		Integrity string `json:"integrity"`
		Shasum    string `json:"shasum"`
	} `json:"dist"`
}

// promise is the version's integrity; old versions have a SHA-1 alone.
func (d *versionDoc) promise() (Integrity, error) {
	if d.Dist.Integrity != "" {
		return ParseIntegrity(d.Dist.Integrity)
	}
	return fromShasum(d.Dist.Shasum)
}

// version reads one version out of a package's document.
func (s *Service) version(ctx context.Context, name, version string) (versionDoc, error) {
	var found versionDoc
	have := false
	err := s.document(ctx, name, abbreviated, parts{each: func(v string, raw json.RawMessage) error {
		if v == version {
			have = true
			return json.Unmarshal(raw, &found)
		}
		return nil
	}})
	if err == nil && !have {
		err = fault.New(fault.NotFound, "the registry does not have "+name+"@"+version)
	}
	return found, err
}

// age holds min_age by the registry's "time", which only its full documents
// have. A version whose age nobody says is too young.
func (s *Service) age(ctx context.Context, p *Package) error {
	if p.MinAge <= 0 {
		return nil
	}
	s.mu.Lock()
	times, known := s.dates[p.Name]
	s.mu.Unlock()
	if !known {
		var err error
		if times, err = s.times(ctx, p.Name); err != nil {
			return fault.Wrap(fault.TooYoung, "the age of "+p.id()+" cannot be told", err).At(p.where())
		}
	}
	return oldEnough(p, times[p.Version], s.now())
}

func (s *Service) times(ctx context.Context, name string) (map[string]time.Time, error) {
	times := map[string]time.Time{}
	err := s.document(ctx, name, "application/json", parts{times: times})
	if err == nil {
		s.mu.Lock()
		s.dates[name] = times
		s.mu.Unlock()
	}
	return times, err
}

func oldEnough(p *Package, published, now time.Time) error {
	switch age := now.Sub(published); {
	case p.MinAge <= 0:
		return nil
	case published.IsZero():
		return fault.New(fault.TooYoung, p.id()+" has no publishing time, and min_age is set").At(p.where())
	case age < 0:
		return fault.New(fault.TooYoung, fmt.Sprintf("%s claims to be from %s, which is still to come", p.id(), published.Format(time.RFC3339))).At(p.where())
	case age < p.MinAge:
		return fault.New(fault.TooYoung, fmt.Sprintf("%s is %s old by the registry's clock, min_age is %s", p.id(), age.Round(time.Minute), p.MinAge)).At(p.where())
	}
	return nil
}

// material is the record of a tarball that was served.
func material(p *Package, g got) evidence.Material {
	m := p.Material()
	m.Sum, m.Digest, m.Size, m.URI, m.Cached = g.entry.Sum, g.entry.Digest, g.entry.Size, g.entry.URI, g.cached
	return m
}
