package cli_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

// newSumDB serves a checksum database for the modules of a proxy, and returns
// what GOSUMDB has to say.
func newSumDB(t *testing.T, proxy string) string {
	t.Helper()
	signer, verifier, err := note.GenerateKey(rand.Reader, "sumdb.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ops := sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		return goSum(dir, proxy, path, version)
	})
	h := sumdb.NewServer(ops)
	mux := http.NewServeMux()
	for _, p := range sumdb.ServerPaths {
		mux.Handle(p, h)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return verifier + " " + srv.URL
}

// goSum makes the go.sum lines of a module that the proxy has.
func goSum(dir, proxy, path, version string) ([]byte, error) {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return nil, err
	}
	base := proxy + "/" + escaped + "/@v/" + version
	zip := filepath.Join(dir, "module.zip")
	if err := download(base+".zip", zip); err != nil {
		return nil, err
	}
	sum, err := dirhash.HashZip(zip, dirhash.Hash1)
	if err != nil {
		return nil, err
	}
	mod := filepath.Join(dir, "go.mod")
	if err := download(base+".mod", mod); err != nil {
		return nil, err
	}
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return os.Open(mod) })
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, sum, path, version, modSum), nil
}

func download(url, file string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return os.ErrNotExist // the only thing that the proxy has to say no to
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, resp.Body)
	return err
}
