package credential

import (
	"slices"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

func TestNamed(t *testing.T) {
	for name, want := range map[string][]ci.Class{
		"NPM_TOKEN":                   {ci.Publish},
		"npmToken":                    {ci.Publish},
		"NODE_AUTH_TOKEN":             {ci.Publish},
		"PYPI_API_TOKEN":              {ci.Publish},
		"CARGO_REGISTRY_TOKEN":        {ci.Publish},
		"DOCKERHUB_TOKEN":             {ci.Publish},
		"DOCKERHUB_USERNAME":          {ci.Low},
		"FURY_TOKEN":                  {ci.Publish},
		"OSSRH_PASSWORD":              {ci.Publish},
		"SNAPCRAFT_STORE_CREDENTIALS": {ci.Publish},
		"COSIGN_KEY":                  {ci.Sign},
		"GPG_PRIVATE_KEY":             {ci.Sign},
		"GPG_PASSPHRASE":              {ci.Sign},
		"MACOS_SIGN_P12":              {ci.Sign},
		"APPLE_ID_PASSWORD":           {ci.Sign},
		"ANDROID_KEYSTORE_KEY":        {ci.Sign},
		"AWS_SECRET_ACCESS_KEY":       {ci.Deploy},
		"AWS_REGION":                  {ci.Low},
		"AWS_ACCOUNT_ID":              {ci.Low},
		"VERCEL_TOKEN":                {ci.Deploy},
		"KUBECONFIG":                  {ci.Deploy},
		"DEPLOY_SSH_KEY":              {ci.Deploy},
		"GH_PAT":                      {ci.Repository},
		"BOT_GITHUB_TOKEN":            {ci.Repository},
		"DEPLOY_KEY":                  {ci.Deploy, ci.Repository},
		"HOMEBREW_TAP_TOKEN":          {ci.Publish, ci.Repository},
		"APP_PRIVATE_KEY":             {ci.Repository},
		"APP_ID":                      {ci.Low},
		"CODECOV_TOKEN":               {ci.Low},
		"SLACK_WEBHOOK_URL":           {ci.Low},
		"SLACK_RELEASE_TOKEN":         {ci.Low},
		"SONATYPE_PASSWORD":           {ci.Publish}, // not Sonar
		"GITHUB_APP_ID":               {ci.Low},
		"SOMETHING":                   {ci.Unsorted},
		"API_KEY":                     {ci.Unsorted},
		"":                            {ci.Unsorted},
		"___":                         {ci.Unsorted},
	} {
		if got := Named(name); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestSensitive(t *testing.T) {
	for name, want := range map[string]bool{
		"CI_DEPLOY_PASSWORD": true, "FOO_TOKEN": true, "githubToken": true, "KUBECONFIG": true, "KEY": true,
		"CI_COMMIT_REF": false, "PATH": false, "KEYBOARD": false, "MONKEY": false, "": false,
	} {
		if got := Sensitive(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestFederated(t *testing.T) {
	for name, want := range map[string]string{
		"NPM_TOKEN": "npm trusted publishing", "AWS_SECRET_ACCESS_KEY": "a role assumed with an OIDC token", "AWS_REGION": "",
		"FURY_TOKEN": "", "GPG_PRIVATE_KEY": "",
	} {
		if got := Federated(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestNoWordIsDead finds patterns that can never decide: a row shadowed by a
// word of low value.
func TestNoWordIsDead(t *testing.T) {
	for _, r := range nameTable {
		for _, w := range r.words {
			name := ""
			for i, c := range w {
				switch {
				case c == '+':
					name += "_"
				case c == '*' && (i == 0 || w[i-1] == '+'):
					name += "ANY"
				case c != '*':
					name += string(c)
				}
			}
			if got := Named(name + "_TOKEN"); !slices.Contains(got, r.class) {
				t.Errorf("%s: %s_TOKEN is %v, want %s", w, name, got, r.class)
			}
		}
	}
}
