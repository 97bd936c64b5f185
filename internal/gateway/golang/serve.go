package golang

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/record"
)

// View answers the go command of one zone: the module proxy protocol and a
// passed-on checksum database, for members of one plan only.
type View struct {
	s       *Service
	plan    *Plan
	book    *record.Book
	resolve *reach // nil: the plan is all there is
	graph   *reach // of modules that exceptions name: their go.mod files alone; nil: there are none

	headMu sync.Mutex
	head   *head
}

// View opens a plan to a zone, and what it may ask for beyond: modules that are
// reachable from the plan's roots through served go.mod files, or any. Of what a
// module requires that an exception names, the go.mod files are there too: they
// hold names and no code, and the go command wants them to know the versions.
func (s *Service) View(plan *Plan, book *record.Book, beyond record.Beyond) *View {
	v := &View{s: s, plan: plan, book: book}
	if beyond != record.Nothing {
		v.resolve = newReach(plan)
		v.resolve.any = beyond == record.Anything
	} else if plan.excepted {
		v.graph = newReach(NewPlan())
	}
	return v
}

// further is a module beyond the plan that may be served.
func (v *View) further(m module.Version, zip bool) *Module {
	switch {
	case v.resolve != nil:
		return v.resolve.member(m)
	case v.graph != nil && !zip:
		return v.graph.member(m)
	}
	return nil
}

// learn takes in what a served go.mod requires.
func (v *View) learn(m *Module, file string) {
	if v.resolve != nil {
		v.resolve.learn(m.Version, file)
	} else if v.graph != nil && (m.Pin == evidence.PinAllowed || m.Pin == evidence.PinMade) {
		v.graph.learn(m.Version, file)
	}
}

// target is one request, taken apart.
type target struct {
	module.Version
	what string // list, latest, info, mod, zip
}

// maxPath bounds a request's path; no real module path comes near.
const maxPath = 1024

// parsePath reads a path of the module proxy protocol, without leading slash.
func parsePath(p string) (target, error) {
	if len(p) > maxPath {
		return target{}, errors.New("path is too long")
	}
	escaped, rest, ok := strings.Cut(p, "/@")
	if !ok {
		return target{}, errors.New("not a path of the module proxy protocol")
	}
	path, err := module.UnescapePath(escaped)
	if err != nil {
		return target{}, err
	}
	t := target{Version: module.Version{Path: path}}
	switch rest {
	case "latest":
		t.what = "latest"
		return t, nil
	case "v/list":
		t.what = "list"
		return t, nil
	}
	file, ok := strings.CutPrefix(rest, "v/")
	dot := strings.LastIndexByte(file, '.')
	if !ok || dot < 0 {
		return target{}, errors.New("not a path of the module proxy protocol")
	}
	t.what = file[dot+1:]
	if t.what != "info" && t.what != "mod" && t.what != "zip" {
		return target{}, errors.New("not a file of the module proxy protocol")
	}
	t.Version.Version, err = module.UnescapeVersion(file[:dot])
	return t, err
}

// ServeHTTP answers one request, whose path has no prefix.
func (v *View) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if rest, ok := strings.CutPrefix(path, "sumdb/"); ok {
		v.sumdb(w, r, rest)
		return
	}
	t, err := parsePath(path)
	if err != nil {
		v.refuse(w, record.Refusal{Target: path, Why: err.Error()})
		return
	}
	switch t.what {
	case "list", "latest":
		v.query(w, r, t)
	case "info":
		v.info(w, r, t)
	default:
		v.file(w, r, t)
	}
}

// refuse answers at once. The go command prints the body of a 403 and does not
// go on to another proxy.
func (v *View) refuse(w http.ResponseWriter, r record.Refusal) {
	d := v.book.Deny(r)
	text(w, http.StatusForbidden, fmt.Sprintf("refused by sallyport (%s): %s [%s]\n", d.ID, d.Why, d.Do))
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client is gone when this fails
}

