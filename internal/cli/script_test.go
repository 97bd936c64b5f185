package cli_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/goproxytest"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/cli"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/ledger"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sallyport": func() { os.Exit(cli.Main("v0.0.0-test", os.Args[1:])) },
	})
}

// TestScripts runs what users see. The upstreams are served here, so that no
// script needs another machine; zones, gateway, log and signatures are real.
func TestScripts(t *testing.T) {
	mod := goproxytest.NewTestServer(t, "testdata/mod", "")
	sums := newSumDB(t, mod.URL)
	npm := newRegistry(t, "testdata/npm")
	facts := t.TempDir() // digests of the host's toolchains, which all scripts share
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, ".home"))
			e.Setenv("SALLYPORT_STATE", filepath.Join(e.WorkDir, ".state"))
			e.Setenv("GOPROXY", mod.URL)
			e.Setenv("GOSUMDB", sums)
			e.Setenv("GOTOOLCHAIN", "local")
			e.Setenv("GOFLAGS", "-buildvcs=false -modcacherw")
			e.Setenv("npm_config_registry", npm.URL+"/")
			e.Setenv("npm_config_update_notifier", "false")
			e.Setenv("npm_config_omit_lockfile_registry_resolved", "true")
			e.Setenv("PATH", os.Getenv("PATH"))
			e.Setenv("TERM", "dumb")
			state := filepath.Join(e.WorkDir, ".state")
			if err := errors.Join(os.Mkdir(filepath.Join(e.WorkDir, ".home"), 0o700), os.Mkdir(state, 0o700)); err != nil {
				return err
			}
			return os.Symlink(facts, filepath.Join(state, "cache"))
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"json":       cmdJSON,
			"makeimage":  cmdMakeImage,
			"serveimage": cmdServeImage,
			"status":     cmdStatus,
			"tamper":     cmdTamper,
			"replace":    cmdReplace,
			"samefield":  cmdSameField,
			"replay":     cmdReplay,
		},
	})
}

// cmdJSON checks a value in a JSON file: json FILE PATH [VALUE]. A path is
// a.b[0].c, with [#] for a length. Without a value it must only be there.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: [!] json FILE PATH [VALUE]")
	}
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &v); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	got, ok := at(v, args[1])
	text := fmt.Sprint(got)
	matches := ok && (len(args) == 2 || text == args[2])
	if matches == neg {
		ts.Fatalf("%s at %s is %q (there: %t)", args[0], args[1], text, ok)
	}
}

func at(v any, path string) (any, bool) {
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		switch node := v.(type) {
		case map[string]any:
			next, ok := node[step]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			if step == "#" {
				return len(node), true
			}
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(node) {
				return nil, false
			}
			v = node[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// cmdStatus runs a command and wants an exact exit code: status CODE COMMAND...
func cmdStatus(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// cmdTamper changes one byte in the middle of each file that a pattern names.
func cmdTamper(ts *testscript.TestScript, _ bool, args []string) {
	for _, pattern := range args {
		files, err := filepath.Glob(ts.MkAbs(pattern))
		if err != nil || len(files) == 0 {
			ts.Fatalf("no file matches %s: %v", pattern, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil || len(b) == 0 {
				ts.Fatalf("tamper %s: %d bytes, %v", f, len(b), err)
			}
			b[len(b)/2] ^= 1
			ts.Check(os.Chmod(f, 0o600))
			ts.Check(os.WriteFile(f, b, 0o600))
		}
	}
}

// cmdReplace changes a text in a file: replace FILE OLD NEW.
func cmdReplace(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o644))
}

// cmdReplay asks boundary.Decide again about every refusal in a JSON file, and
// wants the answer that stands there: replay FILE COUNT [LOG]. With a log, as log
// show prints it, each entry has to be about a refusal of the file, hold the digest
// of what was tried, and the rule that Decide gives.
func cmdReplay(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: replay FILE COUNT [LOG]")
	}
	var all struct {
		Denials []evidence.Denial `json:"denials"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &all))
	if fmt.Sprint(len(all.Denials)) != args[1] {
		ts.Fatalf("%s has %d refusals, want %s", args[0], len(all.Denials), args[1])
	}
	for _, d := range all.Denials {
		got := boundary.Decide(d.Tried, nil, d.Time)
		if got.Allowed || got.Rule != d.Rule || string(d.Tried.Class) != d.Class || d.Tried.Zone != d.Zone {
			ts.Fatalf("%s is %+v; asked again: %+v", d.ID, d, got)
		}
	}
	if len(args) == 3 {
		replayLog(ts, all.Denials, ts.ReadFile(args[2]))
	}
}

func replayLog(ts *testscript.TestScript, denials []evidence.Denial, text string) {
	var log struct {
		Entries []struct {
			Entry ledger.Entry `json:"entry"`
		} `json:"entries"`
	}
	ts.Check(json.Unmarshal([]byte(text), &log))
	if len(log.Entries) != len(denials) {
		ts.Fatalf("%d refusals in the log, %d in the file", len(log.Entries), len(denials))
	}
	for i, e := range log.Entries {
		d := denials[i]
		tried, err := json.Marshal(d.Tried)
		ts.Check(err)
		rule := boundary.Decide(d.Tried, nil, e.Entry.Time).Rule
		if e.Entry.Facts["id"] != d.ID || e.Entry.Data != digest.Of(tried) || e.Entry.Facts["rule"] != string(rule) {
			ts.Fatalf("entry %+v is not about %+v, or of another rule than %s", e.Entry, d.Tried, rule)
		}
	}
}

// cmdSameField compares a value of two JSON files: samefield FILE FILE PATH.
func cmdSameField(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: [!] samefield FILE FILE PATH")
	}
	var values [2]any
	for i := range values {
		var v any
		if err := json.Unmarshal([]byte(ts.ReadFile(args[i])), &v); err != nil {
			ts.Fatalf("%s: %v", args[i], err)
		}
		got, ok := at(v, args[2])
		if !ok {
			ts.Fatalf("%s has no %s", args[i], args[2])
		}
		values[i] = got
	}
	if same := fmt.Sprint(values[0]) == fmt.Sprint(values[1]); same == neg {
		ts.Fatalf("%s: %v and %v", args[2], values[0], values[1])
	}
}
