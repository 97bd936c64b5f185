package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// code is the stable name of a problem; docs/errors.md has a section for each.
type code string

// The codes. They are never renamed: scripts and search engines know them.
const (
	codeUsage       code = "E-USAGE"
	codeInterrupted code = "E-INTERRUPTED"
	codeInternal    code = "E-INTERNAL"
	codePermission  code = "E-PERMISSION"
	codeNoFile      code = "E-NO-FILE"
	codeNoEntry     code = "E-NO-ENTRY"
	codeNoLog       code = "E-NO-LOG"
	codeLogForked   code = "E-LOG-FORKED"
	codeLogDamaged  code = "E-LOG-DAMAGED"
	codeKeyExposed  code = "E-KEY-EXPOSED"
	codeNotIsolated code = "E-NOT-ISOLATED"
	codeSecretName  code = "E-SECRET-NAME"
	codeExecDir     code = "E-EXEC-DIR"
	codeNoCommand   code = "E-NO-COMMAND"
	codeNoBundle    code = "E-NO-BUNDLE"
	codeNoRoot      code = "E-NO-ROOT"
	codeNoPolicy    code = "E-NO-POLICY"
	codeNoRegistry  code = "E-NO-REGISTRY"
	codePolicyFile  code = "E-POLICY-FILE"
	codeNoRun       code = "E-NO-RUN"
	codeNoLogFile   code = "E-NO-STAGE-LOG"
	codeNoDenial    code = "E-NO-DENIAL"
	codeNoException code = "E-NO-EXCEPTION"
	codeLearn       code = "E-LEARN"
	codeNoTool      code = "E-NO-TOOL"
	codeNoCI        code = "E-NO-CI"
	codeAuditFile   code = "E-AUDIT-FILE"
	codeTampered    code = "E-TAMPERED"
	codeDiskFull    code = "E-DISK-FULL"
)

// errInterrupted is the cause of a context that an interrupt ended.
var errInterrupted = errors.New("interrupted")

// problem is what a user is told when a command did not do what was asked.
type problem struct {
	Code    code
	Exit    int
	What    string
	Where   string   // file:line:column, or another place
	Snippet []string // the line that is wrong, and a caret under it
	Rule    string
	Also    []string // further facts, one line each
	Next    string   // the next command to type
	Log     string   // path of the full log
	cause   error
}

func (p *problem) Error() string { return p.What }
func (p *problem) Unwrap() error { return p.cause }

// usagef is a problem with the command line.
func usagef(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &problem{Code: codeUsage, Exit: exitUsage, What: err.Error(), cause: err}
}

// explain finds the problem behind an error. What nobody foresaw is internal,
// and says all that is known.
func explain(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	for _, look := range []func(error) *problem{explainRooms, explainSystem} {
		if p := look(err); p != nil {
			p.cause = err
			return p
		}
	}
	return &problem{Code: codeInternal, Exit: exitUnknown, What: err.Error(), cause: err}
}

// explainSystem knows the errors that come from below.
func explainSystem(err error) *problem {
	switch {
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return &problem{Code: codeInterrupted, Exit: exitUnknown, What: "interrupted: every zone is gone, nothing was released"}
	case errors.Is(err, fs.ErrPermission):
		return &problem{Code: codePermission, Exit: exitUnknown, What: err.Error(), Next: "sallyport doctor"}
	}
	return nil
}
