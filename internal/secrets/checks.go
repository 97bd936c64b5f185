package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"time"
)

// checks are the tests that rules name.
func checks() map[string]check {
	return map[string]check{
		"token":    func(m match) bool { return !placeholder(m.secret()) && !m.embedded() },
		"random":   func(m match) bool { return random(m.secret()) && !m.embedded() },
		"letters":  func(m match) bool { return !placeholder(m.secret()) && mixedCase(m.secret()) },
		"key":      keyBody,
		"aws-id":   awsID,
		"jwt":      liveJWT,
		"basic":    basicAuth,
		"url":      urlPassword,
		"assigned": assigned,
	}
}

// entropy returns the Shannon entropy of b in bits for each byte.
func entropy(b []byte) float64 {
	if len(b) == 0 {
		return 0
	}
	var count [256]int
	for _, c := range b {
		count[c]++
	}
	h, n := 0.0, float64(len(b))
	for _, c := range count {
		if c > 0 {
			p := float64(c) / n
			h -= p * math.Log2(p)
		}
	}
	return h
}

// placeholder tells whether b is a stand-in, as documentation uses them.
func placeholder(b []byte) bool {
	low := strings.ToLower(string(b))
	for _, word := range []string{"example", "placeholder", "changeme", "xxxx", "aaaaaa", "000000", "123456", "abcdef", "yourtoken", "your_", "your-", "dummy", "redacted", "insert", "fake", "sample", "${", "{{", "<%", "...", "****", "foobar", "deadbeef", "loremipsum"} {
		if strings.Contains(low, word) {
			return true
		}
	}
	return false
}

// random tells whether b looks drawn by chance: digits and letters mixed, no
// stand-in, no run of neighbours.
func random(b []byte) bool {
	digits, letters, switches := 0, 0, 0
	last := byte(0)
	for _, c := range b {
		k := kind(c)
		switch k {
		case 'd':
			digits++
		case 'u', 'l':
			letters++
		}
		if last != 0 && k != last {
			switches++
		}
		last = k
	}
	return digits >= 2 && letters >= 2 && switches >= len(b)/6 && !placeholder(b) && !neighbours(b)
}

func kind(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return 'd'
	case 'a' <= c && c <= 'z':
		return 'l'
	case 'A' <= c && c <= 'Z':
		return 'u'
	}
	return 'o'
}

