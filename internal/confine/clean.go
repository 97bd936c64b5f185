package confine

import (
	"path/filepath"
	"regexp"
	"strings"
)

var (
	npmSecret   = regexp.MustCompile(`(?i)(_auth|_password|token|username|otp|certfile|keyfile|^\s*(cert|key|ca)\s*=|//[^/\s]*@)`)
	urlUserinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s]+@`)
	gitSection  = regexp.MustCompile(`^\s*\[\s*([A-Za-z0-9.-]+)`)
)

// gitKept are the sections of .git/config that a build may need. CI systems
// keep a token of the forge in others (http.extraheader, credential).
var gitKept = map[string]bool{"core": true, "remote": true, "branch": true, "extensions": true, "submodule": true}

// cleaned returns what a zone sees in the place of a file that may hold
// credentials: the settings of the ones that also hold settings, else nothing.
func cleaned(path string, content []byte) []byte {
	switch {
	case filepath.Base(path) == ".npmrc":
		return keepLines(content, func(l string) (string, bool) { return l, !npmSecret.MatchString(l) })
	case strings.HasSuffix(path, ".git/config"):
		return cleanGitConfig(content)
	default:
		return nil
	}
}

func cleanGitConfig(content []byte) []byte {
	keep := false
	return keepLines(content, func(l string) (string, bool) {
		if m := gitSection.FindStringSubmatch(l); m != nil {
			keep = gitKept[strings.ToLower(m[1])]
		}
		if strings.Contains(strings.ToLower(l), "extraheader") || strings.HasSuffix(l, `\`) {
			return "", false
		}
		return urlUserinfo.ReplaceAllString(l, "$1"), keep
	})
}

func keepLines(content []byte, keep func(string) (string, bool)) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(content)) {
		if l, ok := keep(strings.TrimRight(line, "\r\n")); ok {
			out.WriteString(l + "\n")
		}
	}
	return []byte(out.String())
}
