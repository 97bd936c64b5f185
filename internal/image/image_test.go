package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	digests "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sallyport/sallyport/internal/digest"
)

// file is one entry of a layer; kind 0 is a regular file.
type file struct {
	name string
	kind byte
	body string // content, or where a link leads
	mode int64
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: f.mode, Uid: 7, ModTime: time.Unix(1_000_000_000, 0)}
		switch f.kind {
		case 0:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.body))
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname = f.body
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if f.kind == 0 {
			if _, err := w.Write([]byte(f.body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// layout is an image layout under construction. The fields are changed by tests
// before image is called.
type layout struct {
	t        testing.TB
	dir      string
	manifest v1.Manifest
	config   v1.Image
}

func newLayout(t testing.TB, layers ...[]byte) *layout {
	t.Helper()
	l := &layout{t: t, dir: t.TempDir()}
	l.write(v1.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	l.config.Platform = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	l.config.Config.Env = []string{"PATH=/opt/bin:relative:/bin/../sbin", "LD_PRELOAD=/x"}
	l.manifest = v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	for i, b := range layers {
		kind, stored := v1.MediaTypeImageLayer, b
		if i%2 == 1 {
			kind, stored = v1.MediaTypeImageLayerGzip, packed(t, b)
		}
		l.manifest.Layers = append(l.manifest.Layers, l.blob(kind, stored))
		l.config.RootFS.DiffIDs = append(l.config.RootFS.DiffIDs, digests.FromBytes(b))
	}
	return l
}

func packed(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (l *layout) write(name string, b []byte) {
	l.t.Helper()
	p := filepath.Join(l.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, b, 0o644)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *layout) blob(kind string, b []byte) v1.Descriptor {
	d := digests.FromBytes(b)
	l.write("blobs/sha256/"+d.Encoded(), b)
	return v1.Descriptor{MediaType: kind, Digest: d, Size: int64(len(b))}
}

func (l *layout) json(kind string, v any) v1.Descriptor {
	l.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.blob(kind, b)
}

// image writes the documents and gives the manifest.
func (l *layout) image() v1.Descriptor {
	if l.manifest.Config.Digest == "" {
		l.manifest.Config = l.json(v1.MediaTypeImageConfig, l.config)
	}
	return l.json(v1.MediaTypeImageManifest, l.manifest)
}

func (l *layout) open(s Store, d digests.Digest) (*Image, error) {
	l.t.Helper()
	sum, err := digest.Parse(string(d))
	if err != nil {
		l.t.Fatal(err)
	}
	return s.Open(l.t.Context(), Ref{Layout: l.dir, Digest: sum}, Layout(l.dir))
}

// unpacked opens an image that has to be good.
func (l *layout) unpacked() *Image {
	l.t.Helper()
	img, err := l.open(Store{Dir: l.t.TempDir()}, l.image().Digest)
	if err != nil {
		l.t.Fatal(err)
	}
	return img
}

// refuse opens an image that must not be taken, and wants its code and nothing
// left of it.
func (l *layout) refuse(code string) {
	l.t.Helper()
	s := Store{Dir: l.t.TempDir()}
	_, err := l.open(s, l.image().Digest)
	wantCode(l.t, err, code)
	left, globErr := filepath.Glob(filepath.Join(s.Dir, "*"))
	if globErr != nil || len(left) != 1 || filepath.Base(left[0]) != "lock" {
		l.t.Errorf("left: %v %v", left, globErr)
	}
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// listing is a text of everything below a directory.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %s", info.Mode(), rel)
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += "=" + string(b)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			line = rel + " -> " + to
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

func TestUnpack(t *testing.T) {
	l := newLayout(t,
		archive(t,
			file{"./", tar.TypeDir, "", 0o700}, file{"usr/bin/", tar.TypeDir, "", 0o2700}, file{"./usr/bin/a", 0, "A", 0o6711},
			file{"bin", tar.TypeSymlink, "/usr/bin", 0}, file{"usr/text", 0, "T", 0o600}, file{"up", tar.TypeSymlink, "../../../usr", 0},
			file{"usr/abs", tar.TypeSymlink, "/usr/bin", 0}, file{"usr/abs/d", 0, "D", 0}),
		archive(t, file{"bin/b", 0, "B", 0o755}, file{"up/c", 0, "C", 0o644}, file{"usr/bin/same", tar.TypeLink, "bin/a", 0}))
	img := l.unpacked()
	want := `bin -> /usr/bin
up -> ../../../usr
drwxr-xr-x usr
usr/abs -> /usr/bin
drwxr-xr-x usr/bin
-rwxr-xr-x usr/bin/a=A
-rwxr-xr-x usr/bin/b=B
-rw-r--r-- usr/bin/d=D
-rwxr-xr-x usr/bin/same=A
-rw-r--r-- usr/c=C
-rw-r--r-- usr/text=T`
	if got := listing(t, img.Root); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	info, err := os.Stat(filepath.Join(img.Root, "usr/text"))
	if err != nil || info.ModTime().Unix() != 1_000_000_000 {
		t.Errorf("modified %v, %v", info.ModTime(), err)
	}
	if got := strings.Join(img.Path, ":"); got != "/opt/bin:/sbin" {
		t.Errorf("PATH %s", got)
	}
}

func TestWhiteouts(t *testing.T) {
	l := newLayout(t,
		archive(t, file{"a", 0, "1", 0}, file{"d/one", 0, "1", 0}, file{"d/sub/two", 0, "2", 0}, file{"e/three", 0, "3", 0}, file{"k", 0, "k", 0}),
		// What takes away stands before, after and beside what the same layer makes.
		archive(t, file{".wh.a", 0, "", 0}, file{"d/sub/new", 0, "n", 0}, file{"d/.wh..wh..opq", 0, "", 0}, file{"d/last", 0, "l", 0},
			file{"e/four", 0, "4", 0}, file{".wh.e", 0, "", 0}, file{".wh..wh.plnk", tar.TypeDir, "", 0}, file{".wh.never", 0, "", 0}))
	want := `drwxr-xr-x d
-rw-r--r-- d/last=l
drwxr-xr-x d/sub
-rw-r--r-- d/sub/new=n
drwxr-xr-x e
-rw-r--r-- e/four=4
-rw-r--r-- k=k`
	if got := listing(t, l.unpacked().Root); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Each of these is a layer that must not be unpacked.
func TestRefusedLayers(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat("d/", 64) + "f"
	for name, files := range map[string][]file{
		"up":                   {{"../x", 0, "", 0}},
		"up within":            {{"a/../../x", 0, "", 0}},
		"up, harmless":         {{"a/../b", 0, "", 0}},
		"absolute":             {{"/x", 0, "", 0}},
		"whiteout of ..":       {{"a/.wh...", 0, "", 0}},
		"whiteout of .":        {{"a/.wh..", 0, "", 0}},
		"whiteout of nothing":  {{"a/.wh.", 0, "", 0}},
		"whiteout above":       {{"../.wh.x", 0, "", 0}},
		"hard link out":        {{"l", tar.TypeLink, outside, 0}},
		"hard link up":         {{"l", tar.TypeLink, "../../outside", 0}},
		"hard link by link":    {{"s", tar.TypeSymlink, outside, 0}, {"l", tar.TypeLink, "s", 0}},
		"hard link to nothing": {{"l", tar.TypeLink, "none", 0}},
		"hard link to dir":     {{"d", tar.TypeDir, "", 0}, {"l", tar.TypeLink, "d", 0}},
		"device":               {{"null", tar.TypeChar, "", 0}},
		"block device":         {{"sda", tar.TypeBlock, "", 0}},
		"pipe":                 {{"p", tar.TypeFifo, "", 0}},
		"twice":                {{"a", 0, "1", 0}, {"a", 0, "2", 0}},
		"twice, one way round": {{"a", 0, "1", 0}, {"./a", tar.TypeSymlink, "b", 0}},
		"directory is a file":  {{"a", 0, "1", 0}, {"a/b", 0, "2", 0}},
		"links in a circle":    {{"a", tar.TypeSymlink, "b", 0}, {"b", tar.TypeSymlink, "a", 0}, {"a/x", 0, "", 0}},
		"long name":            {{strings.Repeat("n", 256), 0, "", 0}},
		"deep":                 {{deep, 0, "", 0}},
		"empty link":           {{"l", tar.TypeSymlink, "", 0}},
	} {
		t.Run(name, func(t *testing.T) { newLayout(t, archive(t, files...)).refuse(CodeRefused) })
	}
}

// A link leads nowhere outside while the image is unpacked, wherever it points.
func TestLinksStayInside(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "kept"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	img := newLayout(t, archive(t,
		file{"abs", tar.TypeSymlink, outside, 0}, file{"abs/written", 0, "w", 0}, file{"abs/.wh.kept", 0, "", 0},
		file{"up", tar.TypeSymlink, strings.Repeat("../", 30) + outside[1:], 0}, file{"up/too", 0, "w", 0})).unpacked()
	if got := listing(t, outside); got != "-rw------- kept=x" {
		t.Errorf("outside: %s", got)
	}
	for _, name := range []string{"written", "too"} {
		if _, err := os.Stat(filepath.Join(img.Root, outside, name)); err != nil {
			t.Errorf("not where the link leads in the image: %v", err)
		}
	}
}

// flip changes one byte of a blob on disk.
func (l *layout) flip(d digests.Digest) {
	l.t.Helper()
	p := filepath.Join(l.dir, "blobs/sha256", d.Encoded())
	b, err := os.ReadFile(p)
	if err != nil {
		l.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	l.write("blobs/sha256/"+d.Encoded(), b)
}

func TestWrongBytes(t *testing.T) {
	layers := [][]byte{archive(t, file{"a", 0, strings.Repeat("1", 3000), 0}), archive(t, file{"b", 0, "2", 0})}
	for name, c := range map[string]struct {
		change func(l *layout)
		code   string
	}{
		"plain layer":       {func(l *layout) { l.flip(l.manifest.Layers[0].Digest) }, CodeDigest},
		"packed layer":      {func(l *layout) { l.flip(l.manifest.Layers[1].Digest) }, CodeDigest},
		"layer too short":   {func(l *layout) { l.manifest.Layers[0].Size++ }, CodeDigest},
		"layer too long":    {func(l *layout) { l.manifest.Layers[0].Size-- }, CodeDigest},
		"other unpacked":    {func(l *layout) { l.config.RootFS.DiffIDs[1] = digests.FromString("x") }, CodeDigest},
		"no layer":          {func(l *layout) { l.manifest.Layers[0].Digest = digests.FromString("x") }, CodeMissing},
		"negative size":     {func(l *layout) { l.manifest.Layers[0].Size = -1 }, CodeRefused},
		"huge size":         {func(l *layout) { l.manifest.Layers[0].Size = maxLayer + 1 }, CodeRefused},
		"another algorithm": {func(l *layout) { l.manifest.Layers[0].Digest = digests.Digest("sha512:" + strings.Repeat("0", 128)) }, CodeRefused},
		"zstd":              {func(l *layout) { l.manifest.Layers[0].MediaType = v1.MediaTypeImageLayerZstd }, CodeRefused},
		"not packed":        {func(l *layout) { l.manifest.Layers[0].MediaType = v1.MediaTypeImageLayerGzip }, CodeRefused},
		"a diff too few":    {func(l *layout) { l.config.RootFS.DiffIDs = l.config.RootFS.DiffIDs[:1] }, CodeRefused},
		"no layers":         {func(l *layout) { l.manifest.Layers, l.config.RootFS.DiffIDs = nil, nil }, CodeRefused},
		"too many layers":   {func(l *layout) { l.manifest.Layers = make([]v1.Descriptor, maxLayers+1) }, CodeRefused},
		"another machine":   {func(l *layout) { l.config.Architecture = "pdp11" }, CodePlatform},
		"an artifact":       {func(l *layout) { l.manifest.MediaType = "application/vnd.example" }, CodeRefused},
		"schema 1":          {func(l *layout) { l.manifest.SchemaVersion = 1 }, CodeRefused},
		"changed configuration": {func(l *layout) {
			l.manifest.Config = l.json(v1.MediaTypeImageConfig, l.config)
			l.flip(l.manifest.Config.Digest)
		}, CodeDigest},
		"size of configuration": {func(l *layout) {
			l.manifest.Config = l.json(v1.MediaTypeImageConfig, l.config)
			l.manifest.Config.Size++
		}, CodeDigest},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t, layers...)
			c.change(l)
			l.refuse(c.code)
		})
	}
	l := newLayout(t, layers...)
	d := l.image().Digest
	l.flip(d)
	_, err := l.open(Store{Dir: t.TempDir()}, d)
	wantCode(t, err, CodeDigest)
}

func TestNoLayout(t *testing.T) {
	for _, text := range []string{`{"imageLayoutVersion":"2.0.0"}`, `{}`, ``} {
		l := newLayout(t, archive(t, file{"a", 0, "1", 0}))
		l.write(v1.ImageLayoutFile, []byte(text))
		l.refuse(CodeMissing)
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		left limits
		good bool
	}{
		"within":  {limits{2, 1 << 20, 64}, true},
		"entries": {limits{1, 1 << 20, 64}, false},
		"bytes":   {limits{2, 2000, 64}, false},
		"depth":   {limits{2, 1 << 20, 1}, false},
	} {
		l := newLayout(t, archive(t, file{"a/b", 0, strings.Repeat("x", 1000), 0}, file{"c", 0, "", 0}))
		sum, err := digest.Parse(string(l.image().Digest))
		if err != nil {
			t.Fatal(err)
		}
		found, err := read(t.Context(), Layout(l.dir), sum)
		if err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		u := tree{root: root, left: c.left}
		if err = u.unpack(t.Context(), Layout(l.dir), found.layers); c.good != (err == nil) {
			t.Errorf("%s: %v", name, err)
		} else if !c.good {
			wantCode(t, err, CodeRefused)
		}
		root.Close()
	}
}

// What stands behind the end of an archive counts, too: it unpacks as well.
func TestBombBehindTheEnd(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	l := newLayout(t, nil, append(archive(t, file{"a", 0, "1", 0}), make([]byte, 1<<20)...))
	d, err := digest.Parse(string(l.manifest.Layers[1].Digest))
	if err != nil {
		t.Fatal(err)
	}
	u := tree{root: root, left: limits{10, 100 << 10, 64}}
	wantCode(t, u.layer(t.Context(), Layout(l.dir), layer{digest: d, size: l.manifest.Layers[1].Size, gzipped: true}), CodeRefused)
}

func TestIndex(t *testing.T) {
	l := newLayout(t, archive(t, file{"a", 0, "1", 0}))
	m := l.image()
	m.Platform = &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	other := v1.Descriptor{MediaType: m.MediaType, Digest: digests.FromString("x"), Size: 1, Platform: &v1.Platform{OS: "linux", Architecture: "pdp11"}}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{other, m}}
	d := l.json(v1.MediaTypeImageIndex, index).Digest
	img, err := l.open(Store{Dir: t.TempDir()}, d)
	if err != nil || img.Manifest.String() != string(m.Digest) {
		t.Fatalf("%+v %v", img, err)
	}
	tool := img.Toolchain()
	if tool.Digest != img.Manifest || !strings.HasPrefix(tool.URI, "pkg:oci/") || !strings.Contains(tool.URI, d.Encoded()) {
		t.Errorf("%+v", tool)
	}
	index.Manifests = []v1.Descriptor{other, other}
	_, err = l.open(Store{Dir: t.TempDir()}, l.json(v1.MediaTypeImageIndex, index).Digest)
	wantCode(t, err, CodePlatform)
	both := map[string]any{"schemaVersion": 2, "manifests": []any{m}, "layers": []any{}}
	_, err = l.open(Store{Dir: t.TempDir()}, l.json("", both).Digest)
	wantCode(t, err, CodeRefused)
}

// The evidence names the place that an image was asked for at, so one that was
// unpacked already has to be there, too.
func TestKeptIsOfThePlaceThatIsNamed(t *testing.T) {
	l := newLayout(t, archive(t, file{"a", 0, "1", 0}))
	s := Store{Dir: t.TempDir()}
	img, err := l.open(s, l.image().Digest)
	if err != nil {
		t.Fatal(err)
	}
	other := newLayout(t, archive(t, file{"b", 0, "2", 0}))
	other.image()
	named := Ref{Host: "registry.example", Name: "tools/cc", Digest: img.Ref.Digest}
	var e *Error
	if got, err := s.Open(t.Context(), named, Layout(other.dir)); !errors.As(err, &e) || e.Code != CodeMissing {
		t.Errorf("a place that does not have it: %+v, %v", got, err)
	}
	if got, err := s.Open(t.Context(), named, Layout(l.dir)); err != nil || got.Root != img.Root || got.Ref != named {
		t.Errorf("a place that has it: %+v, %v", got, err)
	}
}

func TestKept(t *testing.T) {
	l := newLayout(t, archive(t, file{"a", 0, "1", 0}))
	s, d := Store{Dir: t.TempDir()}, l.image().Digest
	img, err := l.open(s, d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Open(t.Context(), img.Ref, nil) // nothing is asked for again
	if err != nil || again.Root != img.Root || again.Manifest != img.Manifest || strings.Join(again.Path, ":") != strings.Join(img.Path, ":") {
		t.Fatalf("%+v %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(img.Root, "a"), []byte("2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.Dir, "new-left"), 0o700); err != nil {
		t.Fatal(err)
	}
	if img, err = l.open(s, d); err != nil || listing(t, img.Root) != "-rw-r--r-- a=1" {
		t.Errorf("after a change: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "new-left")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what another process left: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Store{Dir: t.TempDir()}).Open(ctx, img.Ref, Layout(l.dir)); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
}

func TestParse(t *testing.T) {
	const sum = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, name := range []string{"layout:img" + sum, "layout:/a:b/img" + sum, "registry.example/a/b-c" + sum, "localhost/x" + sum, "[::1]:5000/x" + sum, "127.0.0.1:5000/x" + sum} {
		if r, err := Parse(name); err != nil || r.String() != name {
			t.Errorf("%s: %v %v", name, r, err)
		}
	}
	for name, code := range map[string]string{
		"":                                 CodeTag,
		"registry.example/x":               CodeTag,
		"registry.example/x:v1":            CodeTag,
		"registry.example/x:v1" + sum:      CodeTag,
		"layout:img":                       CodeTag,
		"layout:" + sum:                    CodeRef,
		"layout:img@sha256:12":             CodeRef,
		"layout:img@sha512:12":             CodeRef,
		"x" + sum:                          CodeRef,
		"a/b" + sum:                        CodeRef,
		"registry.example/../x" + sum:      CodeRef,
		"registry.example/X" + sum:         CodeRef,
		"registry.example//x" + sum:        CodeRef,
		"user:pw@registry.example/x" + sum: CodeRef,
		"registry.example/x?y" + sum:       CodeRef,
		"https://registry.example/x" + sum: CodeRef,
	} {
		_, err := Parse(name)
		if err == nil {
			t.Errorf("%q is taken", name)
			continue
		}
		wantCode(t, err, code)
	}
}

// FuzzUnpack gives the unpacker any bytes as a layer: what it takes or refuses,
// it leaves nothing outside and nothing that is no file, directory or link.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, file{"a/b", 0, "x", 0o6777}, file{"l", tar.TypeSymlink, "../..", 0}, file{"l/c", 0, "y", 0}, file{"a/.wh.b", 0, "", 0}))
	f.Add(archive(f, file{"../x", 0, "", 0}))
	f.Add(archive(f, file{"h", tar.TypeLink, "/etc/passwd", 0}, file{"d", tar.TypeChar, "", 0}))
	f.Add(packed(f, archive(f, file{"s", tar.TypeSymlink, "/", 0}, file{"s/.wh..wh..opq", 0, "", 0})))
	f.Fuzz(func(t *testing.T, b []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "root")
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(outer, "kept"), []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		u := tree{root: root, left: limits{200, 1 << 20, 16}}
		_ = u.archive(bytes.NewReader(b))
		if entries, err := os.ReadDir(outer); err != nil || len(entries) != 2 {
			t.Fatalf("outside: %v %v", entries, err)
		}
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			info, err := d.Info()
			if err != nil {
				t.Fatal(err)
			}
			if bad := info.Mode() &^ (fs.ModePerm | fs.ModeDir | fs.ModeSymlink); bad != 0 {
				t.Fatalf("%s has the mode %s", p, info.Mode())
			}
			return nil
		})
	})
}

// FuzzManifest gives the reader any bytes as documents of an image.
func FuzzManifest(f *testing.F) {
	l := newLayout(f, archive(f, file{"a", 0, "1", 0}))
	l.image()
	for _, v := range []any{l.manifest, l.config, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{{}}}} {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if kind, err := kindOf(b); err == nil && kind == "" {
			t.Fatal("no error and no kind")
		}
		_, _ = choose(b)
		var c contents
		var m v1.Manifest
		if json.Unmarshal(b, &c.config) == nil && json.Unmarshal(b, &m) == nil && c.takeLayers(m.Layers) == nil {
			for _, l := range c.layers {
				if l.digest.IsZero() || l.plain.IsZero() || l.size < 0 || l.size > maxLayer {
					t.Fatalf("%+v", l)
				}
			}
		}
		for _, dir := range c.searchPath() {
			if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
				t.Fatalf("PATH holds %q", dir)
			}
		}
	})
}
