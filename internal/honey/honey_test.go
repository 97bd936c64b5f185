package honey

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func watch(t *testing.T) (Kit, *Watch) {
	t.Helper()
	k := Mint()
	return k, NewWatch(k)
}

func kinds(t *testing.T, w *Watch) []Kind {
	t.Helper()
	all, err := w.Alarms()
	if err != nil {
		t.Fatal(err)
	}
	var out []Kind
	for _, a := range all {
		out = append(out, a.Kind)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Each kind is somewhere in a zone, under a token of its own, and is noticed.
func TestEachKindIsNoticed(t *testing.T) {
	k := Mint()
	shown := strings.Join(k.Env(), "\n")
	for _, f := range k.Files() {
		shown += "\n" + f.Text
	}
	for _, kind := range Kinds() {
		if kind != Metadata && kind != Docker && !strings.Contains(shown, k.tokens[kind]) {
			t.Errorf("%s is nowhere", kind)
		}
	}
	for _, f := range k.Files() {
		w := NewWatch(k)
		w.Text("log", base64.StdEncoding.EncodeToString([]byte("x"+f.Text)))
		if got := kinds(t, w); len(got) != 1 {
			t.Errorf("%s: noticed %v", f.Path, got)
		}
	}
	if len(k.Canaries()) != len(Kinds()) {
		t.Errorf("%d canaries for %d kinds", len(k.Canaries()), len(Kinds()))
	}
}

// Two kits have nothing in common, and one kit's watch knows no other's.
func TestKitsDiffer(t *testing.T) {
	_, w := watch(t)
	other := Mint()
	w.Text("log", strings.Join(other.Env(), " "))
	if got := kinds(t, w); len(got) > 0 {
		t.Errorf("noticed %v of another kit", got)
	}
}

// A token is found across writes, and what is written goes on unchanged.
func TestStream(t *testing.T) {
	k, w := watch(t)
	var out bytes.Buffer
	s := w.Stream("log", &out)
	text := "before " + k.tokens[Npmrc] + " after " + base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(k.tokens[SSH]))))
	for i := range len(text) {
		if _, err := io.WriteString(s, text[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := kinds(t, w); !slices.Equal(got, []Kind{Npmrc, SSH}) {
		t.Errorf("noticed %v", got)
	}
	if out.String() != text {
		t.Error("the text was changed on its way")
	}
}

// A token in pieces, as names carry it, is put together.
func TestTextInPieces(t *testing.T) {
	k, w := watch(t)
	h := hex.EncodeToString([]byte(k.tokens[Git]))
	w.Text("lookup", h[:30]+"."+h[30:60]+"."+h[60:]+".evil.example")
	w.Text("request", "/"+k.tokens[AWS][:18]+"/"+k.tokens[AWS][18:]+"/@v/list")
	if got := kinds(t, w); !slices.Equal(got, []Kind{AWS, Git}) {
		t.Errorf("noticed %v", got)
	}
}

func TestTree(t *testing.T) {
	k, w := watch(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lib.wasm"), []byte("\x00asm"+hex.EncodeToString([]byte(k.tokens[Env]))), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Tree(t.Context(), "output", dir)
	all, err := w.Alarms()
	if err != nil || len(all) != 1 || all[0].Kind != Env || !strings.Contains(all[0].Where, "lib.wasm") {
		t.Errorf("%v, %v", all, err)
	}
	if strings.Contains(all[0].Said()+all[0].Print, k.tokens[Env]) {
		t.Error("the alarm holds the value")
	}
	w.Tree(t.Context(), "output", filepath.Join(dir, "none"))
	if _, err := w.Alarms(); err == nil {
		t.Error("a tree that cannot be read is taken for clean")
	}
}

// What cannot be looked into is said, not taken for clean.
func TestUnread(t *testing.T) {
	_, w := watch(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.gz"), nested(t, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Tree(t.Context(), "output", dir)
	if got := kinds(t, w); len(got) > 0 || len(w.Unread()) == 0 || !strings.Contains(w.Unread()[0], "a.gz") {
		t.Errorf("noticed %v, not read %v", got, w.Unread())
	}
}

// nested is something compressed again and again.
func nested(t *testing.T, times int) []byte {
	t.Helper()
	b := []byte("x")
	for range times {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		if _, err := z.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		b = out.Bytes()
	}
	return b
}

// To ask whether there is a cloud is no alarm; what it gives is honey.
func TestMetadata(t *testing.T) {
	k, w := watch(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer k.ServeMetadata(l)()
	ask := func(method, path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		if a.Header.Get("Metadata-Flavor") != "" {
			t.Error("another cloud's libraries would take this for theirs")
		}
		return a.StatusCode, string(b)
	}
	if code, body := ask("GET", "/"); code != 404 || strings.Contains(body, k.tokens[Metadata]) {
		t.Errorf("/: %d %q", code, body)
	}
	if _, body := ask("GET", "/latest/meta-data/iam/security-credentials/"); body != "release" {
		t.Errorf("roles: %q", body)
	}
	if got := kinds(t, w); len(got) > 0 {
		t.Errorf("to ask is an alarm: %v", got)
	}
	_, body := ask("GET", "/latest/meta-data/iam/security-credentials/release")
	w.Text("log", body)
	if got := kinds(t, w); !slices.Equal(got, []Kind{Metadata}) {
		t.Errorf("noticed %v in %q", got, body)
	}
}

// No Watch notices nothing, and pass everything on.
func TestWithoutHoney(t *testing.T) {
	var none *Watch
	var out bytes.Buffer
	s := none.Stream("log", &out)
	if _, err := io.WriteString(s, "x"); err != nil || s.Close() != nil || out.String() != "x" {
		t.Error("what is written does not go on")
	}
	none.Text("log", "x")
	if all, err := none.Alarms(); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
	if (Kit{}).Env() != nil || (Kit{}).Files() != nil || (Kit{}).Canaries() != nil {
		t.Error("an empty kit holds something")
	}
}