// outside refuses a module that is no member, with the reason a person needs.
func (v *View) outside(w http.ResponseWriter, t target) {
	r := record.Refusal{Package: Purl(t.Path, t.Version.Version), Target: strings.TrimSuffix(t.String(), "@")}
	have := v.plan.versions[t.Path]
	m := v.plan.modules[t.Version]
	switch {
	case m != nil:
		r.Why = "go.sum has no checksum for this module, only for its go.mod"
		r.Where, r.Do = m.where(), "go mod download "+t.String()+" && go mod tidy, and commit go.sum"
	case len(have) > 0:
		r.Why = fmt.Sprintf("go.sum does not name this version of %s (it names %s)", t.Path, strings.Join(have[max(0, len(have)-3):], ", "))
		r.Where = v.plan.modules[module.Version{Path: t.Path, Version: have[0]}].where()
	default:
		r.Why = "no lockfile of the project names this module"
	}
	v.refuse(w, r)
}

// query answers version questions from the plan.
func (v *View) query(w http.ResponseWriter, r *http.Request, t target) {
	have := v.plan.versions[t.Path]
	if v.resolve != nil {
		v.resolveQuery(w, r, t, have)
		return
	}
	if v.plan.beside(t.Path) {
		text(w, http.StatusNotFound, "not found: the module that an exception names has another path\n")
		return
	}
	if len(have) == 0 {
		v.outside(w, t)
		return
	}
	if t.what == "list" {
		text(w, http.StatusOK, list(have))
		return
	}
	writeInfo(w, have[len(have)-1], time.Time{})
}

func list(versions []string) string {
	var b strings.Builder
	for _, v := range versions {
		if !module.IsPseudoVersion(v) {
			b.WriteString(v + "\n")
		}
	}
	return b.String()
}

// info answers from the version alone: the plan fixes it, and a time that
// upstream says is no input that a build should have.
func (v *View) info(w http.ResponseWriter, r *http.Request, t target) {
	if v.plan.modules[t.Version] != nil {
		var at time.Time
		if module.IsPseudoVersion(t.Version.Version) {
			at, _ = module.PseudoVersionTime(t.Version.Version) // zero where it has none
		}
		writeInfo(w, t.Version.Version, at)
		return
	}
	if v.resolve != nil && v.resolve.has(t.Path) {
		v.resolveInfo(w, r, t)
		return
	}
	if v.plan.beside(t.Path) {
		text(w, http.StatusNotFound, "not found: the module that an exception names has another path\n")
		return
	}
	v.outside(w, t)
}