func mixedCase(b []byte) bool {
	return bytes.ContainsAny(b, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && bytes.ContainsAny(b, "abcdefghijklmnopqrstuvwxyz")
}

// neighbours finds five characters in a row that count up: alphabets and tables.
func neighbours(b []byte) bool {
	run := 1
	for i := 1; i < len(b); i++ {
		if b[i] == b[i-1]+1 {
			if run++; run >= 5 {
				return true
			}
			continue
		}
		run = 1
	}
	return false
}

// embedded tells whether the match is a part of a long base64 text, where any
// few letters occur by chance.
func (m match) embedded() bool {
	const around = 40
	if m.lo < around || m.hi+around > len(m.data) {
		return false
	}
	return base64Prefix(m.data[m.lo-around:m.hi+around]) == m.hi-m.lo+2*around
}

// keyBody wants a whole key after a private key's header: programs that read
// keys hold the header alone, manuals hold a key cut short.
func keyBody(m match) bool {
	header, rest := m.secret(), m.data[m.hi:]
	var body []byte
	encrypted := false
	for len(rest) > 0 && len(body) < 15000 {
		var line []byte
		line, rest = keyLine(rest)
		switch {
		case bytes.HasPrefix(line, []byte("-----")):
			rest = nil
		case len(line) == 0:
		case bytes.ContainsRune(line, ':') && len(body) == 0:
			encrypted = encrypted || bytes.HasPrefix(line, []byte("DEK-Info"))
		default:
			n := base64Prefix(line)
			body = append(body, line[:n]...)
			if n < len(line) {
				rest = nil
			}
		}
	}
	if len(body) < 48 || entropy(body) < 3.5 || placeholder(body[:48]) {
		return false
	}
	if encrypted || bytes.Contains(header, []byte("OPENSSH")) || bytes.Contains(header, []byte("PGP")) || bytes.Contains(header, []byte("STORE")) {
		return len(body) >= 100
	}
	return wholeDER(body)
}

// keyLine takes one line, ended by a newline or by one written as an escape.
func keyLine(b []byte) (line, rest []byte) {
	end, skip := bytes.IndexByte(b, '\n'), 1
	if end < 0 {
		end, skip = len(b), 0
	}
	if esc := bytes.Index(b[:end], []byte(`\n`)); esc >= 0 {
		end, skip = esc, 2
	}
	line = bytes.TrimSuffix(bytes.TrimSpace(b[:end]), []byte(`\r`))
	return bytes.Trim(line, " \t\\\"',;`|#>*"), b[end+skip:]
}

// wholeDER tells whether body is base64 of a DER sequence that is not cut short,
// or of an encrypted one (cosign's are JSON).
func wholeDER(body []byte) bool {
	body = body[:len(bytes.TrimRight(body, "="))]
	der, _ := base64.RawStdEncoding.DecodeString(string(body[:len(body)/4*4]))
	if len(der) > 0 && der[0] == '{' {
		return true
	}
	if len(der) < 4 || der[0] != 0x30 {
		return false
	}
	size := int(der[1])
	switch der[1] {
	case 0x81:
		size = int(der[2])
	case 0x82:
		size = int(der[2])<<8 | int(der[3])
	default:
		if size >= 0x80 {
			return false
		}
	}
	return len(body)*3/4 >= size
}

func base64Prefix(line []byte) int {
	for i, c := range line {
		if k := kind(c); k == 'o' && c != '+' && c != '/' && c != '=' {
			return i
		}
	}
	return len(line)
}

// awsID wants a digit in an identifier that stands inside a longer word: those
// without one are rare as identifiers and common in text of capitals.
func awsID(m match) bool {
	if placeholder(m.secret()) || m.embedded() {
		return false
	}
	left := m.lo > 0 && kind(m.data[m.lo-1]) != 'o'
	right := m.hi < len(m.data) && kind(m.data[m.hi]) != 'o'
	return !left && !right || bytes.ContainsAny(m.secret()[4:], "0123456789")
}

// liveJWT wants a header that names an algorithm, and claims of a token that is
// still good. A token without an end counts where it names who made it.
func liveJWT(m match) bool {
	parts := bytes.SplitN(m.secret(), []byte("."), 3)
	var header struct {
		Alg string `json:"alg"`
	}
	var claims struct {
		Exp *float64 `json:"exp"`
		Iss any      `json:"iss"`
		Sub any      `json:"sub"`
	}
	if !decodeJSON(parts[0], &header) || !decodeJSON(parts[1], &claims) || header.Alg == "" || header.Alg == "none" {
		return false
	}
	if claims.Exp != nil {
		return m.now.IsZero() || *claims.Exp > float64(m.now.Add(-time.Minute).Unix())
	}
	sub, _ := claims.Sub.(string)
	return claims.Iss != nil && sub != "1234567890"
}

func decodeJSON(part []byte, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(string(part))
	return err == nil && json.Unmarshal(b, into) == nil
}

// basicAuth wants base64 of a name and a password.
func basicAuth(m match) bool {
	b, err := base64.StdEncoding.DecodeString(string(m.secret()))
	if err != nil {
		return false
	}
	name, password, ok := bytes.Cut(b, []byte(":"))
	return ok && len(name) > 0 && len(password) >= 6 && printable(b) && !placeholder(b) && !common(string(password))
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// common tells whether a password is one that stands in manuals.
func common(p string) bool {
	switch strings.ToLower(p) {
	case "password", "passw0rd", "password1", "secret", "postgres", "postgresql", "username", "mysecretpassword", "mypassword", "rootpassword", "somepassword", "p@ssword", "pa55word", "hunter2", "testtest", "testpassword", "testpass":
		return true
	}
	return false
}

// urlPassword wants a password that is not a stand-in, for a host that is not
// one either.
func urlPassword(m match) bool {
	secret := m.secret()
	if placeholder(secret) || common(string(secret)) || bytes.ContainsAny(secret, "${}()[]|*,;%\\") {
		return false
	}
	host := m.data[min(m.hi+1, len(m.data)):]
	if i := bytes.IndexFunc(host, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", r)
	}); i >= 0 {
		host = host[:i]
	}
	low := strings.ToLower(string(host))
	for _, stand := range []string{"localhost", "127.0.0.1", "example", "host", "domain", "server", "foo", "bar", "test", "0.0.0.0", "my"} {
		if strings.HasPrefix(low, stand) || strings.Contains(low, ".example") {
			return false
		}
	}
	low = strings.ToLower(string(secret))
	if strings.Contains(low, "pass") || strings.Contains(low, "pwd") || strings.Contains(low, "token") || strings.Contains(low, "secret") {
		return false
	}
	return bytes.ContainsAny(secret, "0123456789")
}

// assigned wants a value that is random all through: not a path, a version, a
// checksum, an identifier of a program or a list.
func assigned(m match) bool {
	secret := bytes.TrimRight(m.secret(), ".")
	if len(secret) < 20 || !random(secret) || bytes.Count(secret, []byte(".")) > 2 || bytes.Count(secret, []byte("/")) > 3 {
		return false
	}
	digits, upper, lower, hexed := 0, 0, 0, true
	for _, c := range secret {
		switch kind(c) {
		case 'd':
			digits++
		case 'u':
			upper++
		case 'l':
			lower++
		case 'o':
			if !strings.ContainsRune("+/=_-.~!@#$%^&*", rune(c)) {
				return false
			}
		}
		hexed = hexed && strings.IndexByte("0123456789abcdefABCDEF-", c) >= 0
	}
	if hexed { // with dashes it is the name of something
		return len(secret) >= 32 && quoted(m) && bytes.IndexByte(secret, '-') < 0
	}
	return entropy(secret) >= 3.9 && digits >= 3 && lower >= 3 && (upper >= 3 || digits >= len(secret)/5) && quoted(m) && wordless(secret)
}

// quoted wants the value to be a whole one: between quotes, or a line's end.
func quoted(m match) bool {
	if m.lo == 0 {
		return false
	}
	open := m.data[m.lo-1]
	var end byte = '\n'
	if m.hi < len(m.data) {
		end = m.data[m.hi]
	}
	switch open {
	case '"', '\'', '`':
		return end == open || end == '\\'
	case '=', ':', ' ', '\t':
		return end == '\n' || end == '\r' || end == ' '
	}
	return false
}

// wordless tells whether b is free of long runs of small letters, which names of
// programs are made of.
func wordless(b []byte) bool {
	run := 0
	for _, c := range b {
		if kind(c) == 'l' {
			if run++; run > 6 {
				return false
			}
			continue
		}
		run = 0
	}
	return true
}

// wellKnown tells whether b stands in a provider's documentation or in a
// specification, where everybody copies it from.
func wellKnown(b []byte) bool {
	switch string(b) {
	case "AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE", "ASIAIOSFODNN7EXAMPLE",
		"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
		"sk_test_4eC39HqLyjWDarjtT1zdp7dc", "sk_test_BQokikJOvBiI2HlWgH4olfQ2", "sk_test_tR3PYbcVNZZ796tH88S4VQ2u",
		"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c":
		return true
	}
	return false
}
