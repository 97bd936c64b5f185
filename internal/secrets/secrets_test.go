package secrets

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	digits = "0123456789"
	alnum  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lower + digits
	hexes  = "0123456789abcdef"
	caps   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	bech   = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"
)

// gen makes texts that look drawn by chance, the same ones in each run. Tokens
// are put together here so that the source holds none.
type gen struct{ r *mathrand.Rand }

func newGen() gen { return gen{mathrand.New(mathrand.NewPCG(7, 11))} }

func (g gen) of(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[g.r.IntN(len(alphabet))]
	}
	return string(b)
}

func (g gen) b64(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.r.IntN(256))
	}
	return base64.StdEncoding.EncodeToString(b)
}

func (g gen) jwt(claims string) string {
	h := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`))
	return h + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + g.of(alnum, 86)
}

func privatePEM(t testing.TB) string {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE " + "KEY", Bytes: der}))
}

// samples has at least one text for each rule that must be found by it.
func samples(t testing.TB, g gen) map[string][]string {
	key := privatePEM(t)
	return map[string][]string{
		"private-key":               {key, strings.ReplaceAll(key, "\n", `\n`), strings.ReplaceAll(key, "\n", "\r\n"), "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA" + g.b64(200)},
		"age-key":                   {"AGE-SECRET-" + "KEY-1" + g.of(bech, 58)},
		"putty-key":                 {"Private-" + "Lines: 1\n" + g.b64(48)},
		"note-key":                  {"PRIVATE+" + "KEY+log.example+0a1b2c3d+" + g.b64(33)},
		"minisign-key":              {"RWRT" + "Y0Iy" + g.b64(150)},
		"wireguard-key":             {"Private" + "Key = " + g.b64(32) + "\n"},
		"jwt":                       {g.jwt(`{"iss":"https://idp.example","sub":"me","exp":4102444800}`), g.jwt(`{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:a:b"}`)},
		"kubeconfig-key":            {"client-key-" + "data: LS0t" + g.b64(120)},
		"aws-access-key":            {"AKI" + "A" + g.of(caps, 16), "ASI" + "A" + g.of(caps, 16)},
		"aws-secret-key":            {"aws_secret_" + "access_key = " + g.of(alnum, 40) + "\n", `"SecretAccess` + `Key": "` + g.of(alnum, 40) + `"`},
		"aws-session-token":         {"IQoJb3Jp" + "Z2lu" + g.of(alnum, 200)},
		"aws-bedrock-key":           {"ABSKQmVkcm9ja0" + "FQSUtleS" + g.of(alnum, 100)},
		"gcp-api-key":               {"AIz" + "a" + g.of(alnum, 35)},
		"gcp-oauth-secret":          {"GOCS" + "PX-" + g.of(alnum, 28)},
		"gcp-access-token":          {"ya2" + "9." + g.of(alnum, 120)},
		"gcp-service-account":       {`"private_` + `key_id": "` + g.of(hexes, 40) + `"`},
		"azure-storage-key":         {"Account" + "Key=" + g.b64(64)},
		"azure-client-secret":       {" " + "a1b8Q~" + g.of(alnum, 34) + " "},
		"azure-sas":                 {"?sv=1&" + "sig=" + g.of(alnum, 43) + "%3D"},
		"alibaba-key":               {"LTAI" + "5t" + g.of(alnum, 18)},
		"digitalocean-token":        {"dop" + "_v1_" + g.of(hexes, 64)},
		"databricks-token":          {"dap" + "i" + g.of(hexes, 32)},
		"heroku-key":                {"HRKU" + "-AA" + g.of(alnum, 58)},
		"fly-token":                 {"FlyV1 " + "fm2_" + g.of(alnum, 200)},
		"cloudflare-ca-key":         {"v1." + "0-" + g.of(hexes, 24) + "-" + g.of(hexes, 146)},
		"planetscale-token":         {"pscale" + "_tkn_" + g.of(alnum, 43)},
		"supabase-token":            {"sb" + "p_" + g.of(hexes, 40)},
		"github-token":              {"gh" + "p_" + g.of(alnum, 36), "gh" + "o_" + g.of(alnum, 36), "gh" + "s_" + g.of(alnum, 36)},
		"github-fine-grained-token": {"github" + "_pat_" + g.of(alnum, 22) + "_" + g.of(alnum, 59)},
		"gitlab-token":              {"gl" + "pat-" + g.of(alnum, 20), "gl" + "rt-" + g.of(alnum, 20)},
		"bitbucket-token":           {"ATB" + "B" + g.of(alnum, 24) + g.of("0123456789ABCDEF", 8)},
		"atlassian-token":           {"ATATT3x" + "FfGF0" + g.of(alnum, 180)},
		"buildkite-token":           {"bk" + "ua_" + g.of(hexes, 40)},
		"circleci-token":            {"CCI" + "PAT_" + g.of(alnum, 22) + "_" + g.of(hexes, 40)},
		"sonar-token":               {"sq" + "u_" + g.of(hexes, 40)},
		"docker-token":              {"dckr" + "_pat_" + g.of(alnum, 27)},
		"docker-auth":               {`"au` + `th": "` + base64.StdEncoding.EncodeToString([]byte("robot:"+g.of(alnum, 20))) + `"`},
		"npm-token":                 {"np" + "m_" + g.of(alnum, 36)},
		"npmrc-auth":                {"//registry.example/:_auth" + "Token=" + g.of(alnum, 36)},
		"pypi-token":                {"pypi" + "-AgEIcHlwaS5vcmc" + g.of(alnum, 120)},
		"rubygems-key":              {"ruby" + "gems_" + g.of(hexes, 48)},
		"nuget-key":                 {"oy" + "2" + g.of(lower+digits, 43)},
		"clojars-token":             {"CLOJ" + "ARS_" + g.of(lower+digits, 60)},
		"crates-token":              {"ci" + "o" + g.of(alnum, 32) + "\n"},
		"artifactory-key":           {"AKC" + "p" + g.of(alnum, 69)},
		"artifactory-token":         {"cmVm" + "dGtu" + g.of(alnum, 56)},
		"slack-token":               {"xox" + "b-" + g.of(digits, 12) + "-" + g.of(digits, 12) + "-" + g.of(alnum, 24)},
		"slack-webhook":             {"https://hooks." + "slack.com/services/T" + g.of(caps, 9) + "/B" + g.of(caps, 9) + "/" + g.of(alnum, 24)},
		"stripe-key":                {"sk" + "_live_" + g.of(alnum, 24), "rk" + "_test_" + g.of(alnum, 99)},
		"stripe-webhook-secret":     {"whs" + "ec_" + g.of(alnum, 32)},
		"twilio-key":                {"TWILIO" + "_API_KEY=SK" + g.of(hexes, 32), "twilio" + "_auth_token: " + g.of(hexes, 32)},
		"sendgrid-key":              {"SG" + "." + g.of(alnum, 22) + "." + g.of(alnum, 43)},
		"mailgun-key":               {"MAILGUN" + "=key-" + g.of(hexes, 32)},
		"mailchimp-key":             {"mailchimp" + ": " + g.of(hexes, 32) + "-us12"},
		"telegram-token":            {" 123498765" + ":AA" + g.of(alnum, 33) + "\n"},
		"discord-webhook":           {"https://discord.com/api/" + "webhooks/" + g.of(digits, 18) + "/" + g.of(alnum, 68)},
		"discord-token":             {"DISCORD" + "_BOT=M" + g.of(alnum, 23) + "." + g.of(alnum, 6) + "." + g.of(alnum, 38)},
		"openai-key":                {"sk-" + "proj-" + g.of(alnum, 74) + "T3Blbk" + "FJ" + g.of(alnum, 74)},
		"anthropic-key":             {"sk-" + "ant-api03-" + g.of(alnum, 93)},
		"huggingface-token":         {"h" + "f_" + g.of(alnum[:52], 34) + "\n"},
		"groq-key":                  {"gs" + "k_" + g.of(alnum, 52)},
		"replicate-token":           {"r" + "8_" + g.of(alnum, 37)},
		"shopify-token":             {"shp" + "at_" + g.of(hexes, 32)},
		"square-token":              {"sq0" + "csp-" + g.of(alnum, 43)},
		"braintree-token":           {"access_token" + "$production$" + g.of(lower+digits, 16) + "$" + g.of(hexes, 32)},
		"figma-token":               {"fi" + "gd_" + g.of(alnum, 40)},
		"linear-key":                {"lin" + "_api_" + g.of(alnum, 40)},
		"notion-token":              {"nt" + "n_" + g.of(alnum, 46)},
		"postman-key":               {"PM" + "AK-" + g.of(hexes, 24) + "-" + g.of(hexes, 34)},
		"mapbox-token":              {"sk" + ".eyJ" + g.of(alnum, 60) + "." + g.of(alnum, 22)},
		"easypost-key":              {"EZ" + "AK" + g.of(alnum, 54)},
		"onepassword-token":         {"ops" + "_eyJ" + g.of(alnum, 300)},
		"vault-token":               {"hv" + "s." + g.of(alnum, 90)},
		"terraform-token":           {g.of(alnum, 14) + ".atlas" + "v1." + g.of(alnum, 67)},
		"pulumi-token":              {"pu" + "l-" + g.of(hexes, 40)},
		"doppler-token":             {"dp" + ".pt." + g.of(alnum, 43)},
		"grafana-token":             {"gls" + "a_" + g.of(alnum, 32) + "_" + g.of(hexes, 8)},
		"newrelic-key":              {"NR" + "AK-" + g.of(caps, 27)},
		"sentry-token":              {"sntr" + "yu_" + g.of(hexes, 64)},
		"dynatrace-token":           {"dt0" + "c01." + g.of(caps, 24) + "." + g.of(caps, 64)},
		"tailscale-key":             {"tskey" + "-auth-" + g.of(alnum, 12) + "-" + g.of(alnum, 32)},
		"url-password":              {"postgres" + "://shop:Kq7" + g.of(alnum, 14) + "@db.internal.corp/shop"},
		"authorization-header":      {`Authori` + `zation: Bearer ` + g.of(alnum, 40)},
		"assigned-secret":           {`db_pass` + `word = "` + g.b64(24)[:30] + `"`, "DEPLOY_TO" + "KEN=" + "9aZ" + g.of(digits, 4) + g.of(alnum, 24) + "\n", `"client_sec` + `ret": "` + g.of(hexes, 40) + `"`},
	}
}

