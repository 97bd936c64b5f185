// Package wire is what the controller tells a zone's first process, and what it
// hears back: five kinds of message down, seven up, in a compact binary form.
//
// A message on the socket is a frame: one byte for its Kind, four bytes
// (little-endian) for the length of the body, then the body. File descriptors
// travel with the first byte. Inside a body a number is a zig-zag varint, a
// string is its length and its bytes, a list is its length and its elements; a
// struct is its fields in order. There are no optional fields and no versions:
// both ends come out of one build, since the init is embedded in the controller.
//
// Each struct names its fields once, in a method that both writes and reads, so
// the two directions cannot drift apart. Decoding bounds every length by the
// bytes that are there, and refuses what is left over.
package wire

import (
	"encoding/binary"
	"errors"
)

// MaxBody bounds the body of one frame. An environment is the largest thing
// that travels; the kernel refuses one of more than a few MiB anyway.
const MaxBody = 8 << 20

// HeaderSize is the number of bytes before the body of a frame.
const HeaderSize = 5

// Kind tells what a frame's body holds.
type Kind byte

// Frames to the zone, then frames from the zone.
const (
	KindPrepare Kind = 'P' // Prepare, to PID 1
	KindSetup   Kind = 'S' // Setup, to PID 1
	KindLaunch  Kind = 'L' // Launch, to the payload's process
	KindGo      Kind = 'G' // empty, to the payload's process: run
	KindEnter   Kind = 'I' // Enter, to PID 1 of a container

	KindReady   Kind = 'R' // empty, from PID 1: prepared
	KindMade    Kind = 'M' // Made, from PID 1: everything is mounted
	KindLocked  Kind = 'K' // empty, from PID 1: it has no capability left
	KindProbed  Kind = 'O' // Probed, from the payload's process
	KindStarted Kind = 'T' // empty, from PID 1 of a container: the payload runs
	KindEnded   Kind = 'X' // Ended, from PID 1
	KindFailed  Kind = 'E' // Failed, from either: nothing has run
)

// ErrMalformed says that a body does not hold what its kind says.
var ErrMalformed = errors.New("malformed message")

// Message is a body: one of the structs of this package.
type Message interface{ fields(*coder) }

// Marshal gives the body of m.
func Marshal(m Message) []byte {
	c := coder{writing: true}
	m.fields(&c)
	return c.buf
}

// Unmarshal reads m from b, all of it.
func Unmarshal(b []byte, m Message) error {
	c := coder{buf: b}
	m.fields(&c)
	if c.bad || len(c.buf) != 0 {
		return ErrMalformed
	}
	return nil
}

// Header gives the first bytes of a frame.
func Header(k Kind, body int) [HeaderSize]byte {
	var h [HeaderSize]byte
	h[0] = byte(k)
	binary.LittleEndian.PutUint32(h[1:], uint32(body)) //nolint:gosec // bounded by MaxBody at the sender
	return h
}

// ParseHeader reads the first bytes of a frame.
func ParseHeader(h [HeaderSize]byte) (Kind, int, error) {
	n := binary.LittleEndian.Uint32(h[1:])
	if n > MaxBody {
		return 0, 0, ErrMalformed
	}
	return Kind(h[0]), int(n), nil
}

// coder walks the fields of a message in one of two directions.
type coder struct {
	writing bool
	bad     bool
	buf     []byte // writing: what there is so far; reading: what is left
}

func (c *coder) int64(p *int64) {
	if c.writing {
		c.buf = binary.AppendVarint(c.buf, *p)
		return
	}
	v, n := binary.Varint(c.buf)
	if c.bad || n <= 0 {
		c.bad = true
		return
	}
	*p, c.buf = v, c.buf[n:]
}

func (c *coder) int(p *int) {
	v := int64(*p)
	c.int64(&v)
	*p = int(v)
}

func (c *coder) bool(p *bool) {
	v := int64(0)
	if *p {
		v = 1
	}
	c.int64(&v)
	if v != 0 && v != 1 {
		c.bad = true
	}
	*p = v == 1
}

// length writes n, or reads a length that the rest of the body can hold: each
// element of a list takes at least one byte.
func (c *coder) length(n int) int {
	c.int(&n)
	if !c.writing && (n < 0 || n > len(c.buf)) {
		c.bad = true
	}
	if c.bad {
		return 0
	}
	return n
}

func (c *coder) string(p *string) {
	n := c.length(len(*p))
	if c.writing {
		c.buf = append(c.buf, *p...)
		return
	}
	*p, c.buf = string(c.buf[:n]), c.buf[n:]
}

func list[T any](c *coder, p *[]T, each func(*T)) {
	n := c.length(len(*p))
	if !c.writing {
		*p = nil
	}
	for i := 0; i < n && !c.bad; i++ {
		if c.writing {
			each(&(*p)[i])
			continue
		}
		var v T
		each(&v)
		*p = append(*p, v)
	}
}
