// Package image unpacks container images that are named by digest, for zones
// that use an image's programs in place of the host's.
//
//	layout:DIR@sha256:...                an OCI image layout on this machine
//	registry.example/name@sha256:...     a repository; the gateway brings the bytes
//
// A tag is no name: what it stands for changes. Every blob is compared with its
// digest and its size, and every layer also with what the image's configuration
// says of it unpacked. An image is hostile: nothing is written outside of its
// own directory, links are data, owners and set-id bits are left out, and what
// is no file, directory or link is refused. Of the configuration only PATH
// counts.
//
// An unpacked image is kept below the digest that it was asked for by. When
// stat says another thing of any of its files than after it was unpacked, it is
// unpacked anew.
//
// It follows the OCI image specification 1.1. It does not promise that an
// image's programs are harmless: a zone holds them like any other code.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/package-url/packageurl-go"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
)

// Error is an image that cannot be used.
type Error struct {
	Code string // one of the constants below
	What string
	Do   string // what to do about it; may be empty
	Err  error
}

// The codes of errors.
const (
	CodeRef      = "image.ref"      // the name of an image is wrong
	CodeTag      = "image.tag"      // it names a tag
	CodeMissing  = "image.missing"  // there is no such layout, image or blob
	CodeDigest   = "image.digest"   // bytes are not what their digest, or their size, says
	CodePlatform = "image.platform" // it has nothing for this machine
	CodeRefused  = "image.refused"  // malformed, too large, or not safe to unpack
)

// Error says what is wrong, and why.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.What + ": " + e.Err.Error()
	}
	return e.What
}

func (e *Error) Unwrap() error { return e.Err }

func refused(format string, args ...any) error {
	return &Error{Code: CodeRefused, What: fmt.Sprintf(format, args...)}
}

// Ref names an image.
type Ref struct {
	Layout string // directory of an OCI image layout; empty: Host and Name
	Host   string // registry, with port where it has one
	Name   string // repository
	Digest digest.Digest
}

// layoutPrefix begins the names of images in a layout.
const layoutPrefix = "layout:"

// repository is a repository's name, as the OCI distribution specification 1.1
// has it, and host the part before it.
var (
	repository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	host       = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]{1,5})?$|^\[[0-9a-fA-F:]+\](:[0-9]{1,5})?$`)
)

// Parse reads the name of an image. A tag is refused; in a layout it is looked
// up, so that the error tells the digest to write.
func Parse(text string) (Ref, error) {
	name, sum, pinned := strings.Cut(text, "@")
	dir, inLayout := strings.CutPrefix(name, layoutPrefix)
	if !pinned {
		return Ref{}, tagged(text, dir, inLayout)
	}
	d, err := digest.Parse(sum)
	if err != nil || d.IsZero() {
		return Ref{}, &Error{Code: CodeRef, What: fmt.Sprintf("image %q", text), Err: digest.ErrSyntax}
	}
	if inLayout {
		if dir == "" || strings.ContainsRune(dir, 0) {
			return Ref{}, &Error{Code: CodeRef, What: fmt.Sprintf("image %q names no directory", text)}
		}
		return Ref{Layout: dir, Digest: d}, nil
	}
	at, repo, _ := strings.Cut(name, "/")
	if strings.Contains(repo, ":") {
		return Ref{}, &Error{Code: CodeTag, What: fmt.Sprintf("image %q has a tag beside its digest", text), Do: "leave the tag out"}
	}
	// A name without a host would be looked for at a place that nobody wrote.
	if !host.MatchString(at) || !strings.ContainsAny(at, ".:") && at != "localhost" || !repository.MatchString(repo) || len(repo) > 255 {
		return Ref{}, &Error{Code: CodeRef, What: fmt.Sprintf("image %q is neither layout:DIR@sha256:... nor registry.example/name@sha256:...", text)}
	}
	return Ref{Host: strings.ToLower(at), Name: repo, Digest: d}, nil
}

// tagged is the error for a name without a digest.
func tagged(text, dir string, inLayout bool) error {
	e := &Error{Code: CodeTag, What: fmt.Sprintf("image %q is not named by digest: what a tag stands for changes", text), Do: "write it with its digest: NAME@sha256:..."}
	if !inLayout {
		return e
	}
	name, tag := dir, ""
	if i := strings.LastIndexByte(dir, ':'); i > strings.LastIndexByte(dir, '/') {
		name, tag = dir[:i], dir[i+1:]
	}
	if d, ok := lookUp(name, tag); ok {
		e.Do = fmt.Sprintf("write the digest that it stands for now: %s%s@%s", layoutPrefix, name, d)
	}
	return e
}

// String is the name as Parse reads it.
func (r Ref) String() string {
	if r.Layout != "" {
		return layoutPrefix + r.Layout + "@" + r.Digest.String()
	}
	return r.Host + "/" + r.Name + "@" + r.Digest.String()
}

// PURL is the image's package URL. It holds no path of this machine but the last
// part of a layout's.
func (r Ref) PURL() string {
	name, where := path.Base(r.Name), packageurl.Qualifiers(nil)
	if r.Layout != "" {
		abs, err := filepath.Abs(r.Layout)
		if err != nil {
			abs = r.Layout
		}
		name = strings.ToLower(filepath.Base(abs))
	} else {
		where = packageurl.Qualifiers{{Key: "repository_url", Value: r.Host + "/" + r.Name}}
	}
	return packageurl.NewPackageURL("oci", "", name, r.Digest.String(), where, "").ToString()
}

// Blobs gives the bytes of an image, which the caller compares with their
// digest. Of the image itself, be it an index or a manifest, the size is not
// known: 0.
type Blobs interface {
	Manifest(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error)
	Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error)
}

// Image is an unpacked image.
type Image struct {
	Ref      Ref           `json:"-"`
	Root     string        `json:"-"`        // directory of its files, to be read only
	Manifest digest.Digest `json:"manifest"` // the image for this machine's platform
	Platform string        `json:"platform"` // linux/amd64
	Path     []string      `json:"path"`     // PATH of its configuration
}

// Toolchain is what an image is to the evidence: the programs that a zone saw.
func (i *Image) Toolchain() evidence.Toolchain {
	return evidence.Toolchain{Name: "image", Version: i.Platform, Path: "/", URI: i.Ref.PURL(), Digest: i.Manifest}
}

// errTooLong is what a blob gives that does not end where it should.
var errTooLong = errors.New("more bytes than its size says")
