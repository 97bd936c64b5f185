package conductor

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/store"
	"github.com/sallyport/sallyport/internal/toolchain"
)

// gatewayPort is where the gateway listens inside a fetch zone, on a loopback of
// its own.
const gatewayPort = 8473

// variant is how a second build differs from the first. The zero variant is the
// first build.
type variant struct {
	At       string  `json:"at,omitempty"`       // where the overlay is; empty: sandbox.Box
	Hostname string  `json:"hostname,omitempty"` // empty: the sandbox's default
	UID      int     `json:"uid,omitempty"`
	CPUs     float64 `json:"cpus,omitempty"`
	Zone     string  `json:"tz,omitempty"`
	Locale   string  `json:"locale,omitempty"`
	Umask    string  `json:"umask,omitempty"`
}

func (v variant) box() string {
	if v.At == "" {
		return sandbox.Box
	}
	return v.At
}

// second is the usual variant of a second build. The clock differs by itself.
func second() variant {
	return variant{At: "/box2", Hostname: "sallyport-again", UID: 1234, CPUs: 1, Zone: "Asia/Kathmandu", Locale: "C", Umask: "027"}
}

// varied names what differs.
func (v variant) varied() []string {
	out := []string{"hostname", "uid", "time", "timezone", "locale", "umask", "cpus"}
	if v.At != "" {
		out = append([]string{"path"}, out...)
	}
	return out
}

// environ is the whole environment of a stage: a fixed list, the toolchains',
// the gateway's in fetch, and what the pipeline says. Nothing of the
// controller's own is in it.
func environ(s *pipeline.Stage, tools toolchain.Set, road []string, v variant) []string {
	box := v.box()
	env := map[string]string{
		"PATH":              strings.Join(tools.Path, ":"),
		"HOME":              sandbox.Home,
		"TMPDIR":            sandbox.Temp,
		"USER":              "sallyport",
		"LOGNAME":           "sallyport",
		"SHELL":             "/bin/sh",
		"LANG":              "C.UTF-8",
		"TZ":                "UTC",
		"CI":                "true",
		"SOURCE_DATE_EPOCH": fmt.Sprint(store.Epoch),

		"GOPATH":      path.Join(box, "go"),
		"GOMODCACHE":  path.Join(box, "go/mod"),
		"GOCACHE":     path.Join(box, goCacheDir),
		"GOENV":       "off",
		"GOTELEMETRY": "off",
		"GOTOOLCHAIN": "local", // but see withToolchain

		"npm_config_cache":           path.Join(box, "npm"),
		"npm_config_update_notifier": "false",
		"npm_config_audit":           "false",
		"npm_config_fund":            "false",
		"npm_config_progress":        "false",
		"NO_UPDATE_NOTIFIER":         "1",
	}
	if v.Zone != "" {
		env["TZ"], env["LANG"], env["LC_ALL"] = v.Zone, v.Locale, v.Locale
		env["GOMAXPROCS"] = fmt.Sprint(int(v.CPUs))
	}
	if s.Zone != boundary.Fetch {
		env["GOPROXY"], env["GOSUMDB"] = "off", "off"
		env["npm_config_offline"] = "true"
	}
	maps.Copy(env, s.Env)
	set(env, tools.Env)
	set(env, road)
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}

// withToolchain lets go use the release that the project asks for, which fetch
// has brought into the module cache.
func withToolchain(road []string, release string) []string {
	if release == "" || len(road) > 0 {
		return road
	}
	return []string{"GOTOOLCHAIN=auto"}
}

func set(env map[string]string, pairs []string) {
	for _, p := range pairs {
		if k, v, ok := strings.Cut(p, "="); ok {
			env[k] = v
		}
	}
}

// script runs each command by a shell of its own and stops at the first that
// fails. The commands are arguments, so that none can change the script.
const script = `for c do printf '+ %s\n' "$c"; sh -c "$c" || exit; done`

func args(s *pipeline.Stage, v variant) []string {
	text := script
	if v.Umask != "" {
		text = "umask " + v.Umask + "; " + script
	}
	return append([]string{"/bin/sh", "-c", text, "sallyport"}, s.Run...)
}

// boxPath is where a declared path lies below the root of the overlay.
func boxPath(p string) string {
	if rest, ok := strings.CutPrefix(p, pipeline.GoModCache); ok && (rest == "" || rest[0] == '/') {
		return "go/mod" + rest
	}
	return path.Join(srcDir, p)
}
