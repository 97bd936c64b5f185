package confine

import (
	"errors"
	"slices"
	"testing"
)

func TestEnvironIsAnAllowList(t *testing.T) {
	host := []string{"CI=true", "LANG=C.UTF-8", "LC_ALL=C", "HOME=/root", "PATH=/evil", "GITHUB_TOKEN=ghp_x", "MY=1", "LD_PRELOAD=/x.so", "SSH_AUTH_SOCK=/s", "NODE_OPTIONS=--require=/x"}
	got, err := environ(host, []string{"PATH=/usr/bin", "HOME=/home/sallyport"}, []string{"MY"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PATH=/usr/bin", "HOME=/home/sallyport", "CI=true", "LANG=C.UTF-8", "LC_ALL=C", "MY=1"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEnvironRefusesCredentials(t *testing.T) {
	for _, name := range []string{
		"NPM_TOKEN", "NODE_AUTH_TOKEN", "GITHUB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE",
		"GOOGLE_APPLICATION_CREDENTIALS", "DB_PASSWORD", "PGPASSWORD", "COSIGN_PRIVATE_KEY", "SSH_AUTH_SOCK", "VAULT_ADDR", "GH_PAT",
		"npm_config__auth", "OPENAI_API_KEY", "SLACK_WEBHOOK", "DATABASE_URL", "LD_PRELOAD", "", "A=B",
	} {
		_, err := environ(nil, nil, []string{name})
		if err == nil {
			t.Errorf("%q was let through", name)
		}
	}
	var e *ErrSecretName
	if _, err := environ(nil, nil, []string{"NPM_TOKEN"}); !errors.As(err, &e) || e.Name != "NPM_TOKEN" {
		t.Errorf("err = %v", err)
	}
	for _, name := range []string{"BUILD_NUMBER", "GOPRIVATE", "MY_FLAG", "VERSION"} {
		if _, err := environ(nil, nil, []string{name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForbiddenNamesWhatTheProbeLooksFor(t *testing.T) {
	got := forbidden([]string{"NPM_TOKEN=npm_123456", "API_KEY=short", "LANG=en_US.UTF-8", "DB_PASSWORD=correct horse"})
	if !slices.Equal(got, []string{"npm_123456", "correct horse"}) {
		t.Errorf("got %q", got)
	}
}
