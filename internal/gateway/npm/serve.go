package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/record"
)

// View answers the npm client of one zone: package documents and tarballs, for
// members of one plan only.
type View struct {
	s       *Service
	plan    *Plan
	book    *record.Book
	resolve *reach // nil: the plan is all there is

	mu   sync.Mutex
	host string            // as the first client called us: made documents name it
	docs map[string][]byte // made documents by name
}

// View opens a plan to a zone, and what it may ask for beyond: names that are
// reachable from the plan's roots through served documents, or any.
func (s *Service) View(plan *Plan, book *record.Book, beyond record.Beyond) *View {
	v := &View{s: s, plan: plan, book: book, docs: map[string][]byte{}}
	if beyond != record.Nothing {
		v.resolve = newReach(plan, s.conf)
		v.resolve.any = beyond == record.Anything
	}
	return v
}

// maxPath bounds a request's path; no real package comes near.
const maxPath = 2048

// request is what a client asks for.
type request struct {
	name    string
	version string // empty: the document
	tarball bool
}

// parsePath reads NAME, NAME/VERSION or NAME/-/BASE-VERSION.tgz, decoded and
// without leading slash.
func parsePath(path string) (request, error) {
	if len(path) > maxPath {
		return request{}, errors.New("path is too long")
	}
	name, file, tarball := strings.Cut(path, "/-/")
	if tarball {
		version, ok := strings.CutPrefix(strings.TrimSuffix(file, ".tgz"), base(name)+"-")
		if !validName(name) || !ok || !strings.HasSuffix(file, ".tgz") || !validVersion(version) {
			return request{}, errors.New("not the path of a package's tarball")
		}
		return request{name, version, true}, nil
	}
	if validName(path) {
		return request{name: path}, nil
	}
	if i := strings.LastIndexByte(path, '/'); i > 0 && validName(path[:i]) && validVersion(path[i+1:]) {
		return request{name: path[:i], version: path[i+1:]}, nil
	}
	return request{}, errors.New("not a path of the npm registry protocol that an install needs")
}

// ServeHTTP answers one request.
func (v *View) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/") // decoded once by net/http
	if p := v.plan.byPath[path]; p != nil {
		v.tarball(w, r, p)
		return
	}
	if v.resolve != nil {
		if p := v.resolve.at(path); p != nil {
			v.tarball(w, r, p)
			return
		}
	}
	if path == "-/ping" {
		writeJSON(w, http.StatusOK, map[string]string{})
		return
	}
	q, err := parsePath(path)
	switch {
	case strings.HasPrefix(path, "-/npm/v1/security/"):
		// Not 403: npm reports a failed audit and goes on.
		d := v.book.Deny(record.Refusal{Target: path, Why: "the list of packages is not sent out for an audit; sallyport checks them itself"})
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "no audit here (" + d.ID + ")"})
	case err != nil:
		v.refuse(w, record.Refusal{Target: path, Why: err.Error()})
	case q.tarball:
		v.other(w, r, q)
	default:
		v.document(w, r, q)
	}
}

// refuse answers at once; npm prints the text of "error".
func (v *View) refuse(w http.ResponseWriter, r record.Refusal) {
	d := v.book.Deny(r)
	writeJSON(w, http.StatusForbidden, map[string]string{"error": fmt.Sprintf("refused by sallyport (%s): %s [%s]", d.ID, d.Why, d.Do)})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone when this fails
}

// outside refuses what is no member, with the reason a person needs.
func (v *View) outside(w http.ResponseWriter, q request) {
	r := record.Refusal{Package: Purl(q.name, q.version), Target: strings.TrimSuffix(q.name+"@"+q.version, "@")}
	have := v.plan.byName[q.name]
	if len(have) == 0 {
		r.Why = "no lockfile of the project names this package"
	} else {
		last := have[len(have)-1]
		r.Why = fmt.Sprintf("the lockfile does not name this version of %s (it names %s)", q.name, last.Version)
		r.Where = last.where()
	}
	v.refuse(w, r)
}

// other serves a tarball that the plan does not have under this path.
func (v *View) other(w http.ResponseWriter, r *http.Request, q request) {
	if p := v.plan.packages[q.name+"@"+q.version]; p != nil {
		v.tarball(w, r, p)
		return
	}
	if v.resolve != nil {
		p, err := v.resolve.member(q)
		if err != nil {
			v.failed(w, r, &Package{Name: q.name, Version: q.version}, err)
			return
		}
		if p != nil {
			v.tarball(w, r, p)
			return
		}
	}
	v.outside(w, q)
}

