package gateway_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/gateway/npm"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
	"github.com/sallyport/sallyport/internal/pipeline"
)

// TestVectors plans every lockfile of spec/vectors/gateway, with the upstreams
// that its README names.
func TestVectors(t *testing.T) {
	b := newBench(t, nil, nil)
	b.gw = withNpm(t, b, npm.Config{
		Registry: site(t, "https://mirror.example/npm"), Default: site(t, builtin),
		Scopes: map[string]upstream.Site{"@acme": site(t, "https://private.example")},
	})
	files, err := filepath.Glob("../../spec/vectors/gateway/*/*/*.*")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d vectors (%v)", len(files), err)
	}
	accepted, refused := 0, 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		want := filepath.Base(filepath.Dir(f))
		err = planVector(t, b, strings.HasSuffix(f, ".sum"), string(raw))
		switch {
		case want == "accept":
			accepted++
			if err != nil {
				t.Errorf("%s: %v", f, err)
			}
		default:
			refused++
			var e *gateway.Error
			if !errors.As(err, &e) || e.Where == "" || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
	if refused < 3*accepted {
		t.Errorf("%d refusals to %d acceptances", refused, accepted)
	}
}

func planVector(t *testing.T, b *bench, isGo bool, text string) error {
	t.Helper()
	if isGo {
		dir := tree(t, map[string]string{"go.mod": "module app.example/app\n\ngo 1.21\n", "go.sum": text})
		_, err := b.gw.Plan(context.Background(), dir, pipeline.Gateway{Go: []pipeline.GoSource{{Dir: ".", Lockfile: "go.sum"}}})
		return err
	}
	dir := tree(t, map[string]string{"package.json": "{}", "package-lock.json": text})
	_, err := b.gw.Plan(context.Background(), dir, pipeline.Gateway{Npm: []pipeline.NpmSource{{Dir: ".", Lockfile: "package-lock.json"}}})
	return err
}