func writeInfo(w http.ResponseWriter, version string, at time.Time) {
	body := struct {
		Version string
		Time    *time.Time `json:",omitempty"`
	}{Version: version}
	if !at.IsZero() {
		body.Time = &at
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the client is gone when this fails
}

// file serves a go.mod or a zip.
func (v *View) file(w http.ResponseWriter, r *http.Request, t target) {
	kind := KindMod
	m := v.plan.modules[t.Version]
	if m == nil {
		m = v.further(t.Version, t.what == "zip")
	}
	if m == nil || (t.what == "zip" && !m.Zip) {
		v.outside(w, t)
		return
	}
	if t.what == "zip" {
		kind = m.kind()
	}
	g, err := v.s.open(r.Context(), m, kind)
	if err != nil {
		v.failed(w, r, m, err)
		return
	}
	defer g.Close()
	if kind == KindMod {
		v.learn(m, g.Name())
	}
	if g.mended {
		v.book.Deny(record.Refusal{Class: "file", Package: Purl(m.Path, m.Version.Version), Target: m.String() + " " + kind, Why: "the gateway's stored bytes had changed; they are in quarantine, and good ones were fetched again", Where: m.where()})
	}
	v.book.Served(material(m, kind, g))
	contentType := "application/zip"
	if kind == KindMod {
		contentType = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", contentType)
	http.ServeContent(w, r, "", time.Time{}, g.File)
}

// failed answers when the gateway could not give what the plan allows.
func (v *View) failed(w http.ResponseWriter, r *http.Request, m *Module, err error) {
	if r.Context().Err() != nil {
		return // the client went away: nobody's failure
	}
	v.book.Fail(err)
	switch {
	case errors.Is(err, fault.Checksum), errors.Is(err, fault.TooYoung), errors.Is(err, fault.ForeignHost):
		v.refuse(w, record.Refusal{Package: Purl(m.Path, m.Version.Version), Target: m.String(), Why: err.Error(), Where: m.where(), Do: mend(err), Fault: faultOf(err)})
	case errors.Is(err, fault.NotFound):
		text(w, http.StatusNotFound, "not found: "+err.Error()+"\n")
	default:
		text(w, http.StatusBadGateway, "sallyport: "+err.Error()+"\n")
	}
}

func mend(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Do
	}
	return ""
}

// sumdb passes the checksum database on, so that the go command of the zone
// proves what it gets once more by itself.
func (v *View) sumdb(w http.ResponseWriter, r *http.Request, rest string) {
	name, path, _ := strings.Cut(rest, "/")
	if v.s.db == nil || name != v.s.db.conf.Name {
		v.refuse(w, record.Refusal{Target: "sumdb/" + rest, Why: "not the checksum database of this machine's go command"})
		return
	}
	switch {
	case path == "supported":
		w.WriteHeader(http.StatusOK)
	case strings.HasPrefix(path, "lookup/"):
		v.lookup(w, r, strings.TrimPrefix(path, "lookup/"))
	case strings.HasPrefix(path, "tile/"):
		b, err := v.s.db.tile(path)
		if errors.Is(err, fs.ErrNotExist) {
			v.refuse(w, record.Refusal{Target: "sumdb/" + rest, Why: "no proof of a member needs this tile"})
			return
		}
		answer(w, b, err)
	case path == "latest":
		h, err := v.hold()
		if err != nil {
			answer(w, nil, err)
			return
		}
		answer(w, h.note, nil)
	default:
		v.refuse(w, record.Refusal{Target: "sumdb/" + rest, Why: "not a path of a checksum database"})
	}
}

func answer(w http.ResponseWriter, b []byte, err error) {
	if err != nil {
		text(w, http.StatusBadGateway, "sallyport: "+err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(b) // the client is gone when this fails
}

// lookup answers for members only.
func (v *View) lookup(w http.ResponseWriter, r *http.Request, what string) {
	ep, ev, ok := strings.Cut(what, "@")
	path, err := module.UnescapePath(ep)
	if err != nil || !ok || len(what) > maxPath {
		v.refuse(w, record.Refusal{Target: "sumdb lookup " + what, Why: "not a module and version"})
		return
	}
	version, err := module.UnescapeVersion(ev)
	m := module.Version{Path: path, Version: version}
	if err != nil || (v.plan.modules[m] == nil && v.further(m, false) == nil) {
		v.outside(w, target{Version: m})
		return
	}
	// The record is proven first, so that the head below covers it.
	if _, _, err := v.s.db.Lookup(m); err != nil {
		v.lookupFailed(w, r, m, err)
		return
	}
	h, err := v.hold()
	if err != nil {
		v.lookupFailed(w, r, m, err)
		return
	}
	b, err := v.s.db.record(m, h)
	if err != nil {
		v.lookupFailed(w, r, m, err)
		return
	}
	answer(w, b, nil)
}

func (v *View) lookupFailed(w http.ResponseWriter, r *http.Request, m module.Version, err error) {
	v.failed(w, r, &Module{Version: m}, err)
}

// hold fixes the tree head that this zone is shown. All records that the plan
// leaves to the database are proven before, so that one head covers them.
func (v *View) hold() (head, error) {
	v.headMu.Lock()
	defer v.headMu.Unlock()
	if v.head != nil && v.resolve == nil && v.graph == nil {
		return *v.head, nil
	}
	if v.resolve == nil {
		for _, m := range v.plan.Modules() {
			if m.Pin == evidence.PinSumDB && v.s.conf.covered(m.Path) {
				if _, _, err := v.s.db.Lookup(m.Version); err != nil {
					return head{}, err
				}
			}
		}
	}
	h, err := v.s.db.head()
	if err == nil {
		v.head = &h
	}
	return h, err
}

// Prefetch brings every member here, a few at a time, go.mod files first as the
// go command will ask. It ends at the first sign that upstream is down.
func (v *View) Prefetch(ctx context.Context, each func(func() error)) {
	for _, m := range v.plan.Modules() {
		if m.Path != ToolchainPath {
			each(func() error { return v.bring(ctx, m, KindMod) })
		}
	}
	for _, m := range v.plan.Modules() {
		if m.Zip {
			each(func() error { return v.bring(ctx, m, m.kind()) })
		}
	}
}

// bring fetches one file. Errors are told when the zone asks for it: a stale
// line of go.sum that nobody needs must not stop a build.
func (v *View) bring(ctx context.Context, m *Module, kind string) error {
	g, err := v.s.open(ctx, m, kind)
	if err != nil {
		return err
	}
	return g.Close()
}

// faultOf is the code of what was wrong with a member.
func faultOf(err error) string {
	code, _ := fault.CodeOf(err)
	return string(code)
}
