package digest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

// The digest of the empty text and of abc, from FIPS 180-4's examples.
const (
	ofNothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	ofABC     = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
)

func TestKnownDigests(t *testing.T) {
	for text, want := range map[string]string{"": ofNothing, "abc": ofABC} {
		d, n, err := FromReader(strings.NewReader(text))
		if err != nil || n != int64(len(text)) || d.String() != want {
			t.Errorf("%q: %s %d %v", text, d, n, err)
		}
		if Of([]byte(text)) != d || OfString(text) != d {
			t.Errorf("%q: three ways, not one digest", text)
		}
	}
}

func TestFromReaderThatFails(t *testing.T) {
	broken := errors.New("broken")
	if d, _, err := FromReader(iotest.ErrReader(broken)); !errors.Is(err, broken) || !d.IsZero() {
		t.Errorf("%s %v", d, err)
	}
}

func TestParse(t *testing.T) {
	d, err := Parse(ofABC)
	if err != nil || d.String() != ofABC || "sha256:"+d.Hex() != ofABC || d.Short() != "ba7816bf8f01" {
		t.Errorf("%s %v", d, err)
	}
	for name, s := range map[string]string{
		"empty":               "",
		"no algorithm":        ofABC[7:],
		"other algorithm":     "sha512:" + ofABC[7:],
		"upper-case name":     "SHA256:" + ofABC[7:],
		"upper-case digits":   "sha256:" + strings.ToUpper(ofABC[7:]),
		"too short":           ofABC[:len(ofABC)-1],
		"too long":            ofABC + "0",
		"no digits":           "sha256:" + strings.Repeat("g", 64),
		"space in front":      " " + ofABC,
		"line break behind":   ofABC + "\n",
		"digits of elsewhere": "sha256:" + strings.Repeat("٣", 32),
		"very long":           "sha256:" + strings.Repeat("a", 1<<20),
	} {
		d, err := Parse(s)
		if !errors.Is(err, ErrSyntax) || !d.IsZero() {
			t.Errorf("%s: %s %v", name, d, err)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%s: the error repeats %d bytes", name, len(err.Error()))
		}
	}
}

func TestText(t *testing.T) {
	type holder struct {
		D Digest `json:"d,omitzero"`
	}
	b, err := json.Marshal(holder{OfString("abc")})
	if err != nil || string(b) != `{"d":"`+ofABC+`"}` {
		t.Errorf("%s %v", b, err)
	}
	var back holder
	if err := json.Unmarshal(b, &back); err != nil || back.D != OfString("abc") {
		t.Errorf("%v %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"d":"sha256:00"}`), &back); err == nil {
		t.Error("a short digest is taken")
	}
	if err := json.Unmarshal([]byte(`{"d":""}`), &back); err != nil || !back.D.IsZero() {
		t.Errorf("the empty text is the zero digest: %v %v", back, err)
	}
	if b, err := (Digest{}).MarshalText(); err != nil || len(b) != 0 {
		t.Errorf("%q %v", b, err)
	}
}

// One digest has one name: what Parse takes, String gives back.
func FuzzParse(f *testing.F) {
	f.Add(ofABC)
	f.Add("sha256:")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := Parse(s); err == nil && d.String() != s {
			t.Errorf("%q comes back as %s", s, d)
		}
	})
}
