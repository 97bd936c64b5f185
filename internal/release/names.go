package release

import (
	"strings"

	"github.com/sallyport/sallyport/internal/digest"
)

// fileName makes one path element of a name: nothing that leaves its directory,
// is hidden, or means something to a shell. Two names never become one.
func fileName(name string) string {
	out := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' {
			return c
		}
		return '_'
	}, name)
	out = strings.TrimLeft(out, ".-")
	if len(out) > 80 {
		out = out[:80]
	}
	if out != name || out == "" {
		return out + "_" + digest.OfString(name).Hex()[:8]
	}
	return out
}

// pathName keeps the slashes of a project's name, as in a module path.
func pathName(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = fileName(parts[i])
	}
	return strings.Join(parts, "/")
}

// tagName makes an OCI tag of a ref or run id.
func tagName(name string) string {
	out := fileName(strings.ReplaceAll(name, "/", "-"))
	if len(out) > 128 {
		out = out[:128]
	}
	return out
}

// segment makes one segment of a SPIFFE ID of a project's name.
func segment(name string) string {
	out := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' {
			return c
		}
		return '_'
	}, name)
	if out == "" || out == "." || out == ".." {
		return "_"
	}
	return out
}
