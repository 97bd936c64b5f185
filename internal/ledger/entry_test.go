package ledger

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/digest"
)

func goodEntry() Entry {
	return Entry{
		Schema: Schema, Type: Denial, Run: "42", Stage: "build",
		Identity: "spiffe://sallyport.local/shop/build/build",
		Time:     time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC),
		Subjects: []digest.Digest{digest.OfString("a")}, Data: digest.OfString("b"),
		Facts: map[string]string{"rule": "SP3", "target": "<&>\x1b[2J"},
	}
}

func TestEntryRoundTrip(t *testing.T) {
	b, err := goodEntry().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"data":"sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d","facts":{"rule":"SP3","target":"<&>\u001b[2J"},"identity":"spiffe://sallyport.local/shop/build/build","run":"42","schema":"sallyport/ledger/v1","stage":"build","subjects":["sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"],"time":"2026-11-23T08:00:00Z","type":"denial"}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	e, err := ParseEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := e.Canonical(); err != nil || !bytes.Equal(again, b) {
		t.Errorf("again %s, error %v", again, err)
	}
}

func TestEntriesNotTaken(t *testing.T) {
	many := map[string]string{}
	for i := range 65 {
		many[strings.Repeat("x", i+1)] = ""
	}
	for name, spoil := range map[string]func(*Entry){
		"schema":        func(e *Entry) { e.Schema = "sallyport/ledger/v2" },
		"type":          func(e *Entry) { e.Type = "other" },
		"no type":       func(e *Entry) { e.Type = "" },
		"no time":       func(e *Entry) { e.Time = time.Time{} },
		"year":          func(e *Entry) { e.Time = e.Time.AddDate(9000, 0, 0) },
		"newline":       func(e *Entry) { e.Stage = "a\nb" },
		"escape":        func(e *Entry) { e.Run = "\x1b[2J" },
		"long name":     func(e *Entry) { e.Identity = strings.Repeat("x", 1025) },
		"bad UTF-8":     func(e *Entry) { e.Stage = "\xff" },
		"fact name":     func(e *Entry) { e.Facts = map[string]string{"": "x"} },
		"fact control":  func(e *Entry) { e.Facts = map[string]string{"a\x00": "x"} },
		"fact UTF-8":    func(e *Entry) { e.Facts = map[string]string{"a": "\xff"} },
		"many facts":    func(e *Entry) { e.Facts = many },
		"more than 64K": func(e *Entry) { e.Facts = map[string]string{"a": strings.Repeat("x", 1<<16)} },
	} {
		e := goodEntry()
		spoil(&e)
		if _, err := e.Canonical(); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v, want ErrEntry", name, err)
		}
	}
}

func TestOtherFormsAreRefused(t *testing.T) {
	good, err := goodEntry().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, now string) string { return strings.Replace(string(good), old, now, 1) }
	for name, s := range map[string]string{
		"space":       swap(",", ", "),
		"order":       `{"type":"plan","schema":"sallyport/ledger/v1","time":"2026-11-23T08:00:00Z"}`,
		"escape":      swap("SP3", `\u0053P3`),
		"duplicate":   swap(`"run":"42"`, `"run":"42","run":"42"`),
		"case":        swap(`"run"`, `"Run"`),
		"unknown":     swap(`"run"`, `"ran"`),
		"empty field": swap(`"run":"42"`, `"run":""`),
		"time zone":   swap("08:00:00Z", "09:00:00+01:00"),
		"two":         string(good) + string(good),
		"newline":     string(good) + "\n",
		"cut":         string(good[:len(good)-1]),
		"digest":      swap("sha256:ca97", "sha256:CA97"),
		"array":       "[]",
		"nothing":     "",
	} {
		if _, err := ParseEntry([]byte(s)); err == nil {
			t.Errorf("%s was taken: %s", name, s)
		}
		if _, err := ParseRecord([]byte(s)); err == nil {
			t.Errorf("%s was taken as a record", name)
		}
	}
	big := bytes.Repeat([]byte(" "), 1<<16)
	if _, err := ParseRecord(big); !errors.Is(err, ErrEntry) {
		t.Errorf("64 KiB: %v", err)
	}
}

func FuzzParseRecord(f *testing.F) {
	good, err := goodEntry().Canonical()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}`))
	f.Add([]byte(`{"schema":"sallyport/ledger/v1","time":"2026-11-23T08:00:00Z","type":"plan"}`))
	f.Add([]byte(`{"kind":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		if r.Kind == "" || !bytes.Equal(r.Leaf, b) {
			t.Fatalf("record %+v", r)
		}
		if r.Entry == nil {
			return
		}
		again, err := r.Entry.Canonical()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q is taken and has another form %q, %v", b, again, err)
		}
	})
}

func FuzzSplitBundle(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00\x02bc"), 2)
	f.Add([]byte("\xff\xffa"), 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		n = min(max(n, 0), tileWidth)
		leaves, err := splitBundle(b, n)
		if err != nil {
			return
		}
		total := 0
		for _, l := range leaves {
			total += 2 + len(l)
		}
		if len(leaves) != n || total > len(b) {
			t.Fatalf("%d leaves of %d bytes out of %d", len(leaves), total, len(b))
		}
	})
}
