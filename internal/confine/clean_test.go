package confine

import (
	"strings"
	"testing"
)

func TestCleaned(t *testing.T) {
	for _, tt := range []struct {
		path, in, want string
	}{
		{"web/.npmrc", "engine-strict=true\n//registry.example/:_authToken=npm_x\n_auth = abc\nregistry=https://me:pw@registry.example/\nfund=false", "engine-strict=true\nfund=false\n"},
		{".env", "A=b\n", ""},
		{".netrc", "machine a login b password c\n", ""},
		{".git/config", `[core]
	bare = false
[remote "origin"]
	url = https://x-access-token:ghs_1@forge.example/a/b
	fetch = +refs/heads/*:refs/remotes/origin/*
[http "https://forge.example/"]
	extraheader = AUTHORIZATION: basic eHg6
[credential]
	helper = store
[branch "main"]
	remote = origin
`, `[core]
	bare = false
[remote "origin"]
	url = https://forge.example/a/b
	fetch = +refs/heads/*:refs/remotes/origin/*
[branch "main"]
	remote = origin
`},
		{"sub/.git/config", "[remote \"o\"] url = a\n[core]\n[ http ]\n\textraHeader = x\n", "[remote \"o\"] url = a\n[core]\n"},
	} {
		if got := string(cleaned(tt.path, []byte(tt.in))); got != tt.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.path, got, tt.want)
		}
	}
}

func FuzzCleaned(f *testing.F) {
	f.Add("[http]\n\textraheader = AUTHORIZATION: basic SECRETSECRET\n")
	f.Add("[core]\n[HTTP \"x\"]\nextraHeader=SECRETSECRET")
	f.Add("//registry.example/:_authToken=SECRETSECRET\n")
	f.Fuzz(func(t *testing.T, in string) {
		for _, path := range []string{".git/config", ".npmrc", ".env"} {
			out := string(cleaned(path, []byte(in)))
			if strings.Contains(strings.ToLower(out), "extraheader") && path == ".git/config" {
				t.Errorf("%s keeps an extra header: %q", path, out)
			}
			if strings.Contains(out, "_authToken") && path == ".npmrc" {
				t.Errorf("%s keeps a token: %q", path, out)
			}
			if len(out) > len(in)+1 {
				t.Errorf("%s grew", path)
			}
		}
	})
}
