package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
)

func testProgress(live bool) (*progress, *strings.Builder) {
	var out strings.Builder
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &progress{
		words: &words{w: &out}, live: live, width: func() int { return 30 }, done: make(chan struct{}),
		now: func() time.Time { at = at.Add(time.Second); return at },
	}, &out
}

func TestProgressInPlainLines(t *testing.T) {
	p, out := testProgress(false)
	p.start("build", boundary.Build)
	p.step("build", "go build ./...")
	p.end("build", &evidence.Stage{Name: "build", State: evidence.Failed, Reason: "exit code 2\x1b[2J"})
	p.close()
	want := "   build          started\nNO build          0.00 s  exit code 2\\u001b[2J\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out, want)
	}
}

func TestProgressDrawsOverWhatRuns(t *testing.T) {
	p, out := testProgress(true)
	p.start("build", boundary.Build)
	p.step("build", "go build -trimpath -o dist/shop ./cmd/shop")
	p.end("build", &evidence.Stage{Name: "build", State: evidence.Success, Cached: true})
	p.close()
	want := ".. build          1.0 s\n" +
		"\x1b[1A\x1b[J.. build          2.0 s\n   go build -trimpath -o dis…\n" +
		"\x1b[2A\x1b[Jok build          unchanged, not run again\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out, want)
	}
}

func TestCleanLeavesNothingThatATerminalObeys(t *testing.T) {
	for in, want := range map[string]string{
		"plain äöü 日本":         "plain äöü 日本",
		"\x1b]0;owned\a":       "\\u001b]0;owned\\u0007",
		"a\r\nb":               "a\\u000d\\u000ab",
		"rtl \u202e gpj.exe":   "rtl \\u202e gpj.exe",
		"bad \xff utf8 \u009b": "bad \\ufffd utf8 \\u009b",
		"tab\there":            "tab here",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if n := len(clean(strings.Repeat("x", 1<<20))); n > 3000 {
		t.Errorf("a long text stays %d bytes long", n)
	}
}
