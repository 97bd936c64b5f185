package keyfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestKeysAreMadeOnceAndPrivate(t *testing.T) {
	d := open(t)
	var wg sync.WaitGroup
	keys := make([][]byte, 8)
	for i := range keys {
		wg.Go(func() {
			release, err := d.Lock(".lock")
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			k, err := d.ECDSA("a.key")
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = k.D.Bytes()
		})
	}
	wg.Wait()
	for _, k := range keys {
		if !bytes.Equal(k, keys[0]) {
			t.Fatal("two keys were made for one name")
		}
	}
	for path, mode := range map[string]fs.FileMode{d.path: 0o700, d.Path("a.key"): 0o600} {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v (%v)", path, st.Mode().Perm(), mode, err)
		}
	}
}

func TestExposedIsRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o601, 0o610} {
		d := open(t)
		if err := d.Write("k", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d.Path("k"), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read("k"); !errors.Is(err, ErrExposed) {
			t.Errorf("file of mode %v: %v, want ErrExposed", mode, err)
		}
		if err := os.Chmod(d.path, mode|0o100); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(d.path); !errors.Is(err, ErrExposed) {
			t.Errorf("directory of mode %v: %v, want ErrExposed", mode|0o100, err)
		}
	}
}

func TestForeignOwnerIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: needs root")
	}
	d := open(t)
	if err := d.Write("k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(d.Path("k"), 2000, 2000); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read("k"); !errors.Is(err, ErrExposed) {
		t.Errorf("file of another user: %v, want ErrExposed", err)
	}
	if err := os.Chown(d.path, 2000, 2000); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(d.path); !errors.Is(err, ErrExposed) {
		t.Errorf("directory of another user: %v, want ErrExposed", err)
	}
}

func TestOnlyPlainFilesAreRead(t *testing.T) {
	d := open(t)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.Symlink(outside, d.Path("link")),
		os.Mkdir(d.Path("dir"), 0o700),
		os.WriteFile(d.Path("large"), make([]byte, maxSize+1), 0o600),
		os.Symlink(d.path, filepath.Join(filepath.Dir(d.path), "keys2")),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "dir", "large", "absent"} {
		if _, err := d.Read(name); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if _, err := d.Read("absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if _, err := Open(filepath.Join(filepath.Dir(d.path), "keys2")); err == nil {
		t.Error("a link was opened as the directory of keys")
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	d := open(t)
	if _, err := d.ECDSA("good"); err != nil {
		t.Fatal(err)
	}
	good, err := d.Read("good")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty": nil,
		"two":   append(bytes.Clone(good), good...),
		"cut":   good[:len(good)/2],
		"type":  bytes.ReplaceAll(good, []byte("PRIVATE"), []byte("PUBLIC")),
		"p384":  p384(t),
	} {
		if err := d.Write(name, b); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ECDSA(name); err == nil {
			t.Errorf("%s was taken for a key", name)
		}
	}
}

func TestFailedMakeLeavesNothing(t *testing.T) {
	d := open(t)
	if _, err := d.LoadOrMake("k", func() ([]byte, error) { return nil, errors.New("no luck") }); err == nil {
		t.Error("no error")
	}
	if _, err := os.Lstat(d.Path("k")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

func FuzzParseECDSA(f *testing.F) {
	b, err := makeECDSA()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(p384(f))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = ParseECDSA(b) })
}

// p384 returns a sound key of another curve.
func p384(t testing.TB) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
