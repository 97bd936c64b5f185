package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

func mustSite(t *testing.T, raw string) Site {
	t.Helper()
	s, err := NewSite(raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSiteHidesItsCredential(t *testing.T) {
	s := mustSite(t, "https://user:hunter2@Mirror.example/npm/")
	if s.String() != "https://mirror.example/npm" || !s.HasCredential() || s.Path() != "/npm" {
		t.Errorf("%s", s)
	}
	holder := struct {
		hidden Site
		Shown  *Site
		m      map[string]Site
	}{s, &s, map[string]Site{"a": s.WithBearer("hunter2")}}
	b, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", s, s, s, s), fmt.Sprintf("%v %+v %#v", holder, holder, holder), string(b)} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "dXNlcjpodW50ZXIy") {
			t.Errorf("shown in %s", text)
		}
	}
	if _, err := NewSite("https://user:hunter2@bad host/"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestSiteAddresses(t *testing.T) {
	s := mustSite(t, "https://mirror.example/npm")
	for in, want := range map[string]string{
		"left/-/left-1.0.0.tgz": "https://mirror.example/npm/left/-/left-1.0.0.tgz",
		"@acme%2fright":         "https://mirror.example/npm/@acme%2fright",
		"m/@v/v1.0.0+x.zip":     "https://mirror.example/npm/m/@v/v1.0.0+x.zip",
	} {
		if u, err := s.URL(in); err != nil || u.String() != want {
			t.Errorf("%s: %v %v", in, u, err)
		}
	}
	for _, in := range []string{"../x", "a/../../x", "/etc", "//evil.example/x", "a//b", "a%2f..%2f..%2fx", "a\\b", "a%00b", "a?b", "a%3fb", "a#b", "%zz", "."} {
		if u, err := s.URL(in); err == nil {
			t.Errorf("%q became %s", in, u)
		}
	}
	for _, in := range []string{"ftp://mirror.example", "file:///etc", "mirror.example", "https://", "https:opaque", "\x00"} {
		if s, err := NewSite(in); err == nil {
			t.Errorf("%q became %s", in, s)
		}
	}
	if _, err := (Site{}).URL("x"); !errors.Is(err, fault.Config) {
		t.Errorf("zero site: %v", err)
	}
}

func TestAddressesThatAreNoRegistry(t *testing.T) {
	for addr, ok := range map[string]bool{
		"192.0.2.7": true, "10.0.0.1": true, "127.0.0.1": true, "2001:db8::1": true, "::1": true,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "fe80::1": false, "fd00:ec2::254": false, "168.63.129.16": false, "0.0.0.0": false, "::": false, "224.0.0.1": false,
	} {
		if err := refuseAddress("mirror.example", netip.MustParseAddr(addr)); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := refuseAddress("169.254.1.2", netip.MustParseAddr("169.254.1.2")); err != nil {
		t.Errorf("an address that the configuration spells out: %v", err)
	}
	_, err := dial(context.Background(), "tcp", "169.254.169.254.nip.invalid:80")
	if err == nil {
		t.Error("dialled")
	}
	if _, err := dial(context.Background(), "tcp", "0.0.0.0:1"); err == nil {
		t.Error("dialled the unspecified address")
	}
}

func TestCredentialStaysWithItsHost(t *testing.T) {
	var other []string
	away := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { other = append(other, r.Header.Get("Authorization")) }))
	defer away.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer t":
			w.WriteHeader(401)
		case r.URL.Path == "/away":
			http.Redirect(w, r, away.URL, http.StatusFound)
		case r.URL.Path == "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		case r.URL.Path == "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		}
	}))
	defer srv.Close()
	c := New(Options{Tries: 1})
	s := mustSite(t, srv.URL).WithBearer("t")
	if _, err := c.Read(t.Context(), Request{Site: s, Path: "here", Limit: 10}); err != nil {
		t.Errorf("a redirect at home: %v", err)
	}
	if _, err := c.Read(t.Context(), Request{Site: s, Path: "away", Limit: 10}); !errors.Is(err, fault.ForeignHost) || len(other) != 0 {
		t.Errorf("a redirect away: %v, reached with %q", err, other)
	}
	if _, err := c.Read(t.Context(), Request{Site: s, Path: "round", Limit: 10}); !errors.Is(err, fault.UpstreamDown) {
		t.Errorf("a redirect in a circle: %v", err)
	}
	if _, err := c.Read(t.Context(), Request{Site: mustSite(t, srv.URL), Path: "x", Limit: 10}); !errors.Is(err, fault.Credential) {
		t.Errorf("no credential: %v", err)
	}
	if _, err := c.Read(t.Context(), Request{Site: s, Path: "x"}); !errors.Is(err, fault.Limit) {
		t.Errorf("no limit: %v", err)
	}
}

func TestDownloadThatChangesBetweenAttempts(t *testing.T) {
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, n))
		switch n {
		case 1:
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "old")
		case 2: // another range than asked for
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(http.StatusPartialContent)
			fmt.Fprint(w, "0123456789")
		default:
			if r.Header.Get("Range") != "" {
				t.Errorf("range %q after a restart", r.Header.Get("Range"))
			}
			fmt.Fprint(w, "new bytes!")
		}
	}))
	defer srv.Close()
	c := New(Options{Pause: func(context.Context, int) bool { return true }})
	b, err := c.Read(t.Context(), Request{Site: mustSite(t, srv.URL), Path: "x", Limit: 100, Plain: true})
	if err != nil || string(b) != "new bytes!" {
		t.Errorf("%q %v", b, err)
	}
	n = 9
	if _, err := c.Read(t.Context(), Request{Site: mustSite(t, srv.URL), Path: "x", Limit: 5}); !errors.Is(err, fault.Limit) {
		t.Errorf("%v", err)
	}
}

func TestUnreachableHostIsSafeToRetry(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	s := mustSite(t, srv.URL)
	srv.Close()
	waits := 0
	c := New(Options{Pause: func(context.Context, int) bool { waits++; return true }})
	_, err := c.Read(t.Context(), Request{Site: s, Path: "x", Limit: 10})
	if !errors.Is(err, fault.UpstreamDown) || waits != 3 {
		t.Errorf("%v after %d waits", err, waits)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Read(ctx, Request{Site: s, Path: "x", Limit: 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestCertificateOfAnotherIsNotRetried(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	waits := 0
	c := New(Options{Pause: func(context.Context, int) bool { waits++; return true }})
	_, err := c.Read(t.Context(), Request{Site: mustSite(t, srv.URL), Path: "x", Limit: 10})
	if !errors.Is(err, fault.Config) || waits != 0 {
		t.Errorf("%v after %d waits", err, waits)
	}
}