func scanner(t testing.TB, o Options) *Scanner {
	t.Helper()
	if o.Key == nil {
		o.Key = []byte("test")
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func scanBytes(t testing.TB, s *Scanner, b []byte) Report {
	t.Helper()
	r, err := s.Reader(context.Background(), "x", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rulesOf(r Report) []string {
	var ids []string
	for _, f := range r.Findings {
		ids = append(ids, f.Rule)
	}
	return ids
}

func TestEachRuleFindsItsSamples(t *testing.T) {
	s := scanner(t, Options{})
	all := samples(t, newGen())
	for _, r := range Rules() {
		if len(all[r.ID]) == 0 {
			t.Errorf("rule %s has no sample", r.ID)
		}
		for i, text := range all[r.ID] {
			for _, around := range []string{"%s", "some text\nvalue: %s \nmore", `{"x":"%s"}`} {
				if got := rulesOf(scanBytes(t, s, fmt.Appendf(nil, around, text))); !slices.Contains(got, r.ID) {
					t.Errorf("rule %s, sample %d in %q: found %v", r.ID, i, around, got)
				}
			}
		}
		delete(all, r.ID)
	}
	for id := range all {
		t.Errorf("sample for %s, which is no rule", id)
	}
}

func TestRulesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		if r.ID == "" || r.Description == "" || len(r.Keywords) == 0 || r.Pattern == "" {
			t.Errorf("rule %+v lacks a part", r)
		}
		if seen[r.ID] {
			t.Errorf("rule %s stands twice", r.ID)
		}
		seen[r.ID] = true
	}
}

// What stands in programs and manuals must not stop a release.
func TestOrdinaryTextIsClean(t *testing.T) {
	g := newGen()
	whole := privatePEM(t)
	texts := []string{
		"-----BEGIN " + "PRIVATE KEY-----", "-----BEGIN RSA " + "PRIVATE KEY-----\x00%s-----END", "-----BEGIN " + "PRIVATE KEY-----\n" + g.b64(30) + "...\n",
		whole[:len(whole)/2] + "\n...\n", "-----BEGIN PUBLIC KEY-----\n" + g.b64(91),
		"AKIA" + "IOSFODNN7EXAMPLE", "gh" + "p_" + strings.Repeat("x", 36), "gh" + "p_" + strings.Repeat("a", 36), "npm_" + "config_userconfig_and_some_more_words_of_it",
		g.jwt(`{"sub":"1234567890","name":"John Doe","iat":1516239022}`), g.jwt(`{"iss":"x","exp":1516239022}`),
		`password = "correct horse battery"`, `password: process.env.PASSWORD_FOR_SHOP_2_3_4`, `token = strings.TrimSpace(os.Getenv("TOKEN_12345"))`,
		"postgres://user:" + "password@db.corp.internal/x", "http://user:" + "Kq7abc91xxyyz@localhost:80/", "https://u:" + "${PASSWORD_1}@h.corp/",
		`"integrity": "sha512-` + g.b64(64) + `"`, `"token": "` + g.of(hexes, 8) + "-1234-4abc-8def-" + g.of(hexes, 12) + `"`,
		`secretAccessKey: ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn` + "\n", "data:image/png;base64," + g.b64(100) + "AIz" + "a" + g.of(alnum, 36) + g.b64(100),
		`const tokenTypes="0123456789abcdefghijklmnopqrstuvwxyz"`, "api_key = YOUR_API_KEY_GOES_HERE_123456", "AccountKey=" + "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
		"AGE-SECRET-KEY-1", "sk-ant-api03-", "xoxb-your-token-goes-here-and-more",
	}
	s := scanner(t, Options{Now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)})
	for _, text := range texts {
		if got := rulesOf(scanBytes(t, s, []byte(text))); len(got) > 0 {
			t.Errorf("%.60q: found %v", text, got)
		}
	}
}

func TestFindingsHoldNoSecret(t *testing.T) {
	g := newGen()
	token := "gh" + "p_" + g.of(alnum, 36)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, token+".txt"), []byte("one\ntwo "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := scanner(t, Options{}).Tree(context.Background(), "out", dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(token)) || bytes.Contains(b, []byte(token[4:])) {
		t.Fatalf("the report repeats the secret: %s", b)
	}
	if len(r.Findings) != 2 { // in the name and in the file
		t.Fatalf("findings %+v", r.Findings)
	}
	if f := r.Findings[1]; f.Line != 2 || f.Print == "" || f.Print != r.Findings[0].Print {
		t.Errorf("finding %+v: want line 2 and one fingerprint for one secret", f)
	}
	other := scanBytes(t, scanner(t, Options{Key: []byte("another")}), []byte(token))
	if other.Findings[0].Print == r.Findings[0].Print {
		t.Error("the fingerprint does not depend on the key")
	}
}

func gz(t testing.TB, b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func tarOf(t testing.TB, name string, b []byte) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zipOf(t testing.TB, name string, b []byte) []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	f, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func wrap(s string, n int) string {
	var b strings.Builder
	for len(s) > n {
		b.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	return b.String() + s + "\n"
}

// A canary is found in every form that the replayed attacks use.
func TestValueInEveryForm(t *testing.T) {
	g := newGen()
	canary := g.of(hexes, 24)
	b64 := func(b string) string { return base64.StdEncoding.EncodeToString([]byte(b)) }
	env := "HOME=/root\nCANARY=" + canary + "\nPATH=/bin\n" + g.of(alnum, 300) + "\n"
	reversed := []byte(canary)
	slices.Reverse(reversed)
	forms := map[string]string{
		"raw": canary, "reversed": string(reversed), "hex": hex.EncodeToString([]byte(canary)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(canary))),
		"base64 wrapped": wrap(b64(env), 76), "base64 twice wrapped": wrap(b64(wrap(b64(env), 76)), 76),
		"hex of base64": hex.EncodeToString([]byte(b64(env))), "base64 three times": b64(b64(b64(env))),
		"gzip": string(gz(t, []byte(env))), "gzip inside": "head " + string(gz(t, []byte(env))), "base64 of gzip": "x=" + b64(string(gz(t, []byte(env)))),
		"hex, wrapped": wrap(hex.EncodeToString([]byte(env)), 60),
		"tar":          string(tarOf(t, "a/b", []byte(env))), "tar name": string(tarOf(t, canary, nil)), "zip": string(zipOf(t, "a", []byte(env))),
		"tar.gz in zip": string(zipOf(t, "x.tgz", gz(t, tarOf(t, "e", []byte(env))))), "gzip in tar": string(tarOf(t, "e.gz", gz(t, []byte(env)))),
	}
	for offset := range 3 {
		pad := strings.Repeat("p", offset)
		forms[fmt.Sprint("base64 at ", offset)] = b64(pad + canary + "tail")
		forms[fmt.Sprint("base64 url at ", offset)] = base64.RawURLEncoding.EncodeToString([]byte(pad + canary))
		for second := range 3 {
			forms[fmt.Sprint("base64 twice at ", offset, second)] = b64(strings.Repeat("q", second) + b64(pad+canary+"tail"))
		}
	}
	for pad := range 6 { // the value is the last thing in text that is wrapped
		text := strings.Repeat("p", 45+pad) + canary
		forms[fmt.Sprint("last in wrapped base64, after ", pad)] = wrap(b64(text+"\n"), 76)
		forms[fmt.Sprint("last in wrapped base64 twice, after ", pad)] = wrap(b64(wrap(b64(text), 76)+"\n"), 76)
	}
	s := scanner(t, Options{Values: []Value{{Rule: "canary:env", Secret: []byte(canary)}}})
	for name, form := range forms {
		for _, front := range []int{0, 5, block + ahead - 20, block + ahead + back - 8} {
			if strings.Contains("tar zip gzip base64 twice wrapped", strings.Fields(name)[0]) && front > 0 && strings.ContainsAny(form, "\x00\x1f") {
				continue // an archive is one from its first byte
			}
			text := strings.Repeat(".", front) + "\n" + form
			if front == 0 {
				text = form
			}
			if got := rulesOf(scanBytes(t, s, []byte(text))); !slices.Contains(got, "canary:env") {
				t.Errorf("%s after %d bytes: found %v", name, front, got)
			}
		}
	}
}

func TestZipBehindAProgram(t *testing.T) {
	g := newGen()
	canary := g.of(alnum, 24)
	path := filepath.Join(t.TempDir(), "sfx")
	inner := bytes.NewBuffer(append([]byte("\x7fELF"), make([]byte, 5000)...))
	inner.Write(zipOf(t, "a", []byte(canary)))
	if err := os.WriteFile(path, inner.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := scanner(t, Options{Values: []Value{{Rule: "canary:x", Secret: []byte(canary)}}})
	r, err := s.File(context.Background(), "sfx", path)
	if err != nil {
		t.Fatal(err)
	}
	if got := rulesOf(r); !slices.Contains(got, "canary:x") {
		t.Errorf("found %v", got)
	}
}

func TestLimitsAreNotClean(t *testing.T) {
	zeros := make([]byte, 1<<20)
	deep := []byte("x")
	for range 6 {
		deep = gz(t, deep)
	}
	for name, c := range map[string]struct {
		limits Limits
		data   []byte
	}{
		"expands": {Limits{Expanded: 1 << 16}, gz(t, zeros)},
		"deep":    {Limits{}, deep},
		"spool":   {Limits{Spool: 100}, zipOf(t, "a", bytes.Repeat([]byte("abc"), 1000))},
		"entries": {Limits{Entries: 1}, tarOf(t, "a", nil)},
	} {
		r := scanBytes(t, scanner(t, Options{Limits: c.limits}), c.data)
		if r.Clean() || len(r.Incomplete) == 0 {
			t.Errorf("%s: a scan that a limit cut short is called clean", name)
		}
	}
	many := strings.Builder{}
	g := newGen()
	for range 20 {
		many.WriteString("gh" + "p_" + g.of(alnum, 36) + "\n")
	}
	r := scanBytes(t, scanner(t, Options{Limits: Limits{Findings: 5}}), []byte(many.String()))
	if len(r.Findings) != 5 || len(r.Incomplete) == 0 {
		t.Errorf("%d findings, incomplete %v", len(r.Findings), r.Incomplete)
	}
}

func TestReadErrorIsAnError(t *testing.T) {
	s := scanner(t, Options{})
	for _, head := range []string{"plain", gzipMagic, "PK\x03\x04"} {
		r := io.MultiReader(strings.NewReader(head+strings.Repeat("x", 600)), failing{})
		if _, err := s.Reader(context.Background(), "x", r); err == nil {
			t.Errorf("%q: a stream that broke was called scanned", head)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Reader(ctx, "x", bytes.NewReader(make([]byte, 4*block))); err == nil {
		t.Error("a scan that was stopped gave a report")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestTreeRefusesOddFiles(t *testing.T) {
	dir := t.TempDir()
	canary := newGen().of(alnum, 20)
	if err := os.Symlink("/"+canary, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	s := scanner(t, Options{Values: []Value{{Rule: "canary:x", Secret: []byte(canary)}}})
	r, err := s.Tree(context.Background(), "tree", dir)
	if err != nil || len(r.Findings) != 1 {
		t.Errorf("a canary in a link's target: %+v, %v", r, err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(dir, "pipe")).CombinedOutput(); err != nil {
		t.Skipf("not run: needs mkfifo: %s", out)
	}
	if _, err := s.Tree(context.Background(), "tree", dir); err == nil {
		t.Error("a pipe was taken for a file")
	}
}

func TestThirdPartyTests(t *testing.T) {
	key := privatePEM(t)
	canary := newGen().of(alnum, 20)
	dir := t.TempDir()
	for name, body := range map[string]string{"node_modules/x/test/k.pem": key + canary, "src/k.pem": key} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := scanner(t, Options{Values: []Value{{Rule: "canary:x", Secret: []byte(canary)}}})
	r, err := s.Tree(context.Background(), "tree", dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Rule+" "+f.Where)
	}
	slices.Sort(got)
	want := []string{"canary:x tree/node_modules/x/test/k.pem", "private-key tree/src/k.pem"}
	if !slices.Equal(got, want) {
		t.Errorf("found %v, wanted %v", got, want)
	}
}

func TestShortValuesAreRefused(t *testing.T) {
	if _, err := New(Options{Values: []Value{{Rule: "x", Secret: []byte("short")}}}); err == nil {
		t.Error("a value of five bytes was accepted")
	}
}

// Programs that handle keys hold the words that rules look for.
func TestToolchainIsClean(t *testing.T) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("not run: needs go")
	}
	root := strings.TrimSpace(string(out))
	s := scanner(t, Options{Now: time.Now(), Values: []Value{{Rule: "canary:x", Secret: []byte("3f9a2c7b1d5e8064aa")}}})
	for _, dir := range []string{"bin", "pkg/tool"} {
		r, err := s.Tree(context.Background(), dir, filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		if !r.Clean() || r.Bytes == 0 {
			t.Errorf("%s: %d bytes, %+v %v", dir, r.Bytes, r.Findings, r.Incomplete)
		}
	}
}

func TestNpmTreeIsClean(t *testing.T) {
	out, err := exec.Command("npm", "root", "-g").Output()
	if err != nil {
		t.Skip("not run: needs npm")
	}
	r, err := scanner(t, Options{Now: time.Now()}).Tree(context.Background(), "node_modules", strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Clean() || r.Files < 500 {
		t.Errorf("%d files, %+v %v", r.Files, r.Findings, r.Incomplete)
	}
}

func FuzzReader(f *testing.F) {
	g := newGen()
	for _, all := range samples(f, g) {
		f.Add([]byte(all[0]))
	}
	f.Add(gz(f, []byte("x")))
	f.Add(tarOf(f, "a", gz(f, []byte("x"))))
	f.Add(zipOf(f, "a", []byte("x")))
	s := scanner(f, Options{Values: []Value{{Rule: "canary:x", Secret: []byte("3f9a2c7b1d5e8064aa")}}, Limits: Limits{Expanded: 1 << 20}})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := s.Reader(context.Background(), "x", bytes.NewReader(b))
		if err != nil {
			t.Fatalf("bytes in memory cannot fail: %v", err)
		}
		r2, err := s.Log(context.Background(), "x", bytes.NewReader(append(b, "3f9a2c7b1d5e8064aa"...)))
		if err != nil || !slices.Contains(rulesOf(r2), "canary:x") {
			t.Fatalf("a canary after %d bytes was lost: %v (%v)", len(b), rulesOf(r2), rulesOf(r))
		}
	})
}

func BenchmarkScan(b *testing.B) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skip("not run: needs go")
	}
	root := strings.TrimSpace(string(out))
	for name, file := range map[string]string{"binary": "bin/go", "source": "src/cmd/compile/internal/ssa/rewriteARM64.go"} {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			b.Fatal(err)
		}
		s := scanner(b, Options{Values: []Value{{Rule: "canary:x", Secret: []byte("3f9a2c7b1d5e8064aa")}}})
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				scanBytes(b, s, data)
			}
		})
	}
}
