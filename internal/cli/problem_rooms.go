package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/pipeline"
	"github.com/sallyport/sallyport/internal/sign/keyfile"
	"github.com/sallyport/sallyport/internal/source"
	"github.com/sallyport/sallyport/internal/store"
)

// explainRooms knows the errors of the other rooms.
func explainRooms(err error) *problem {
	for _, look := range []func(error) *problem{explainConfine, explainImage, explainPipeline, explainGateway, explainSource, explainStore, explainLog, explainPolicy} {
		if p := look(err); p != nil {
			return p
		}
	}
	return nil
}

// codeOf spells the code of another room as ours: gw-checksum is E-GW-CHECKSUM.
func codeOf(s string) code {
	s = strings.ToUpper(strings.ReplaceAll(s, ".", "-"))
	return code("E-" + strings.TrimPrefix(s, "E-"))
}

func explainLog(err error) *problem {
	switch {
	case errors.Is(err, ledger.ErrForked):
		return &problem{Code: codeLogForked, Exit: exitNo, What: err.Error(), Next: "sallyport log verify",
			Also: []string{"It was restored from an old copy, or someone rewrote it. Nothing is signed on top of it."}}
	case errors.Is(err, ledger.ErrDamaged):
		return &problem{Code: codeLogDamaged, Exit: exitNo, What: err.Error(), Next: "sallyport log verify"}
	case errors.Is(err, keyfile.ErrExposed):
		return &problem{Code: codeKeyExposed, Exit: exitCredential, What: err.Error(),
			Also: []string{"It may have been read already: make new keys instead of mending its mode."}}
	}
	return nil
}

func explainPipeline(err error) *problem {
	var first *pipeline.Error
	if !errors.As(err, &first) {
		return nil
	}
	p := &problem{Code: codeOf(first.Code), Exit: exitUsage, What: first.Msg, Where: place(first)}
	if first.Snippet != "" {
		p.Snippet = strings.Split(first.Snippet, "\n")
	}
	if first.Hint != "" {
		p.Also = append(p.Also, "help: "+first.Hint)
	}
	var all pipeline.Errors
	if errors.As(err, &all) {
		for _, e := range all[1:] {
			p.Also = append(p.Also, fmt.Sprintf("%s: %s: %s", place(e), codeOf(e.Code), e.Msg))
		}
	}
	return p
}

func place(e *pipeline.Error) string {
	if e.Line == 0 {
		return e.File
	}
	return fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
}

// gatewayExits are the exit codes of the gateway's errors that are not a clear no.
var gatewayExits = map[fault.Code]int{
	fault.UpstreamDown: exitRetry, fault.Credential: exitCredential, fault.Store: exitUnknown,
	fault.Lockfile: exitUsage, fault.Config: exitUsage, fault.Purl: exitUsage, fault.NotFound: exitUsage,
}

func explainGateway(err error) *problem {
	var f *fault.Error
	if !errors.As(err, &f) {
		return nil
	}
	p := &problem{Code: codeOf(string(f.Code)), Exit: exitNo, What: f.What, Where: f.Where, Next: f.Do}
	if f.Err != nil {
		p.Also = append(p.Also, f.Err.Error())
	}
	if exit, ok := gatewayExits[f.Code]; ok {
		p.Exit = exit
	}
	if errors.Is(err, store.ErrDiskFull) {
		return diskFull(err)
	}
	return p
}

func explainSource(err error) *problem {
	var s *source.Error
	if !errors.As(err, &s) {
		return nil
	}
	p := &problem{Code: codeOf(s.Code), Exit: exitUsage, What: s.Why, Where: s.Source}
	if s.Err != nil {
		p.Also = append(p.Also, s.Err.Error())
	}
	if s.Code == "source.fetch" {
		p.Exit = exitRetry
	}
	return p
}

func explainStore(err error) *problem {
	var r *store.Refused
	switch {
	case errors.As(err, &r):
		return &problem{Code: codeOf(r.Code), Exit: exitNo, What: r.Error()}
	case errors.Is(err, store.ErrTampered):
		return &problem{Code: codeTampered, Exit: exitNo, What: err.Error(),
			Also: []string{"Someone or something changed the store behind Sallyport's back. Nothing was made from it."}}
	case errors.Is(err, store.ErrDiskFull):
		return diskFull(err)
	}
	return nil
}

func diskFull(err error) *problem {
	return &problem{Code: codeDiskFull, Exit: exitRetry, What: err.Error(), Next: "make room, then run the same again"}
}

func explainPolicy(err error) *problem {
	var e *gate.PolicyError
	if !errors.As(err, &e) {
		return nil
	}
	p := &problem{Code: codePolicyFile, Exit: exitUsage, What: e.Err.Error(), Where: e.File}
	if e.Line > 0 {
		p.Where = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	return p
}
