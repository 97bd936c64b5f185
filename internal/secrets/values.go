package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
)

// variant is one form in which a value may appear.
type variant struct {
	rule string
	text []byte
	fold bool // hexadecimal: in either case
	raw  []byte
}

// variants returns the forms of v that are looked for directly, at any
// alignment: raw, reversed, hexadecimal, base64 once and twice. Longer nestings
// and wrapped lines are found by decoding runs.
func variants(v Value) []variant {
	var out []variant
	add := func(text []byte, fold bool) {
		for _, o := range out {
			if bytes.Equal(o.text, text) {
				return
			}
		}
		if len(text) >= MinValue {
			out = append(out, variant{rule: v.Rule, text: text, fold: fold, raw: v.Secret})
		}
	}
	add(v.Secret, false)
	back := slices.Clone(v.Secret)
	slices.Reverse(back)
	add(back, false)
	add([]byte(hex.EncodeToString(v.Secret)), true)
	for _, once := range base64Forms(v.Secret) {
		add(once, false)
		for _, twice := range base64Forms(once) {
			add(twice, false)
		}
	}
	return out
}

// base64Forms returns the part of the base64 text that depends on b alone, for
// each of the three places that b can have in a longer text, in both alphabets.
func base64Forms(b []byte) [][]byte {
	var out [][]byte
	for offset := range 3 {
		padded := append(make([]byte, offset), b...)
		whole := len(padded) / 3 * 4
		skip := (offset*8 + 5) / 6 // characters that the bytes before share
		if skip >= whole {
			continue
		}
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := []byte(e.EncodeToString(padded))[skip:whole]
			if len(text) >= MinValue {
				out = append(out, text)
			}
		}
	}
	return out
}

// at tells whether the variant stands at data[start:].
func (v *variant) at(data []byte, start int) bool {
	end := start + len(v.text)
	if end > len(data) {
		return false
	}
	if v.fold {
		return bytes.EqualFold(data[start:end], v.text)
	}
	return bytes.Equal(data[start:end], v.text)
}
