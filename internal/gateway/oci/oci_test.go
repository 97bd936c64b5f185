package oci

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/gateway/vault"
)

// registry answers every blob with the same text, as the test says.
func registry(t *testing.T, answer http.HandlerFunc) (*Repository, string) {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	v, err := vault.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(upstream.New(upstream.Options{Tries: 1}), v, strings.TrimPrefix(srv.URL, "http://"), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func TestBlob(t *testing.T) {
	asked := ""
	r, dir := registry(t, func(w http.ResponseWriter, q *http.Request) {
		asked = q.URL.Path
		fmt.Fprint(w, "bytes")
	})
	good := digest.OfString("bytes")
	in, err := r.Blob(t.Context(), good, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if b, err := io.ReadAll(in); err != nil || string(b) != "bytes" || asked != "/v2/a/b/blobs/"+good.String() {
		t.Errorf("%q %v %s", b, err, asked)
	}
	if _, err := r.Blob(t.Context(), digest.OfString("other"), 5); !errors.Is(err, fault.Checksum) {
		t.Errorf("other bytes: %v", err)
	}
	if _, err := r.Blob(t.Context(), good, 4); !errors.Is(err, fault.Limit) {
		t.Errorf("more bytes: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// Nobody is asked but the registry itself.
func TestElsewhere(t *testing.T) {
	reached := 0
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reached++; fmt.Fprint(w, `{"token":"x"}`) }))
	defer away.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, away.URL+"/x", http.StatusFound) },
		"realm": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+away.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
	} {
		r, _ := registry(t, answer)
		if _, err := r.Blob(t.Context(), digest.OfString("bytes"), 5); !errors.Is(err, fault.ForeignHost) || reached != 0 {
			t.Errorf("%s: %v, reached %d times", name, err, reached)
		}
	}
}

func TestRefusedTokens(t *testing.T) {
	for name, c := range map[string]struct{ challenge, token string }{
		"password":   {`Basic realm="x"`, ""},
		"no realm":   {`Bearer service="x"`, ""},
		"no token":   {`Bearer realm="http://HOST/token"`, `{}`},
		"line break": {`Bearer realm="http://HOST/token"`, `{"token":"a\nb"}`},
		"not enough": {`Bearer realm="http://HOST/token"`, `{"token":"ab"}`},
		"no JSON":    {`Bearer realm="http://HOST/token"`, `token`},
	} {
		r, _ := registry(t, func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/token" {
				fmt.Fprint(w, c.token)
				return
			}
			w.Header().Set("WWW-Authenticate", strings.ReplaceAll(c.challenge, "HOST", q.Host))
			w.WriteHeader(http.StatusUnauthorized)
		})
		if _, err := r.Manifest(t.Context(), digest.OfString("bytes"), 0); !errors.Is(err, fault.Credential) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyLoopbackInTheClear(t *testing.T) {
	for host, clear := range map[string]bool{"localhost:5000": true, "127.0.0.1": true, "[::1]:5000": true, "registry.example": false, "127.0.0.1.example": false, "10.0.0.1:5000": false} {
		if loopback(host) != clear {
			t.Errorf("%s: in the clear is %t", host, !clear)
		}
	}
}