func (v *View) tarball(w http.ResponseWriter, r *http.Request, p *Package) {
	g, err := v.s.open(r.Context(), p)
	if err != nil {
		v.failed(w, r, p, err)
		return
	}
	defer g.Close()
	if g.mended {
		v.book.Deny(record.Refusal{Class: "file", Package: Purl(p.Name, p.Version), Target: p.id(), Why: "the gateway's stored bytes had changed; they are in quarantine, and good ones were fetched again", Where: p.where()})
	}
	v.book.Served(material(p, g))
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("ETag", `"`+g.entry.Digest.Hex()+`"`)
	h.Set("Cache-Control", "public, immutable, max-age=31557600")
	http.ServeContent(w, r, "", time.Time{}, g.File)
}

// failed answers when the gateway could not give what the plan allows.
func (v *View) failed(w http.ResponseWriter, r *http.Request, p *Package, err error) {
	if r.Context().Err() != nil {
		return // the client went away: nobody's failure
	}
	v.book.Fail(err)
	switch {
	case errors.Is(err, fault.Checksum), errors.Is(err, fault.TooYoung), errors.Is(err, fault.ForeignHost):
		v.refuse(w, record.Refusal{Package: Purl(p.Name, p.Version), Target: p.id(), Why: err.Error(), Where: p.where(), Do: mend(err), Fault: faultOf(err)})
	case errors.Is(err, fault.NotFound):
		writeJSON(w, http.StatusNotFound, map[string]string{"error": err.Error()})
	default:
		writeJSON(w, http.StatusBadGateway, map[string]string{"error": "sallyport: " + err.Error()})
	}
}

func mend(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Do
	}
	return ""
}

// document serves a package's document, made from the plan: no upstream hears
// of it.
func (v *View) document(w http.ResponseWriter, r *http.Request, q request) {
	have := v.plan.byName[q.name]
	if len(have) == 0 && v.resolve != nil && v.resolve.has(q.name) && q.version == "" {
		v.passDocument(w, r, q)
		return
	}
	if len(have) == 0 || (q.version != "" && v.plan.packages[q.name+"@"+q.version] == nil) {
		v.outside(w, q)
		return
	}
	for _, p := range have {
		if err := v.complete(r.Context(), p); err != nil {
			v.failed(w, r, p, err)
			return
		}
	}
	if q.version != "" {
		writeJSON(w, http.StatusOK, v.plan.packages[q.name+"@"+q.version].version(r.Host))
		return
	}
	b, err := v.made(q.name, r.Host)
	if err != nil {
		v.failed(w, r, have[0], err)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.npm.install-v1+json")
	_, _ = w.Write(b) // the client is gone when this fails
}

// made is the document of a name, made once.
func (v *View) made(name, host string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.host == "" {
		v.host = host
	}
	if b := v.docs[name]; b != nil && host == v.host {
		return b, nil
	}
	versions := map[string]any{}
	var list []string
	for _, p := range v.plan.byName[name] {
		versions[p.Version] = p.version(host)
		list = append(list, p.Version)
	}
	b, err := json.Marshal(map[string]any{"name": name, "dist-tags": map[string]string{"latest": newest(list)}, "versions": versions})
	if err == nil && host == v.host {
		v.docs[name] = b
	}
	return b, err
}

// carried are the fields of a lockfile's entry that an install needs.
func carried() []string {
	return []string{"dependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta", "bin", "engines", "os", "cpu", "libc", "hasInstallScript", "bundleDependencies", "deprecated", "funding"}
}

// version is one version in a made document.
func (p *Package) version(host string) map[string]any {
	doc := map[string]any{
		"name": p.Name, "version": p.Version,
		"dist": map[string]string{"tarball": "http://" + host + "/" + usualPath(p.Name, p.Version), "integrity": p.Integrity.String()},
	}
	for _, field := range carried() {
		if raw, ok := p.manifest[field]; ok {
			doc[field] = raw
		}
	}
	if p.manifest["hasShrinkwrap"] != nil {
		doc["_hasShrinkwrap"] = p.manifest["hasShrinkwrap"]
	}
	return doc
}

// Prefetch brings every member here, a few at a time.
func (v *View) Prefetch(ctx context.Context, each func(func() error)) {
	for _, p := range v.plan.Packages() {
		if p.Elsewhere {
			continue
		}
		each(func() error {
			g, err := v.s.open(ctx, p)
			if err != nil {
				return err
			}
			return g.Close()
		})
	}
}

// faultOf is the code of what was wrong with a member.
func faultOf(err error) string {
	code, _ := fault.CodeOf(err)
	return string(code)
}
