// Package keyfile keeps private keys as files of one directory.
//
// The directory has mode 0700 and each key 0600; a directory or key that
// someone else can read or that someone else owns is refused, never mended,
// since it may have been read already. A key is made on first use, under a lock,
// so that processes that start together end up with one key. Certificates and
// public keys lie beside the private ones in the same form of file.
package keyfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSize bounds what is read from a key file; a P-256 key takes 241 bytes.
const maxSize = 64 << 10

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// ErrExposed reports a key or its directory that others than its owner can reach.
var ErrExposed = errors.New("private key is open to others")

// Dir is a directory of keys.
type Dir struct{ path string }

// Open makes the directory when it is absent and refuses one that others than
// its owner, who must be the caller, can list or enter.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make key directory: %w", err)
	}
	st, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("read key directory: %w", err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("key directory %s is not a directory", path)
	}
	if err := private(path, st); err != nil {
		return nil, err
	}
	return &Dir{path: path}, nil
}

// Path returns the path of the named file.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Read returns a file of the directory, or an error that wraps fs.ErrNotExist.
func (d *Dir) Read(name string) ([]byte, error) {
	f, err := os.OpenFile(d.Path(name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s is not a regular file", f.Name())
	}
	if err := private(f.Name(), st); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("key file %s is larger than %d bytes", f.Name(), maxSize)
	}
	return b, nil
}

// Write puts a file in its place atomically and durably.
func (d *Dir) Write(name string, b []byte) error {
	tmp := d.Path("." + name + ".new")
	if err := writeSynced(tmp, b); err != nil {
		return fmt.Errorf("write key file %s: %w", name, err)
	}
	if err := os.Rename(tmp, d.Path(name)); err != nil {
		return fmt.Errorf("write key file %s: %w", name, err)
	}
	return d.sync()
}

// Lock waits for the named lock of the directory and returns its release. The
// lock excludes other processes and other holders in this one.
func (d *Dir) Lock(name string) (release func(), err error) {
	f, err := os.OpenFile(d.Path(name), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := Flock(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Flock takes an exclusive flock(2) lock of f; closing f releases it.
func Flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// LoadOrMake returns the named file, which is made with mk on first use. The
// caller holds the directory's lock.
func (d *Dir) LoadOrMake(name string, mk func() ([]byte, error)) ([]byte, error) {
	b, err := d.Read(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b, err = mk(); err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	if err := d.Write(name, b); err != nil {
		return nil, err
	}
	return b, nil
}

// ECDSA returns the named P-256 key (PKCS#8 in PEM), made on first use. The
// caller holds the directory's lock.
func (d *Dir) ECDSA(name string) (*ecdsa.PrivateKey, error) {
	b, err := d.LoadOrMake(name, makeECDSA)
	if err != nil {
		return nil, err
	}
	k, err := ParseECDSA(b)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", d.Path(name), err)
	}
	return k, nil
}

// ParseECDSA reads one P-256 private key as PKCS#8 in PEM, and nothing else.
func ParseECDSA(b []byte) (*ecdsa.PrivateKey, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not one PKCS#8 private key in PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	ec, ok := k.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, errors.New("not an ECDSA P-256 key")
	}
	return ec, nil
}

func makeECDSA() ([]byte, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func (d *Dir) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("sync key directory: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync key directory: %w", err)
	}
	return nil
}

// private tells whether only the caller can reach what st describes.
func private(path string, st fs.FileInfo) error {
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %#o, chmod go= it after replacing its keys: %w", path, st.Mode().Perm(), ErrExposed)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d: %w", path, sys.Uid, ErrExposed)
	}
	return nil
}
