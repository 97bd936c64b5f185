package confine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// passed are the variables that a command needs to behave as it does outside.
// None of them is a place where people keep secrets.
var passed = []string{
	"CI", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES",
	"LANG", "LANGUAGE", "TZ", "SOURCE_DATE_EPOCH", "NODE_ENV",
	"CGO_ENABLED", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOFLAGS", "GOEXPERIMENT", "GOMAXPROCS",
	"CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "MAKEFLAGS",
}

// secretName matches names of variables that hold what a zone must not.
var secretName = regexp.MustCompile(`(?i)(token|secret|passw|passphrase|credential|api_?key|access_?key|private_?key|signing_?key|_auth$|^auth_|_pat$|session_?key|webhook|^aws_|^azure_|^google_|^gcp_|^kube|^vault_|^ssh_|^gpg_|_dsn$|database_url)`)

// looksSecret tells whether a variable of that name may hold a secret.
func looksSecret(name string) bool { return secretName.MatchString(name) }

// ErrSecretName says that a variable was asked for that a zone must not have.
type ErrSecretName struct{ Name string }

func (e *ErrSecretName) Error() string {
	return fmt.Sprintf("variable %s looks like a credential, and a zone holds none", e.Name)
}

// environ returns the whole environment of the command: base (the toolchains'
// and the gateway's, which win), the passed variables of host, and those named
// in extra.
func environ(host, base, extra []string) ([]string, error) {
	out := slices.Clone(base)
	taken := map[string]bool{}
	for _, kv := range base {
		name, _, _ := strings.Cut(kv, "=")
		taken[name] = true
	}
	for _, name := range extra {
		if looksSecret(name) {
			return nil, &ErrSecretName{name}
		}
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.HasPrefix(name, "LD_") {
			return nil, fmt.Errorf("%q cannot be let through as a variable", name)
		}
	}
	for _, kv := range host {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || taken[name] || strings.ContainsRune(value, 0) {
			continue
		}
		if slices.Contains(passed, name) || strings.HasPrefix(name, "LC_") || slices.Contains(extra, name) {
			taken[name] = true
			out = append(out, kv)
		}
	}
	return out, nil
}

// forbidden returns the values of host that must not be seen inside, for the
// probe to look for.
func forbidden(host []string) []string {
	var values []string
	for _, kv := range host {
		name, value, ok := strings.Cut(kv, "=")
		if ok && looksSecret(name) && len(value) >= 8 {
			values = append(values, value)
		}
	}
	return values
}
