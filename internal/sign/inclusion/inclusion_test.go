package inclusion

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// memory is a log of size leaves kept in a slice.
type memory struct {
	hashes []tlog.Hash
	signer note.Signer
	v      note.Verifier
	vkey   string
}

func leaf(i int) []byte { return fmt.Appendf(nil, `{"n":%d}`, i) }

func newMemory(t testing.TB, size int) *memory {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{vkey: vkey}
	if m.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if m.v, err = Verifier(vkey + "\n"); err != nil {
		t.Fatal(err)
	}
	for i := range size {
		h, err := tlog.StoredHashes(int64(i), leaf(i), m)
		if err != nil {
			t.Fatal(err)
		}
		m.hashes = append(m.hashes, h...)
	}
	return m
}

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = m.hashes[x]
	}
	return out, nil
}

func (m *memory) sign(t testing.TB, text string) string {
	t.Helper()
	b, err := note.Sign(&note.Note{Text: text}, m.signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (m *memory) prove(t testing.TB, size, index int) *Proof {
	t.Helper()
	root, err := tlog.TreeHash(int64(size), m)
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := tlog.ProveRecord(int64(size), int64(index), m)
	if err != nil {
		t.Fatal(err)
	}
	return &Proof{
		Schema: Schema, Index: uint64(index), Leaf: leaf(index), Hashes: hashes,
		Checkpoint: m.sign(t, fmt.Sprintf("log.example\n%d\n%s\n", size, root)),
	}
}

func TestProofsHold(t *testing.T) {
	m := newMemory(t, 20)
	for _, size := range []int{1, 2, 7, 16, 20} {
		for i := range size {
			b, err := json.Marshal(m.prove(t, size, i))
			if err != nil {
				t.Fatal(err)
			}
			p, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			c, err := p.Check(m.v)
			if err != nil || c.Size != uint64(size) || c.Origin != "log.example" || c.Note != p.Checkpoint {
				t.Fatalf("proof of %d in %d: %+v, %v", i, size, c, err)
			}
		}
	}
}

func TestProofsThatDoNotHold(t *testing.T) {
	m, other := newMemory(t, 20), newMemory(t, 20)
	root := strings.Split(m.prove(t, 13, 5).Checkpoint, "\n")[2]
	for name, spoil := range map[string]func(*Proof){
		"leaf":           func(p *Proof) { p.Leaf = leaf(6) },
		"index":          func(p *Proof) { p.Index = 6 },
		"index beyond":   func(p *Proof) { p.Index = 13 },
		"index huge":     func(p *Proof) { p.Index = 1 << 63 },
		"hash":           func(p *Proof) { p.Hashes[1][0] ^= 1 },
		"hash missing":   func(p *Proof) { p.Hashes = p.Hashes[1:] },
		"hash more":      func(p *Proof) { p.Hashes = append(p.Hashes, tlog.Hash{}) },
		"no hashes":      func(p *Proof) { p.Hashes = nil },
		"checkpoint":     func(p *Proof) { p.Checkpoint = m.prove(t, 12, 5).Checkpoint },
		"other log":      func(p *Proof) { p.Checkpoint = other.prove(t, 13, 5).Checkpoint },
		"unsigned":       func(p *Proof) { p.Checkpoint, _, _ = strings.Cut(p.Checkpoint, "\n\n") },
		"size changed":   func(p *Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n13\n", "\n14\n", 1) },
		"no checkpoint":  func(p *Proof) { p.Checkpoint = "" },
		"other origin":   func(p *Proof) { p.Checkpoint = m.sign(t, "elsewhere.example\n13\n"+root+"\n") },
		"size with zero": func(p *Proof) { p.Checkpoint = m.sign(t, "log.example\n013\n"+root+"\n") },
		"negative size":  func(p *Proof) { p.Checkpoint = m.sign(t, "log.example\n-13\n"+root+"\n") },
		"short root":     func(p *Proof) { p.Checkpoint = m.sign(t, "log.example\n13\nAAAA\n") },
		"too few lines":  func(p *Proof) { p.Checkpoint = m.sign(t, "log.example\n13\n") },
		"too large":      func(p *Proof) { p.Checkpoint += strings.Repeat("x", maxCheckpoint) },
	} {
		p := m.prove(t, 13, 5)
		p.Hashes = slices.Clone(p.Hashes)
		spoil(p)
		if _, err := p.Check(m.v); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", name, err)
		}
	}
}

func TestOtherFormsAreRefused(t *testing.T) {
	good, err := json.Marshal(newMemory(t, 3).prove(t, 3, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"schema":   strings.Replace(string(good), "/v1", "/v2", 1),
		"unknown":  strings.Replace(string(good), `"index"`, `"x":1,"index"`, 1),
		"trailing": string(good) + "{}",
		"negative": strings.Replace(string(good), `"index":1`, `"index":-1`, 1),
		"hash":     strings.Replace(string(good), `"hashes":["`, `"hashes":["AAAA`, 1),
		"many":     strings.Replace(string(good), `"hashes":[`, `"hashes":[`+strings.Repeat(`"`+tlog.Hash{}.String()+`",`, 64), 1),
		"large":    `{"leaf":"` + strings.Repeat("A", maxProof) + `"}`,
		"leaf":     strings.Replace(string(good), `"leaf":"`, `"leaf":"`+strings.Repeat("AAAA", MaxLeaf/3+1), 1),
		"nothing":  "",
	} {
		if _, err := Parse([]byte(s)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := Verifier("log.example+00000000+AA=="); err == nil {
		t.Error("a malformed key was taken")
	}
}

func TestTlogProof(t *testing.T) {
	p := newMemory(t, 3).prove(t, 3, 2)
	lines := strings.Split(string(p.TlogProof()), "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" || lines[1] != "index 2" || lines[2] != p.Hashes[0].String() || lines[3] != "" {
		t.Errorf("%q", lines)
	}
	if !strings.HasSuffix(string(p.TlogProof()), "\n\n"+p.Checkpoint) {
		t.Error("the checkpoint is not at the end")
	}
}

func FuzzProof(f *testing.F) {
	m := newMemory(f, 20)
	for _, i := range []int{0, 5, 19} {
		b, err := json.Marshal(m.prove(f, 20, i))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		c, err := p.Check(m.v)
		if err == nil && (p.Index >= 20 || !bytes.Equal(p.Leaf, leaf(int(p.Index))) || c.Size != 20) {
			t.Fatalf("a proof of what is not in the log: %s", b)
		}
		_ = p.TlogProof()
	})
}

func FuzzParseBody(f *testing.F) {
	f.Add("log.example\n13\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseBody(s)
		if err == nil && !strings.HasPrefix(s, fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)) {
			t.Fatalf("%q was read as %+v", s, c)
		}
	})
}
