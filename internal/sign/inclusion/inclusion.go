// Package inclusion is the proof that a record stands in a transparency log, in
// a form that a stranger checks offline with nothing but the log's public key.
//
// A proof is one JSON document:
//
//	{"schema": "sallyport/ledger-proof/v1",
//	 "index": 7,                    // of the record, from 0
//	 "leaf": "base64",              // the record, byte for byte
//	 "hashes": ["base64", ...],     // audit path, RFC 6962, leaf to root
//	 "checkpoint": "origin\nsize\nroot\n\n— origin signature\n"}
//
// The checkpoint is a C2SP checkpoint, a signed note. What the proof says is
// that the holder of the log's key has put the record at that place. It does
// not say that the log shows everybody the same history: for that, compare
// checkpoints.
package inclusion

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Schema names the form of a proof.
const Schema = "sallyport/ledger-proof/v1"

// MaxLeaf is the size limit of one record in bytes (C2SP tlog-tiles).
const MaxLeaf = 1<<16 - 1

const (
	maxProof      = 256 << 10
	maxCheckpoint = 16 << 10
	maxHashes     = 63
	tlogProofV1   = "c2sp.org/tlog-proof@v1"
)

// ErrRefused reports a proof that does not hold.
var ErrRefused = errors.New("inclusion proof refused")

// Proof says that Leaf is the record number Index of a log.
type Proof struct {
	Schema     string      `json:"schema"`
	Index      uint64      `json:"index"`
	Leaf       []byte      `json:"leaf"`
	Hashes     []tlog.Hash `json:"hashes"`
	Checkpoint string      `json:"checkpoint"`
}

// Checkpoint is a signed statement of a log's size and root.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
	Note   string // the whole signed note
}

// Parse reads a proof strictly: unknown fields, trailing data and sizes beyond
// what a proof can need are refused. The result is not yet checked.
func Parse(b []byte) (*Proof, error) {
	if len(b) > maxProof {
		return nil, fmt.Errorf("proof of %d bytes is too large: %w", len(b), ErrRefused)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var p Proof
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("parse proof: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("data after the proof: %w", ErrRefused)
	}
	if p.Schema != Schema {
		return nil, fmt.Errorf("schema %q is not %s: %w", clip(p.Schema), Schema, ErrRefused)
	}
	if len(p.Leaf) > MaxLeaf || len(p.Hashes) > maxHashes {
		return nil, fmt.Errorf("proof has a record of %d bytes and %d hashes: %w", len(p.Leaf), len(p.Hashes), ErrRefused)
	}
	return &p, nil
}

// Verifier returns the verifier for a log's public key in the signed note form,
// "origin+hash+base64".
func Verifier(vkey string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	return v, nil
}

// Check verifies the checkpoint's signature with v and the path from the record
// to the checkpoint's root.
func (p *Proof) Check(v note.Verifier) (Checkpoint, error) {
	c, err := ParseCheckpoint([]byte(p.Checkpoint), v)
	if err != nil {
		return Checkpoint{}, err
	}
	if p.Index >= c.Size {
		return Checkpoint{}, fmt.Errorf("index %d is not in a tree of %d: %w", p.Index, c.Size, ErrRefused)
	}
	err = tlog.CheckRecord(p.Hashes, int64(c.Size), c.Root, int64(p.Index), tlog.RecordHash(p.Leaf))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("record %d: %w: %w", p.Index, ErrRefused, err)
	}
	return c, nil
}

// TlogProof returns the proof in the text form c2sp.org/tlog-proof@v1, which
// other tools read. The record itself is not part of that form.
func (p *Proof) TlogProof() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nindex %d\n", tlogProofV1, p.Index)
	for _, h := range p.Hashes {
		fmt.Fprintln(&b, h)
	}
	fmt.Fprintf(&b, "\n%s", p.Checkpoint)
	return b.Bytes()
}

// ParseCheckpoint reads a checkpoint, and requires v's signature and origin.
func ParseCheckpoint(signed []byte, v note.Verifier) (Checkpoint, error) {
	if len(signed) > maxCheckpoint {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d bytes is too large: %w", len(signed), ErrRefused)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint signature: %w: %w", ErrRefused, err)
	}
	c, err := ParseBody(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != v.Name() {
		return Checkpoint{}, fmt.Errorf("checkpoint of log %q, not %q: %w", clip(c.Origin), v.Name(), ErrRefused)
	}
	c.Note = string(signed)
	return c, nil
}

// ParseBody reads the three lines that a checkpoint's signature covers. It says
// nothing about who wrote them.
func ParseBody(text string) (Checkpoint, error) {
	refuse := func(why string) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("checkpoint %s: %w", why, ErrRefused)
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] == "" {
		return refuse("has too few lines")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return refuse("has no canonical size")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return refuse("has no root hash")
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: tlog.Hash(root)}, nil
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100]
	}
	return s
}
