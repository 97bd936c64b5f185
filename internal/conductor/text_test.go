package conductor

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/toolchain"
)

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                     "plain",
		"tab\there":                 "tab\there",
		"grün":                      "grün",
		"\x1b[31mred\x1b[0m":        "red",
		"\x1b[2Jgone":               `\x1b[2Jgone`,
		"\x1b]0;title\a":            `\x1b]0;title\x07`,
		"\x1b[":                     `\x1b[`,
		"a\x00b\x7f":                `a\x00b\x7f`,
		"\xff\xfe":                  `\xff\xfe`,
		"if \u202e":                 `if \u202e`,
		"c1 \u009b31m":              `c1 \u009b31m`,
		"::set-output name=a::b":    `\::set-output name=a::b`,
		"  ::add-path::/x":          `  \::add-path::/x`,
		"x ##vso[task.setvariable]": `x #\#vso[task.setvariable]`,
		"##[group]":                 `#\#[group]`,
		"std::vector":               "std::vector",
	} {
		if got := harmless([]byte(in)); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzHarmless(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31m", "::x", "\xff", "\u202e"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := harmless(b)
		for _, r := range s {
			if unicode.IsControl(r) && r != '\t' || obeyed(r) || r == unicode.ReplacementChar && !bytes.ContainsRune(b, r) {
				t.Fatalf("%q became %q", b, s)
			}
		}
		if strings.HasPrefix(strings.TrimSpace(s), "::") || strings.Contains(s, "##[") || strings.Contains(s, "##vso[") {
			t.Fatalf("%q became %q, which a CI system obeys", b, s)
		}
	})
}

// logged writes text in pieces and returns what is kept and what was told.
func logged(t *testing.T, pieces ...string) (kept string, tail, told []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	l, err := newStageLog(path, time.Now, func(s string) { told = append(told, s) })
	must(t, err)
	for _, p := range pieces {
		io.WriteString(l, p)
	}
	tail, err = l.finish()
	must(t, err)
	l.f.Close()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b), tail, told
}

func TestLogKeepsLines(t *testing.T) {
	kept, tail, _ := logged(t, "one\ntw", "o\r\n", "10%\r50%\r100%\n", "end")
	if kept != "one\ntwo\n100%\nend\n" {
		t.Errorf("kept %q", kept)
	}
	if tail[len(tail)-1] != "end" {
		t.Errorf("tail %q", tail)
	}
}

func TestLogIsBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	kept, _, _ := logged(t, long, "\n", "next\n")
	if len(kept) > 2*maxLine || !strings.Contains(kept, "[cut]\nnext\n") {
		t.Errorf("a line of a megabyte keeps %d bytes", len(kept))
	}
	line := strings.Repeat("y", 8000) + "\n"
	kept, tail, _ := logged(t, strings.Repeat(line, maxLog/8000+10), "last\n")
	if len(kept) > maxLog+100 || tail[len(tail)-1] != "last" {
		t.Errorf("%d bytes kept, tail %.20q", len(kept), tail[len(tail)-1])
	}
}

func TestLogTellsTheNewestLineInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		l, err := newStageLog(filepath.Join(t.TempDir(), "log"), time.Now, func(s string) { told = append(told, s) })
		must(t, err)
		defer l.f.Close()
		io.WriteString(l, "1\n2\n3\n")
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(told, []string{"1", "3"}) {
			t.Errorf("told %q", told)
		}
		l.finish()
	})
}

func TestCountCases(t *testing.T) {
	for in, want := range map[string][2]int{
		`<testsuite tests="99" failures="0"><testcase/><testcase><failure/></testcase></testsuite>`:          {2, 1},
		`<testsuites><testsuite><testcase><error/><failure/></testcase><testcase/></testsuite></testsuites>`: {2, 1},
		`<testsuite/>`: {0, 0},
	} {
		total, failures, err := countCases(strings.NewReader(in))
		if err != nil || total != want[0] || failures != want[1] {
			t.Errorf("%s: %d, %d, %v", in, total, failures, err)
		}
	}
	for _, bad := range []string{
		"<a", "<a>&x;</a>" + "<", strings.Repeat("<a>", 100), `<?xml version="1.0" encoding="utf-7"?><a/>`, "\x00",
	} {
		if _, _, err := countCases(strings.NewReader(bad)); err == nil {
			t.Errorf("took %.40q", bad)
		}
	}
}

