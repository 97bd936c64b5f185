package npm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/screen"
)

// reach is what a zone that makes a lockfile may ask for: the names that the
// project's manifests want and, transitively, those that served documents want.
// A name made up inside the zone is not among them.
type reach struct {
	any   bool // made up or not, what a command asks for is only noted
	mu    sync.Mutex
	names map[string]bool
	seen  map[string]*Package // by name@version, from served documents
	paths map[string]*Package // by decoded path, where it is not the usual one
	bad   map[string]error    // versions that cannot be fetched, and why
	stray func(name string) bool
}

// Bounds of one session.
const (
	maxReach = 100_000
	maxSeen  = 1_000_000
)

func newReach(p *Plan, conf Config) *reach {
	r := &reach{stray: func(name string) bool { return p.stray(name, conf) }, names: map[string]bool{}, seen: map[string]*Package{}, paths: map[string]*Package{}, bad: map[string]error{}}
	for name := range p.roots {
		r.names[name] = true
	}
	for name := range p.byName {
		r.names[name] = true
	}
	return r
}

func (r *reach) has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[name] || r.any && !r.stray(name)
}

func (r *reach) member(q request) (*Package, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := q.name + "@" + q.version
	return r.seen[id], r.bad[id]
}

// at is the version whose tarball stands under an unusual path.
func (r *reach) at(path string) *Package {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.paths[path]
}

// learn takes in one version of a served document.
func (r *reach) learn(p *Package, doc *versionDoc, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen)+len(r.bad) < maxSeen {
		if err != nil {
			r.bad[p.id()] = err
		} else {
			r.seen[p.id()] = p
			if plain, err := url.PathUnescape(p.Path); err == nil && plain != usualPath(p.Name, p.Version) {
				r.paths[plain] = p
			}
		}
	}
	for _, t := range []map[string]string{doc.Dependencies, doc.OptionalDependencies, doc.PeerDependencies} {
		for name, spec := range t {
			if alias, ok := strings.CutPrefix(spec, "npm:"); ok {
				name = alias
				if i := strings.LastIndexByte(alias, '@'); i > 0 {
					name = alias[:i]
				}
			}
			if validName(name) && len(r.names) < maxReach && !r.stray(name) {
				r.names[name] = true
			}
		}
	}
}

// passDocument streams a registry's document through, version by version, and
// remembers each version's promise.
func (v *View) passDocument(w http.ResponseWriter, r *http.Request, q request) {
	var times map[string]time.Time
	if v.plan.minAge > 0 {
		var err error
		if times, err = v.s.times(r.Context(), q.name); err != nil {
			v.failed(w, r, &Package{Name: q.name}, err)
			return
		}
	}
	f, err := v.s.fetchDocument(r.Context(), q.name, abbreviated)
	if err != nil {
		v.failed(w, r, &Package{Name: q.name}, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/vnd.npm.install-v1+json")
	out := bufio.NewWriterSize(w, 64<<10)
	if err := v.filter(out, f, q.name, times); err != nil {
		v.book.Fail(fault.Wrap(fault.UpstreamDown, "read the registry's document of "+q.name, err))
		panic(http.ErrAbortHandler) // half a document must not look like a whole one
	}
	_ = out.Flush() // the client is gone when this fails
}

// filter writes the versions that may be seen, one at a time.
func (v *View) filter(out *bufio.Writer, doc io.Reader, name string, times map[string]time.Time) error {
	kept := map[string]bool{}
	tags := map[string]string{}
	fmt.Fprintf(out, `{"name":%q,"versions":{`, name)
	err := readDocument(doc, parts{tags: tags, each: func(version string, raw json.RawMessage) error {
		if !validVersion(version) || kept[version] || !v.keep(name, version, raw, times) {
			return nil
		}
		if len(kept) > 0 {
			out.WriteByte(',')
		}
		kept[version] = true
		_, err := fmt.Fprintf(out, "%q:%s", version, raw)
		return err
	}})
	if err != nil {
		return err
	}
	b, err := json.Marshal(keptTags(tags, kept))
	fmt.Fprintf(out, `},"dist-tags":%s}`, b)
	return err
}

// keptTags leaves out tags of versions that may not be seen. "latest" is made
// where it is missing, since some mirrors drop the tags.
func keptTags(tags map[string]string, kept map[string]bool) map[string]string {
	out := map[string]string{}
	for tag, version := range tags {
		if kept[version] {
			out[tag] = version
		}
	}
	if out["latest"] == "" && len(kept) > 0 {
		out["latest"] = newest(slices.Collect(maps.Keys(kept)))
	}
	return out
}

// keep decides about one version and remembers it.
func (v *View) keep(name, version string, raw json.RawMessage, times map[string]time.Time) bool {
	var doc versionDoc
	if json.Unmarshal(raw, &doc) != nil || doc.Name != name || doc.Version != version {
		return false
	}
	p := &Package{Name: name, Version: version, Pin: evidence.PinMade, Scripts: doc.HasInstallScript, MinAge: v.plan.minAge}
	if err := v.s.feed.Refusal(screen.Npm, name, version, ""); err != nil {
		v.resolve.learn(p, &versionDoc{}, err)
		return false
	}
	if p.MinAge > 0 && oldEnough(p, times[version], v.s.now()) != nil {
		return false
	}
	sri, err := doc.promise()
	if err != nil {
		return false
	}
	p.Integrity = sri
	p.Site, p.Path, err = v.s.conf.place(name, doc.Dist.Tarball)
	v.resolve.learn(p, &doc, err)
	return true
}
