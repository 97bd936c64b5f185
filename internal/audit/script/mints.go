package script

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// mint is one row of the table of credentials: commands that mint one, or write
// one to where later commands find it.
type mint struct {
	sub        string
	with, sans string
	name       string
	kind       ci.Kind
	class      ci.Class
	also       ci.Class // a second class
	disk       bool     // it is left in a file, a keychain or an agent
	long       bool     // it is valid until somebody revokes it
}

// minting are the commands that mint or write a credential, by program.
var minting = map[string][]mint{
	"docker":                {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"podman":                {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"nerdctl":               {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"buildah":               {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"crane":                 {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"oras":                  {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"skopeo":                {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"regctl":                {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"ko":                    {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"finch":                 {{sub: "login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "auth|registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"helm":                  {{sub: "registry login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}},
	"npm":                   {{sub: "login|adduser", name: "npm login", kind: ci.File, class: ci.Publish, disk: true, long: true}, {sub: "npm login", name: "npm login", kind: ci.File, class: ci.Publish, disk: true, long: true}},
	"pnpm":                  {{sub: "login|adduser", name: "npm login", kind: ci.File, class: ci.Publish, disk: true, long: true}, {sub: "npm login", name: "npm login", kind: ci.File, class: ci.Publish, disk: true, long: true}},
	"yarn":                  {{sub: "login|adduser", name: "npm login", kind: ci.File, class: ci.Publish, disk: true, long: true}, {sub: "npm login", name: "npm login", kind: ci.File, class: ci.Publish, disk: true, long: true}},
	"cargo":                 {{sub: "login", name: "cargo login", kind: ci.File, class: ci.Publish, disk: true, long: true}},
	"aws":                   {{sub: "sts assume-role*", name: "aws sts", kind: ci.Session, class: ci.Deploy}, {sub: "configure set|import", name: "aws configure", kind: ci.File, class: ci.Deploy, disk: true, long: true}, {sub: "sso login", name: "aws sso", kind: ci.Session, class: ci.Deploy, disk: true}, {sub: "eks update-kubeconfig", name: "kubeconfig", kind: ci.File, class: ci.Deploy, disk: true}, {sub: "codeartifact login", name: "codeartifact", kind: ci.Session, class: ci.Publish, disk: true}},
	"gcloud":                {{sub: "auth activate-service-account|login", name: "gcloud auth", kind: ci.Session, class: ci.Deploy, disk: true}, {sub: "auth configure-docker", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "container clusters get-credentials", name: "kubeconfig", kind: ci.File, class: ci.Deploy, disk: true}, {sub: "auth print-access-token|print-identity-token", name: "gcloud auth", kind: ci.Session, class: ci.Deploy}},
	"az":                    {{sub: "login", name: "az login", kind: ci.Session, class: ci.Deploy, disk: true}, {sub: "acr login", name: "registry login", kind: ci.Session, class: ci.Publish, disk: true}, {sub: "aks get-credentials", name: "kubeconfig", kind: ci.File, class: ci.Deploy, disk: true}},
	"gpg":                   {{with: "--import", name: "gpg key", kind: ci.File, class: ci.Sign, disk: true, long: true}},
	"gpg2":                  {{with: "--import", name: "gpg key", kind: ci.File, class: ci.Sign, disk: true, long: true}},
	"security":              {{sub: "import", name: "keychain", kind: ci.File, class: ci.Sign, disk: true, long: true}},
	"Import-PfxCertificate": {{name: "certificate store", kind: ci.File, class: ci.Sign, disk: true, long: true}},
	"certutil":              {{with: "-importpfx -importPFX", name: "certificate store", kind: ci.File, class: ci.Sign, disk: true, long: true}},
	"ssh-add":               {{sans: "-l -L -D", name: "ssh key", kind: ci.File, class: ci.Deploy, also: ci.Repository, disk: true, long: true}},
	"sshpass":               {{name: "ssh password", kind: ci.Session, class: ci.Deploy, long: true}},
	"gh":                    {{sub: "auth login|setup-git|refresh", name: "gh auth", kind: ci.Session, class: ci.Repository, disk: true}},
	"glab":                  {{sub: "auth login", name: "glab auth", kind: ci.Session, class: ci.Repository, disk: true}},
	"vault":                 {{sub: "login", name: "vault", kind: ci.Session, class: ci.Deploy, disk: true}, {sub: "read|write", name: "vault", kind: ci.Session, class: ci.Deploy}, {sub: "kv get", name: "vault", kind: ci.Session, class: ci.Deploy}},
	"bao":                   {{sub: "login", name: "vault", kind: ci.Session, class: ci.Deploy, disk: true}, {sub: "read|write", name: "vault", kind: ci.Session, class: ci.Deploy}, {sub: "kv get", name: "vault", kind: ci.Session, class: ci.Deploy}},
	"op":                    {{sub: "read|run|inject|item", name: "1password", kind: ci.Session, class: ci.Unsorted}},
	"dotnet":                {{sub: "nuget add|update source", with: "--password -p", name: "nuget source", kind: ci.File, class: ci.Publish, disk: true, long: true}, {sub: "setapikey|setApiKey", name: "nuget key", kind: ci.File, class: ci.Publish, disk: true, long: true}},
	"nuget":                 {{sub: "nuget add|update source", with: "--password -p", name: "nuget source", kind: ci.File, class: ci.Publish, disk: true, long: true}, {sub: "setapikey|setApiKey", name: "nuget key", kind: ci.File, class: ci.Publish, disk: true, long: true}},
	"poetry":                {{sub: "config pypi-token.*|http-basic.*", name: "poetry token", kind: ci.File, class: ci.Publish, disk: true, long: true}},
	"snapcraft":             {{sub: "login", name: "snapcraft login", kind: ci.Session, class: ci.Publish, disk: true}},
	"kubectl":               {{sub: "config set-credentials|set-context", name: "kubeconfig", kind: ci.File, class: ci.Deploy, disk: true}, {sub: "login", name: "kubeconfig", kind: ci.File, class: ci.Deploy, disk: true}},
	"oc":                    {{sub: "config set-credentials|set-context", name: "kubeconfig", kind: ci.File, class: ci.Deploy, disk: true}, {sub: "login", name: "kubeconfig", kind: ci.File, class: ci.Deploy, disk: true}},
	"heroku":                {{sub: "login|login:ci|container:login", name: "heroku login", kind: ci.Session, class: ci.Deploy, disk: true}},
	"firebase":              {{sub: "login|login:ci|container:login", name: "firebase login", kind: ci.Session, class: ci.Deploy, disk: true}},
	"xcrun":                 {{sub: "notarytool store-credentials", name: "notarytool profile", kind: ci.File, class: ci.Sign, disk: true, long: true}},
}

// mints says which credentials a command mints or writes.
func (w *walk) mints(c *call, operands []int) {
	for _, m := range minting[c.name] {
		n := c.matches(m.sub, operands)
		if n < 0 || m.with != "" && !c.has(m.with) || m.sans != "" && c.has(m.sans) {
			continue
		}
		w.credential(c, ci.Credential{Name: m.name, Kind: m.kind, Classes: m.classes(), OnDisk: m.disk, LongLived: m.long, Subject: w.subject(c, m, n)})
		return
	}
	w.settings(c)
}

func (m mint) classes() []ci.Class {
	if m.also != "" {
		return []ci.Class{m.class, m.also}
	}
	return []ci.Class{m.class}
}

// subject returns who a credential speaks as, where that is told.
func (w *walk) subject(c *call, m mint, n int) string {
	switch m.name {
	case "registry login":
		if oneOf(c.name, "az|gcloud") {
			return ""
		}
		return oneLine(c.operand(n))
	case "aws sts":
		return oneLine(c.value("--role-arn"))
	case "gcloud auth":
		return oneLine(c.value("--account --impersonate-service-account"))
	}
	return ""
}

// settings are the configuration commands that take a credential as a value.
func (w *walk) settings(c *call) {
	switch c.name {
	case "npm", "pnpm", "yarn":
		if oneOf(c.operand(0), "config|c|set") && tokenSetting(c.joined()) {
			w.credential(c, ci.Credential{Name: ".npmrc", Kind: ci.File, Classes: []ci.Class{ci.Publish}, OnDisk: true, LongLived: true})
		}
	case "git":
		w.gitSettings(c)
	case "tee", "cp":
	case "openssl", "base64", "certutil":
		w.keyFile(c, c.value("-out -o --output"))
	}
}

// tokenSetting tells whether a setting of npm is a token.
func tokenSetting(s string) bool {
	return strings.Contains(s, "_authToken") || strings.Contains(s, "_auth=") || strings.Contains(s, "_auth ") || strings.Contains(s, "_password") || strings.Contains(s, "npmAuthToken") || strings.Contains(s, "npmAuthIdent")
}

// gitSettings are the ways to give git a credential.
func (w *walk) gitSettings(c *call) {
	line := c.joined()
	name := ""
	switch {
	case c.operand(0) == "config" && (strings.Contains(line, "credential.") || strings.Contains(line, "extraheader") || strings.Contains(line, "insteadOf") && inURL(line)):
		name = "git credential"
	case oneOf(c.operand(0), "remote|push|clone|fetch|ls-remote") && inURL(line):
		name = "git remote"
	default:
		return
	}
	if name == "git credential" && strings.Contains(line, "--unset") {
		return
	}
	w.credential(c, ci.Credential{Name: name, Kind: ci.File, Classes: []ci.Class{ci.Repository}, OnDisk: c.operand(0) != "push" && c.operand(0) != "ls-remote"})
}

// inURL tells whether a text has a URL with a password that is put in.
func inURL(s string) bool {
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			return false
		}
		s = s[i+3:]
		end := strings.IndexAny(s, " \n\"'")
		if end < 0 {
			end = len(s)
		}
		user, _, ok := strings.Cut(s[:end], "@")
		if strings.Contains(s, "${{") { // an expression has spaces
			user, _, ok = strings.Cut(s, "@")
		}
		if ok && (strings.Contains(user, "$") || strings.Contains(user, "%")) && (strings.Contains(user, ":") || credentialText(user)) {
			return true
		}
	}
}

// credentialText tells whether a text most likely has a credential in it: an
// expression of a secret, or a variable with such a name.
func credentialText(s string) bool {
	lower := strings.ToLower(s)
	if strings.Contains(lower, "secrets.") || strings.Contains(lower, "github.token") {
		return true
	}
	if !strings.ContainsAny(s, "$%") {
		return false
	}
	for _, part := range []string{"token", "secret", "password", "passwd", "_key", "apikey", "_pat", "credential", "private"} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}

// credential adds a credential. The same of the same command is said once.
func (w *walk) credential(c *call, made ci.Credential) {
	made.Scope, made.Where = ci.MintedAt, c.place
	made.Enters = "by the command " + c.text
	for _, b := range w.facts.Credentials {
		if b.Name == made.Name && b.Where == made.Where {
			return
		}
	}
	w.facts.Credentials = append(w.facts.Credentials, made)
}

// wrote reads what a statement writes to a file: a token, a key, a download, or
// the environment of later steps.
func (w *walk) wrote(s *syntax.Stmt, file, body string) {
	if file == "" || strings.HasPrefix(file, "/dev/") || strings.HasPrefix(file, "&") {
		return
	}
	c := w.statement(s)
	text := c.own
	if body != "" {
		text = body
	}
	w.writes(c, file, text)
	if w.stdout != "" {
		w.download(file, w.stdout)
		w.stdout = ""
	}
	if w.stdin != "" && c.name == "tee" {
		w.download(file, w.stdin)
	}
}

// statement makes a call of a whole statement, to say where it stands.
func (w *walk) statement(s *syntax.Stmt) *call {
	name, written := w.commandOf(s)
	c := &call{name: name, at: int(s.Pos().Offset())}
	w.position(c, written)
	return c
}

// writes says what is written to a file.
func (w *walk) writes(c *call, file, text string) {
	base := path.Base(strings.ReplaceAll(strings.Trim(file, `"'`), `\`, "/"))
	publish := []ci.Class{ci.Publish}
	switch {
	case strings.Contains(file, "GITHUB_ENV") || strings.Contains(file, "GITHUB_PATH") || strings.Contains(file, "BASH_ENV"):
		w.store(ci.Store{Kind: kindEnv, Name: base, Writes: true, Where: c.place})
	case oneOf(base, ".npmrc|.yarnrc.yml|.yarnrc") && tokenSetting(text):
		w.credential(c, ci.Credential{Name: base, Kind: ci.File, Classes: publish, OnDisk: true, LongLived: true})
	case oneOf(base, ".pypirc|.netrc|_netrc|credentials|credentials.toml|settings.xml|config.json|gradle.properties|auth.json|NuGet.Config|nuget.config") && credentialFile(file, base, text):
		w.credential(c, ci.Credential{Name: base, Kind: ci.File, Classes: fileClasses(file, base), OnDisk: true, LongLived: true})
	default:
		w.keyFile(c, file)
	}
	if strings.Contains(file, "sources.list") || strings.Contains(file, "yum.repos.d") {
		w.r.state.set("sources")
	}
}

// credentialFile tells whether a file of settings is written with a credential.
func credentialFile(file, base, text string) bool {
	switch base {
	case ".pypirc", ".netrc", "_netrc":
		return true
	case "credentials":
		return strings.Contains(file, ".gem/") || strings.Contains(file, ".aws/") || strings.Contains(file, ".cargo/")
	case "config.json", "auth.json":
		return strings.Contains(file, ".docker") || strings.Contains(file, "containers") || strings.Contains(text, "auths") || strings.Contains(file, "kaniko")
	}
	return credentialText(text)
}

// fileClasses are what a file of credentials is good for.
func fileClasses(file, base string) []ci.Class {
	switch {
	case strings.Contains(file, ".aws/"):
		return []ci.Class{ci.Deploy}
	case strings.HasSuffix(base, "netrc"):
		return []ci.Class{ci.Repository}
	}
	return []ci.Class{ci.Publish}
}

// keyFile says that a key is written, by the file's name.
func (w *walk) keyFile(c *call, file string) {
	lower := strings.ToLower(strings.Trim(file, `"'`))
	base := path.Base(strings.ReplaceAll(lower, `\`, "/"))
	classes := []ci.Class{ci.Sign}
	switch {
	case oneOf(path.Ext(base), ".jks|.p12|.pfx|.keystore|.p8|.mobileprovision|.asc") && !strings.Contains(base, "public") && (path.Ext(base) != ".asc" || credentialText(c.own)):
	case strings.HasPrefix(base, "cosign") && path.Ext(base) == ".key" || strings.Contains(base, "gpg") && strings.Contains(base, "key"):
	case strings.HasPrefix(base, "id_rsa") || strings.HasPrefix(base, "id_ed25519") || strings.HasPrefix(base, "id_ecdsa") || strings.Contains(base, "deploy_key"):
		classes = []ci.Class{ci.Deploy, ci.Repository}
	case strings.Contains(base, "kubeconfig") || strings.HasSuffix(lower, ".kube/config"):
		classes = []ci.Class{ci.Deploy}
	case oneOf(path.Ext(base), ".pem|.key") && !strings.Contains(base, "pub") && (c.name == "base64" || credentialText(c.own)):
		classes = []ci.Class{ci.Sign, ci.Deploy}
	case path.Ext(base) == ".json" && credentialText(c.own) && (strings.Contains(base, "service") || strings.Contains(base, "gcp") || strings.Contains(base, "gcloud") || strings.Contains(base, "credential") || strings.Contains(base, "key")):
		classes = []ci.Class{ci.Deploy}
	default:
		return
	}
	if strings.HasSuffix(base, ".pub") {
		return
	}
	w.credential(c, ci.Credential{Name: base, Kind: ci.File, Classes: classes, OnDisk: true, LongLived: true})
}
