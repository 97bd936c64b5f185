package tekton

import (
	"slices"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	v := values{"image": "app", "with-dash": "x", "nested": "$(params.image)"}
	for text, want := range map[string]string{
		"$(params.image):1":                 "app:1",
		`$(params["with-dash"])`:            "x",
		"$(params['with-dash'])":            "x",
		"$(inputs.params.image)":            "app",
		"$(tt.params.image)":                "app",
		"$(params.other) $(params.image)":   "$(params.other) app",
		"$(date) $(params.image)":           "$(date) app",
		"$(echo $(params.image))":           "$(echo app)",
		"$(params.nested)":                  "$(params.image)", // values are resolved where they are given
		"$(params":                          "$(params",
		"$(parameters.image)":               "$(parameters.image)",
		"$(workspaces.source.path)/bin/run": "$(workspaces.source.path)/bin/run",
	} {
		if got := v.resolve(text); got != want {
			t.Errorf("%s is resolved as %s, not %s", text, got, want)
		}
	}
}

// Parameters that double each time come to no more than the limit and one value.
func TestResolveLimit(t *testing.T) {
	v := values{"a": strings.Repeat("x", maxValue-1)}
	if got := len(v.resolve(strings.Repeat("$(params.a)", 1000))); got > 2*maxValue+20_000 {
		t.Errorf("%d bytes", got)
	}
}

func TestShellText(t *testing.T) {
	v := values{"cmd": "npm", "late": "$(tasks.a.results.b)"}
	text := "cd $(workspaces.src.path) && $(params.cmd) ci $(params['late']) $(pwd)"
	got, env, back := v.shellText(text)
	if want := "cd ${workspaces_src_path} && ${params_cmd} ci ${params__late__} $(pwd)"; got != want {
		t.Errorf("got %s", got)
	}
	if len(env) != 2 || env["params_cmd"] != "npm" || env["workspaces_src_path"] != "." {
		t.Errorf("known: %v", env)
	}
	if back.Replace(got) != text {
		t.Errorf("written back as %s", back.Replace(got))
	}
}

func TestResults(t *testing.T) {
	got := results("$(tasks.a.results.b) $(tasks.c.results.list[0]) $(tasks.d.status) $(params.x)")
	if want := []string{"a.b", "c.list"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
