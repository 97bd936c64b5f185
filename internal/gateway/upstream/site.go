// Package upstream is the gateway's side towards registries and proxies: only
// hosts that the machine's own client configuration names are ever dialled,
// credentials go to exactly the host they are for, every body is bounded, and
// an interrupted download goes on where it stopped.
//
// It does not judge bytes: callers verify checksums.
package upstream

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// Site is one upstream: a base address and, hidden, what proves who we are.
type Site struct {
	base *url.URL
	auth secret
}

// secret gives a header value. It is a function so that no printing of any
// value that holds it, by whatever verb or package, can show what it gives.
type secret func() string

func hide(header string) secret { return func() string { return header } }

// NewSite reads an upstream's address. User information in it becomes a hidden
// credential. Only http and https are upstreams.
func NewSite(raw string) (Site, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		// The text could hold a password, so it is not repeated.
		return Site{}, fault.New(fault.Config, "an upstream's address cannot be read")
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Opaque != "" {
		return Site{}, fault.New(fault.Config, fmt.Sprintf("upstream %s is neither http nor https", u.Redacted()))
	}
	s := Site{}
	if u.User != nil {
		password, _ := u.User.Password()
		s = s.WithBasic(u.User.Username(), password)
	}
	s.base = &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: strings.TrimSuffix(u.Path, "/")}
	return s, nil
}

// WithBearer returns the site with a token for it.
func (s Site) WithBearer(token string) Site {
	s.auth = hide("Bearer " + token)
	return s
}

// WithBasic returns the site with a name and password for it.
func (s Site) WithBasic(name, password string) Site {
	return s.WithBasicEncoded(base64.StdEncoding.EncodeToString([]byte(name + ":" + password)))
}

// WithBasicEncoded returns the site with an encoded name and password for it.
func (s Site) WithBasicEncoded(encoded string) Site {
	s.auth = hide("Basic " + encoded)
	return s
}

// WithBasicHalfEncoded returns the site with a name and an encoded password, as
// npm keeps them.
func (s Site) WithBasicHalfEncoded(name, encoded string) Site {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return s // a password that cannot be read is none
	}
	return s.WithBasic(name, string(raw))
}

// HasCredential tells whether requests to the site prove who we are.
func (s Site) HasCredential() bool { return s.auth != nil }

// IsZero tells whether s is no site.
func (s Site) IsZero() bool { return s.base == nil }

// String is the site's address without credentials.
func (s Site) String() string {
	if s.base == nil {
		return ""
	}
	return s.base.String()
}

// Host is the site's host, with port where the address has one.
func (s Site) Host() string {
	if s.base == nil {
		return ""
	}
	return s.base.Host
}

// Hostname is the site's host without port.
func (s Site) Hostname() string {
	if s.base == nil {
		return ""
	}
	return s.base.Hostname()
}

// Scheme is http or https.
func (s Site) Scheme() string {
	if s.base == nil {
		return ""
	}
	return s.base.Scheme
}

// Path is the path of the base address, without a slash at the end.
func (s Site) Path() string {
	if s.base == nil {
		return ""
	}
	return s.base.Path
}

// URL is the address of an escaped path below the site. Paths that climb, or
// that are not clean, are refused.
func (s Site) URL(escaped string) (*url.URL, error) {
	if s.base == nil {
		return nil, fault.New(fault.Config, "no upstream is configured")
	}
	plain, err := url.PathUnescape(escaped)
	if err != nil || strings.ContainsAny(plain, "\\\x00?#") || path.Clean("/"+plain) != "/"+plain {
		return nil, fault.New(fault.Lockfile, fmt.Sprintf("%q is not a clean path", escaped))
	}
	return s.base.Parse(s.base.EscapedPath() + "/" + escaped)
}

// Sub is the same host and credential at a path below the site.
func (s Site) Sub(elem string) Site {
	u := *s.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + strings.Trim(elem, "/")
	s.base = &u
	return s
}

// Root is the same host and credential without the base path.
func (s Site) Root() Site {
	u := *s.base
	u.Path = ""
	s.base = &u
	return s
}

// refuseAddress says why an address must not be dialled for a host that the
// configuration names. Private and loopback addresses serve: a mirror may stand
// there, and only configured hosts are dialled at all. Link-local ones hold
// cloud metadata services and are never a registry, unless the configuration
// spells the address out.
func refuseAddress(host string, a netip.Addr) error {
	a = a.Unmap()
	if lit, err := netip.ParseAddr(host); err == nil && lit.Unmap() == a {
		return nil
	}
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || isMetadata(a) {
		return fault.New(fault.ForeignHost, fmt.Sprintf("%s leads to %s, which is no place for a registry", host, a))
	}
	return nil
}

func isMetadata(a netip.Addr) bool {
	return a == netip.AddrFrom4([4]byte{168, 63, 129, 16}) || a == netip.MustParseAddr("fd00:ec2::254")
}
