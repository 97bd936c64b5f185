// Package oci brings the blobs of an image from a registry, by the pull part of
// the OCI distribution specification 1.1.
//
// Everything is asked for by digest and compared with it before anybody reads
// it. A registry that wants a token gets asked for one as nobody in particular;
// there are no credentials. No other host than the registry's is asked: one that
// sends its blobs or its tokens from elsewhere is refused.
package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/gateway/vault"
	"github.com/sallyport/sallyport/internal/image"
)

// The bounds of what a registry sends, in bytes.
const (
	maxManifest = 4 << 20
	maxToken    = 64 << 10
)

// Repository is one repository of a registry. It is safe for concurrent use.
type Repository struct {
	client *upstream.Client
	vault  *vault.Vault
	name   string

	mu   sync.Mutex
	site upstream.Site // with the token, once there is one
}

// New names a repository. It contacts nobody yet. A registry on this machine's
// own loopback is spoken to in the clear, any other one with TLS.
func New(c *upstream.Client, v *vault.Vault, host, name string) (*Repository, error) {
	scheme := "https://"
	if loopback(host) {
		scheme = "http://"
	}
	site, err := upstream.NewSite(scheme + host)
	if err != nil {
		return nil, err
	}
	return &Repository{client: c, vault: v, name: name, site: site}, nil
}

func loopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	a, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && a.IsLoopback()
}

// Manifest gives a manifest or an index.
func (r *Repository) Manifest(ctx context.Context, d digest.Digest, _ int64) (io.ReadCloser, error) {
	return r.fetch(ctx, "manifests", d, maxManifest, image.Accept())
}

// Blob gives a blob of that many bytes.
func (r *Repository) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	return r.fetch(ctx, "blobs", d, max(size, 1), "")
}

// fetch brings bytes into the gateway's store, verified, and out of it again: an
// image is kept unpacked.
func (r *Repository) fetch(ctx context.Context, kind string, d digest.Digest, limit int64, accept string) (io.ReadCloser, error) {
	draft, err := r.vault.Begin()
	if err != nil {
		return nil, err
	}
	defer draft.Abort()
	req := upstream.Request{Path: "v2/" + r.name + "/" + kind + "/" + d.String(), Accept: accept, Limit: limit, Plain: true}
	if err := r.download(ctx, req, draft); err != nil {
		return nil, err
	}
	if got := draft.Digest(); got != d {
		return nil, fault.New(fault.Checksum, fmt.Sprintf("registry %s gives %s for %s of %s", r.site.Host(), got, d, r.name))
	}
	f, err := os.Open(draft.Name())
	if err != nil {
		return nil, fault.Wrap(fault.Store, "read verified bytes", err)
	}
	return f, nil // the draft's name goes, the bytes stay until they are closed
}

// download asks once more with a token, where the registry wants one.
func (r *Repository) download(ctx context.Context, req upstream.Request, to upstream.Sink) error {
	r.mu.Lock()
	req.Site = r.site
	r.mu.Unlock()
	err := r.client.Download(ctx, req, to)
	var asked upstream.Challenge
	if !errors.As(err, &asked) {
		return err
	}
	site, tokenErr := r.token(ctx, string(asked))
	if tokenErr != nil {
		return tokenErr
	}
	r.mu.Lock()
	r.site, req.Site = site, site
	r.mu.Unlock()
	return r.client.Download(ctx, req, to)
}

// parameter is one of a challenge: realm="https://registry.example/token".
var parameter = regexp.MustCompile(`([a-z]+)="([^"\\]*)"`)

// token asks for the right to pull from the repository, as the challenge says,
// where it says no other host. The scope is ours: the challenge has none in it.
func (r *Repository) token(ctx context.Context, challenge string) (upstream.Site, error) {
	said := map[string]string{}
	scheme, rest, _ := strings.Cut(challenge, " ")
	for _, m := range parameter.FindAllStringSubmatch(rest, -1) {
		said[m[1]] = m[2]
	}
	realm, err := url.Parse(said["realm"])
	if err != nil || !strings.EqualFold(scheme, "bearer") || said["realm"] == "" {
		return upstream.Site{}, fault.New(fault.Credential, "registry "+r.site.Host()+" wants a credential, and there is none")
	}
	if realm.Scheme != r.site.Scheme() || realm.Host != r.site.Host() || realm.User != nil {
		return upstream.Site{}, fault.New(fault.ForeignHost, fmt.Sprintf("registry %s wants a token of %s, which nobody named", r.site.Host(), realm.Host)).
			Mend("take the image from a mirror, or from a layout on this machine")
	}
	query := url.Values{"scope": {"repository:" + r.name + ":pull"}}
	if said["service"] != "" {
		query.Set("service", said["service"])
	}
	b, err := r.client.Read(ctx, upstream.Request{
		Site: r.site.Root(), Path: strings.TrimPrefix(realm.EscapedPath(), "/"), Query: query, Limit: maxToken,
	})
	if err != nil {
		return upstream.Site{}, err
	}
	var given struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(b, &given); err != nil || given.Token == "" && given.Access == "" {
		return upstream.Site{}, fault.New(fault.Credential, "registry "+r.site.Host()+" gives no token")
	}
	if given.Token == "" {
		given.Token = given.Access
	}
	if strings.ContainsFunc(given.Token, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return upstream.Site{}, fault.New(fault.Credential, "registry "+r.site.Host()+" gives a token that is none")
	}
	return r.site.WithBearer(given.Token), nil
}