func FuzzCountCases(f *testing.F) {
	f.Add(`<testsuite><testcase><failure/></testcase></testsuite>`)
	f.Add(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`)
	f.Fuzz(func(t *testing.T, s string) {
		if total, failures, err := countCases(strings.NewReader(s)); err == nil && (failures > total || total > len(s)) {
			t.Errorf("%d of %d", failures, total)
		}
	})
}

func tarOf(t *testing.T, files ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		must(t, w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Format: tar.FormatUSTAR}))
		io.WriteString(w, files[i+1])
	}
	must(t, w.Close())
	return b.Bytes()
}

func zipOf(t *testing.T, files ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		must(t, err)
		io.WriteString(f, files[i+1])
	}
	must(t, w.Close())
	return b.Bytes()
}

func gzipOf(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

func TestDiffering(t *testing.T) {
	w := newWorld(t)
	r := &run{Conductor: w.c}
	for name, c := range map[string]struct {
		a, b []byte
		want []string
	}{
		"tar":   {tarOf(t, "x", "1", "y", "1"), tarOf(t, "x", "1", "y", "2"), []string{"y"}},
		"more":  {tarOf(t, "x", "1"), tarOf(t, "x", "1", "y", "2"), []string{"y (only in the second)"}},
		"tgz":   {gzipOf(tarOf(t, "x", "1")), gzipOf(tarOf(t, "x", "2")), []string{"x"}},
		"zip":   {zipOf(t, "x", "1"), zipOf(t, "z", "1"), []string{"x (only in the first)", "z (only in the second)"}},
		"order": {tarOf(t, "x", "1", "y", "1"), tarOf(t, "y", "1", "x", "1"), []string{"dist/a (order, times or modes inside the archive)"}},
		"bytes": {[]byte("same then a"), []byte("same then b"), []string{"dist/a (from byte 10)"}},
		"cut":   {tarOf(t, "x", "1")[:512], tarOf(t, "y", "1")[:512], []string{"dist/a (from byte 0)"}},
		"name":  {tarOf(t, "\x1b[2J", "1"), tarOf(t, "\x1b[2J", "2"), []string{`\x1b[2J`}},
	} {
		d1, _, err := w.c.Store.PutBlob(bytes.NewReader(c.a))
		must(t, err)
		d2, _, err := w.c.Store.PutBlob(bytes.NewReader(c.b))
		must(t, err)
		got, err := r.differing(t.Context(), evidence.Artifact{Path: "dist/a", Digest: d1}, d2)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestEnvironmentIsAList(t *testing.T) {
	s := &pipeline.Stage{Zone: 3, Env: map[string]string{"NODE_ENV": "production"}}
	env := environ(s, toolchain.Set{Path: []string{"/a", "/b"}, Env: []string{"npm_config_nodedir=/usr"}}, nil, variant{})
	for _, want := range []string{"PATH=/a:/b", "NODE_ENV=production", "npm_config_nodedir=/usr", "GOPROXY=off", "GOMODCACHE=/box/go/mod", "TZ=UTC"} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	again := environ(s, toolchain.Set{}, nil, second())
	for _, want := range []string{"GOMODCACHE=/box2/go/mod", "TZ=Asia/Kathmandu", "LC_ALL=C", "GOMAXPROCS=1"} {
		if !slices.Contains(again, want) {
			t.Errorf("no %s in %q", want, again)
		}
	}
}

func TestSegment(t *testing.T) {
	for in, want := range map[string]string{"a/b": "a_b", "": "_", "..": "_", "@scope/x": "_scope_x", "ok-1.2": "ok-1.2"} {
		if got := segment(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestTailShowsWhatStoodOut(t *testing.T) {
	_, tail, _ := logged(t, "--- FAIL: TestA (0.00s)\n", strings.Repeat("ok\n", 100), "FAIL\n")
	if tail[0] != "--- FAIL: TestA (0.00s)" || tail[1] != "..." || tail[len(tail)-1] != "FAIL" {
		t.Errorf("tail %q", tail)
	}
}

func TestChain(t *testing.T) {
	if got := chain("/bin/sh -c " + script + " sallyport x > sh -c x > node"); got != "sh -c x > node" {
		t.Errorf("chain %q", got)
	}
}
