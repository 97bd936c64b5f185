// Package gateway is the only road out of a zone.
//
// It works in two phases. Plan: the closure of the project's lockfiles becomes
// the allow-set. Serve: a session answers requests of one zone for members of
// that set, after their checksums were verified; anything else is refused here,
// in the client's own error shape, without any upstream being asked, since a
// looked-up name is already a way out.
//
// A project without a lockfile gets one made: a session that resolves lets
// through what is reachable from the project's own manifests, and the lockfile
// that comes of it is planned again, as made and not as pinned.
//
// What it does not promise: that a pinned package is harmless. It promises that
// a build sees exactly the pinned bytes, that nothing else came in, and that no
// credential of an upstream ever enters a zone, a record or an error.
//
// One room for each protocol stands below: golang, npm and, for the images that
// zones are made of, oci; they share vault
// (bytes that were verified), upstream (the way to registries), intake (files of
// projects), record (the book of a session) and fault (errors with codes).
package gateway

import (
	"context"
	"path/filepath"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/golang"
	"github.com/sallyport/sallyport/internal/gateway/npm"
	"github.com/sallyport/sallyport/internal/gateway/oci"
	"github.com/sallyport/sallyport/internal/gateway/screen"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/gateway/vault"
)

// The codes that callers branch on: errors.Is(err, gateway.ErrUpstreamDown).
const (
	ErrChecksum     = fault.Checksum     // bytes are not the promised ones
	ErrUpstreamDown = fault.UpstreamDown // infrastructure: safe to retry
	ErrCredential   = fault.Credential   // an upstream refused our credential
	ErrNotFound     = fault.NotFound     // an upstream does not have it
	ErrLockfile     = fault.Lockfile     // unreadable, or at odds with its manifest
	ErrForeignHost  = fault.ForeignHost  // another host, git, URL, outside the tree
	ErrTooYoung     = fault.TooYoung     // min_age
	ErrLimit        = fault.Limit        // too large, too deep, too many
	ErrArchive      = fault.Archive      // not safe to unpack
	ErrConfig       = fault.Config       // this machine's client configuration
	ErrPurl         = fault.Purl         // bad package URL
	ErrTampered     = fault.Tampered     // the gateway's own store was changed
)

// Error is the type behind the codes: Code, What, Where (file:line) and Do, the
// next command to type.
type Error = fault.Error

// Upstreams says how to learn each protocol's upstreams. A function is called
// once, when its protocol is first needed: a machine without npm builds Go.
type Upstreams struct {
	Go  func(ctx context.Context) (golang.Config, error)
	Npm func(ctx context.Context, memo string) (npm.Config, error) // memo: a directory that may keep what npm said
}

// Discover takes the upstreams and credentials from the configuration of this
// machine's own clients: go env, .netrc, npm config and its .npmrc files. A
// project's files have no say in it.
func Discover(context.Context) (Upstreams, error) {
	return Upstreams{Go: golang.Discover, Npm: npm.Discover}, nil
}

// Options make a gateway.
type Options struct {
	Dir       string // the gateway's own directory, mode 0700
	Upstreams Upstreams
	Client    upstream.Options
	Malware   screen.Options // the feed of known malware; without a path there is none
}

// Gateway fetches, verifies and keeps what sessions serve. It is safe for
// concurrent use, and several processes can share a directory.
type Gateway struct {
	o      Options
	vault  *vault.Vault
	client *upstream.Client
	ctx    context.Context
	cancel context.CancelFunc

	mu   sync.Mutex
	gos  *golang.Service
	npm  *npm.Service
	feed *screen.Feed // nil: not read yet
}

// New opens a gateway's directory. It contacts no upstream.
func New(o Options) (*Gateway, error) {
	if o.Dir == "" || !filepath.IsAbs(o.Dir) {
		return nil, fault.New(fault.Config, "the gateway's directory is not an absolute path")
	}
	v, err := vault.Open(o.Dir)
	if err != nil {
		return nil, err
	}
	g := &Gateway{o: o, vault: v, client: upstream.New(o.Client)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// Close ends all fetching and waits until nothing is written any more. Sessions
// are closed before.
func (g *Gateway) Close() error {
	g.cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gos != nil {
		g.gos.Wait()
	}
	if g.npm != nil {
		g.npm.Wait()
	}
	g.client.Close()
	return nil
}

// known reads the feed of known malware, once. Without it nothing comes in.
func (g *Gateway) known() (*screen.Feed, error) {
	if g.feed != nil {
		return g.feed, nil
	}
	var err error
	g.feed, err = screen.Load(g.o.Malware)
	return g.feed, err
}

func (g *Gateway) goService(ctx context.Context) (*golang.Service, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gos != nil {
		return g.gos, nil
	}
	if g.o.Upstreams.Go == nil {
		return nil, fault.New(fault.Config, "this gateway has no Go upstream")
	}
	conf, err := g.o.Upstreams.Go(ctx)
	if err != nil {
		return nil, err
	}
	feed, err := g.known()
	if err != nil {
		return nil, err
	}
	g.gos, err = golang.NewService(g.ctx, conf, g.client, g.vault, g.o.Dir, feed)
	return g.gos, err
}

func (g *Gateway) npmService(ctx context.Context) (*npm.Service, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.npm != nil {
		return g.npm, nil
	}
	if g.o.Upstreams.Npm == nil {
		return nil, fault.New(fault.Config, "this gateway has no npm upstream")
	}
	conf, err := g.o.Upstreams.Npm(ctx, g.o.Dir)
	if err != nil {
		return nil, err
	}
	feed, err := g.known()
	if err != nil {
		return nil, err
	}
	g.npm = npm.NewService(g.ctx, conf, g.client, g.vault, feed)
	return g.npm, nil
}

// Image gives a repository of a registry, as the command line names it. It
// contacts nobody yet.
func (g *Gateway) Image(host, name string) (*oci.Repository, error) {
	return oci.New(g.client, g.vault, host, name)
}

// Source fetches a published package, verifies it and unpacks it into dst, an
// empty or missing directory: pkg:golang/MODULE@VERSION against the checksum
// database, pkg:npm/NAME@VERSION against the registry's integrity value.
func (g *Gateway) Source(ctx context.Context, purl, dst string) (evidence.Material, error) {
	if strings.HasPrefix(purl, "pkg:npm/") {
		name, version, err := npm.ParsePurl(purl)
		if err != nil {
			return evidence.Material{}, err
		}
		s, err := g.npmService(ctx)
		if err != nil {
			return evidence.Material{}, err
		}
		return s.Source(ctx, name, version, dst)
	}
	if !strings.HasPrefix(purl, "pkg:golang/") {
		return evidence.Material{}, fault.New(fault.Purl, "only pkg:golang and pkg:npm can be fetched, not "+purl)
	}
	v, err := golang.ParsePurl(purl)
	if err != nil {
		return evidence.Material{}, err
	}
	s, err := g.goService(ctx)
	if err != nil {
		return evidence.Material{}, err
	}
	return s.Source(ctx, v, dst)
}
