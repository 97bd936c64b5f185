package gateway_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/upstreamtest"
)

const secretToken, secretPassword, secretNetrc = "npm_s3cr3tT0k3n", "pr0xyPassw0rd", "n3trcPassw0rd"

// TestCredentialsStayInTheGateway configures the real clients of this machine
// with credentials, and then looks for them everywhere they must not be.
func TestCredentialsStayInTheGateway(t *testing.T) {
	for _, c := range []string{"npm", "go"} {
		if _, err := exec.LookPath(c); err != nil {
			t.Skipf("not run: needs %s", c)
		}
	}
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	p := upstreamtest.NewGoProxy(t, goModules()...)
	var npmAuth, goAuth []string
	r.Tamper(func(w http.ResponseWriter, req *http.Request) bool {
		npmAuth = append(npmAuth, req.Header.Get("Authorization"))
		return false
	})
	p.Tamper(func(w http.ResponseWriter, req *http.Request) bool {
		goAuth = append(goAuth, req.Header.Get("Authorization"))
		return false
	})
	home := t.TempDir()
	npmHost := strings.TrimPrefix(r.URL, "http://")
	write(t, home, map[string]string{
		".npmrc": "registry=" + r.URL + "/\n//" + npmHost + "/:_authToken=${NPM_SECRET}\n",
		".netrc": "machine 127.0.0.1 login someone password " + secretNetrc + "\n",
	})
	t.Setenv("HOME", home)
	t.Setenv("NPM_SECRET", secretToken)
	t.Setenv("GOENV", "off")
	t.Setenv("GOSUMDB", p.Key)
	for name, goproxy := range map[string]string{
		"password in the address": strings.Replace(p.URL, "http://", "http://someone:"+secretPassword+"@", 1),
		"netrc":                   p.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOPROXY", goproxy)
			npmAuth, goAuth = nil, nil
			looked := everywhere(t, r, p)
			for _, s := range []string{secretToken, secretPassword, secretNetrc, base64.StdEncoding.EncodeToString([]byte("someone:" + secretPassword)), base64.StdEncoding.EncodeToString([]byte("someone:" + secretNetrc)), url.QueryEscape(secretToken)} {
				for where, text := range looked {
					if strings.Contains(text, s) {
						t.Errorf("%s holds %s", where, s)
					}
				}
			}
			want := secretNetrc
			if strings.Contains(goproxy, "@") {
				want = secretPassword
			}
			if len(npmAuth) == 0 || npmAuth[0] != "Bearer "+secretToken {
				t.Errorf("npm upstream was told %q", npmAuth)
			}
			if basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("someone:"+want)); len(goAuth) == 0 || goAuth[len(goAuth)-1] != basic {
				t.Errorf("Go upstream was told %q", goAuth)
			}
		})
	}
}

// everywhere uses a gateway for good and bad and gathers all it lets out.
func everywhere(t *testing.T, r *upstreamtest.Registry, p *upstreamtest.GoProxy) map[string]string {
	t.Helper()
	b := realBench(t, filepath.Join(t.TempDir(), "gateway"))
	looked := map[string]string{}
	files := npmProject(t, r, r.URL)
	for k, v := range goProject(p) {
		files[k] = v
	}
	dir := tree(t, files)
	set := b.plan(dir)
	z := b.zone(gateway.SessionOptions{Allow: set, NoPrefetch: true})
	looked["npm ci"] = z.must(dir, "npm", "ci", "--ignore-scripts", "--loglevel", "silly")
	looked["go mod download"] = z.must(dir, "go", "mod", "download", "-x")
	looked["environment"] = strings.Join(z.Env(z.port), "\n")
	looked["materials"] = fmt.Sprintf("%+v %+v", set.Materials(), z.Served())
	looked["document"] = second(get(t, z, "/left"))
	looked["refusal"] = second(get(t, z, "/none")) + fmt.Sprintf("%+v", z.Denials())
	_, err := b.gw.Source(t.Context(), "pkg:npm/none@1.0.0", filepath.Join(dir, "x"))
	looked["error"] = fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err))
	_, err = b.gw.Source(t.Context(), "pkg:golang/mod.example/none@v1.0.0", filepath.Join(dir, "x"))
	looked["Go error"] = fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err))
	looked["whole gateway"] = fmt.Sprintf("%+v %#v %v", b.gw, b.gw, b.gw)
	err = filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		looked["file "+path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(looked) < 15 {
		t.Fatalf("looked at %d places only", len(looked))
	}
	return looked
}

func second(_ int, s string) string { return s }

func TestCredentialIsRefused(t *testing.T) {
	r := upstreamtest.NewRegistry(t, npmPackages()...)
	b := newBench(t, nil, r)
	dir := tree(t, npmProject(t, r, builtin))
	r.Tamper(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(401); return true })
	z := b.zone(gateway.SessionOptions{Allow: b.plan(dir), NoPrefetch: true})
	status, body := get(t, z, "/left/-/left-1.0.0.tgz")
	if status != 502 || !errors.Is(z.Err(), gateway.ErrCredential) {
		t.Errorf("%d %s (%v)", status, body, z.Err())
	}
}

func TestDiscoveryIsNotTheProjects(t *testing.T) {
	for _, c := range []string{"npm", "go"} {
		if _, err := exec.LookPath(c); err != nil {
			t.Skipf("not run: needs %s", c)
		}
	}
	dir := tree(t, map[string]string{
		".npmrc": "registry=http://evil.example/\n@acme:registry=http://evil.example/\n",
		"go.env": "GOPROXY=http://evil.example\n",
		"go.mod": "module x\n\ngo 1.99\n\ntoolchain go1.99.0\n",
	})
	t.Chdir(dir)
	t.Setenv("GOTOOLCHAIN", "auto")
	t.Setenv("HOME", t.TempDir())
	up, err := gateway.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err := up.Npm(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	g, err := up.Go(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprintf("%v %v %v", n, g, n.Scopes), "evil") {
		t.Errorf("the project answered for the machine: %v %v", n, g)
	}
	if n.Default.IsZero() || g.Toolchain != runtime.Version() || g.Arch != runtime.GOARCH {
		t.Errorf("%v %+v", n, g)
	}
}

func TestMissingClientsAreFineUntilNeeded(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	b := realBench(t, filepath.Join(t.TempDir(), "gateway"))
	if _, err := b.gw.Plan(t.Context(), t.TempDir(), sources(t, t.TempDir())); err != nil {
		t.Errorf("a project that needs no client: %v", err)
	}
	dir := tree(t, map[string]string{"package.json": "{}"})
	if _, err := b.gw.Plan(t.Context(), dir, sources(t, dir)); !errors.Is(err, gateway.ErrConfig) {
		t.Errorf("npm is missing: %v", err)
	}
	dir = tree(t, map[string]string{"go.mod": "module x\n"})
	if _, err := b.gw.Plan(t.Context(), dir, sources(t, dir)); !errors.Is(err, gateway.ErrConfig) {
		t.Errorf("go is missing: %v", err)
	}
}
