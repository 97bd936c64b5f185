// Package cli turns words on a command line into calls of the other rooms, and
// their answers into words and an exit code. All wiring is here.
//
// Results go to stdout, talk goes to stderr; -o json gives results in a form
// that others script against, with a "schema" of the form sallyport/<what>/v1.
// Each flag is also read from the environment, as SALLYPORT_<FLAG>.
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// The exit codes. Others script against them; they never change in meaning.
const (
	exitYes        = 0   // done, or a clear yes
	exitUnknown    = 1   // could not tell: I/O, or our own fault
	exitUsage      = 2   // the command line or a file is wrong
	exitNo         = 3   // a clear no: findings, failed verification, a crossing
	exitPending    = 5   // waits for an approval
	exitCredential = 7   // a credential was refused
	exitRetry      = 9   // infrastructure: the same again may work
	exitNotIsolate = 125 // the sandbox is not at the required level

	// Of exec, as a shell has them.
	exitNotExecutable = 126
	exitNotFound      = 127
)

// Main runs one command line, without the program's name, and returns the exit
// code of the process.
func Main(version string, args []string) int {
	ctx, stop := interruptible(context.Background())
	defer stop()
	a := &app{
		version: version,
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		lookup:  os.LookupEnv,
		tty:     term.IsTerminal(int(os.Stderr.Fd())),
	}
	return a.run(ctx, args)
}

// app is one process: where it reads and writes, and the flags that all
// commands share.
type app struct {
	version string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	lookup  func(string) (string, bool)
	tty     bool // stderr is a terminal

	format        string // -o
	state         string // --state
	sandbox       string // --sandbox
	malware       string // --malware
	malwareMaxAge time.Duration
	quiet         bool // --quiet
	code          int  // exit code of a command that ended without a problem
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return a.code
	}
	if strings.HasPrefix(err.Error(), "unknown command") { // cobra gives it no type
		what, meant, _ := strings.Cut(err.Error(), "Did you mean this?")
		if meant = strings.Join(strings.Fields(meant), ", "); meant != "" {
			what = strings.TrimSpace(what) + ": did you mean " + meant + "?"
		}
		err = usagef("%s", what)
	}
	p := explain(err)
	if p.Next == "" && p.Code == codeUsage {
		p.Next = cmd.CommandPath() + " --help"
	}
	a.words().problem(p)
	return p.Exit
}

// interruptible returns a context that the first interrupt ends, so that zones
// are taken down in order; a second one ends the process at once. Zones die
// with it in either case.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(exitUnknown)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
