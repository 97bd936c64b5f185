// Package screen says which packages may not come in, whatever a lockfile
// promises: versions that are known to be malware, and names that look like
// others.
//
// A feed is a folder or a zip archive of OSV records, as the malicious-packages
// data set is published; records whose id begins with MAL- count. It is hostile
// input, read with bounds. A feed that was asked for and cannot be read, or is
// older than allowed, is an error: nothing is let in on the word of a feed that
// is not there.
package screen

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// The ecosystems, as OSV names them.
const (
	Npm = "npm"
	Go  = "Go"
)

// Bounds of a feed.
const (
	maxRecords = 500_000
	maxRecord  = 1 << 20 // bytes
	maxTotal   = 4 << 30 // bytes
)

// Options say where a feed is.
type Options struct {
	Path   string        // folder of *.json, or a zip of them; empty: no feed
	MaxAge time.Duration // oldest that will do; zero: any age
	Now    func() time.Time
}

// Feed knows malware by ecosystem and name. The zero Feed knows none.
type Feed struct {
	records map[string][]record // by ecosystem and name
	count   int
}

// record is what is kept of one affected package.
type record struct {
	id       string
	versions []string
	ranges   []span
}

// span is from introduced on, up to fixed (without it) or last (with it).
type span struct{ introduced, fixed, last string }

// osv is the part of an OSV record that is read (OSV schema 1.7).
type osv struct {
	ID        string `json:"id"`
	Withdrawn string `json:"withdrawn"`
	Affected  []struct {
		Package struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
		} `json:"package"`
		Versions []string `json:"versions"`
		Ranges   []struct {
			Type   string              `json:"type"`
			Events []map[string]string `json:"events"`
		} `json:"ranges"`
	} `json:"affected"`
}

// Load reads a feed.
func Load(o Options) (*Feed, error) {
	f := &Feed{records: map[string][]record{}}
	if o.Path == "" {
		return f, nil
	}
	if err := f.load(o); err != nil {
		return nil, fault.Wrap(fault.Feed, "read the malware feed", err).At(o.Path).Mend("fetch the feed again, or leave out --malware")
	}
	return f, nil
}

func (f *Feed) load(o Options) error {
	info, err := os.Stat(o.Path)
	if err != nil {
		return err
	}
	newest := info.ModTime()
	if info.IsDir() {
		newest, err = f.folder(o.Path)
	} else {
		err = f.archive(o.Path)
	}
	if err != nil {
		return err
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	if age := now().Sub(newest); age < -time.Hour {
		return errors.New("it claims to be from the future")
	} else if o.MaxAge > 0 && age > o.MaxAge {
		return fmt.Errorf("it is %s old, at most %s will do", age.Round(time.Minute), o.MaxAge)
	}
	if f.count == 0 {
		return errors.New("no record of malware in it")
	}
	return nil
}

// folder reads all *.json below a folder and returns the time of the newest.
func (f *Feed) folder(dir string) (newest time.Time, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return newest, err
	}
	defer root.Close()
	total := int64(0)
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(p) != ".json" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		r, err := root.Open(p)
		if err != nil {
			return err
		}
		defer r.Close()
		return f.take(p, r, &total)
	})
	return newest, err
}

func (f *Feed) archive(path string) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer z.Close()
	total := int64(0)
	for _, e := range z.File {
		if !e.Mode().IsRegular() || filepath.Ext(e.Name) != ".json" {
			continue
		}
		r, err := e.Open()
		if err != nil {
			return err
		}
		err = f.take(e.Name, r, &total)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// take reads one record. One that cannot be read fails the feed: it may be the
// one that matters.
func (f *Feed) take(name string, r io.Reader, total *int64) error {
	b, err := io.ReadAll(io.LimitReader(r, maxRecord+1))
	if err != nil {
		return err
	}
	if *total += int64(len(b)); len(b) > maxRecord || *total > maxTotal || f.count >= maxRecords {
		return fmt.Errorf("%q: larger, or more, than is read", name)
	}
	var o osv
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	if strings.HasPrefix(o.ID, "MAL-") && o.Withdrawn == "" {
		f.add(&o)
	}
	return nil
}

func (f *Feed) add(o *osv) {
	for _, a := range o.Affected {
		rec := record{id: o.ID, versions: a.Versions}
		for _, r := range a.Ranges {
			if r.Type != "GIT" {
				rec.ranges = append(rec.ranges, spans(r.Events)...)
			}
		}
		key := a.Package.Ecosystem + " " + a.Package.Name
		f.records[key] = append(f.records[key], rec)
		f.count++
	}
}

// spans pairs the events of a range in their order.
func spans(events []map[string]string) []span {
	var out []span
	open := false
	for _, e := range events {
		if v, ok := e["introduced"]; ok {
			out = append(out, span{introduced: v})
			open = true
			continue
		}
		if !open {
			continue
		}
		last := &out[len(out)-1]
		if v, ok := e["fixed"]; ok {
			last.fixed, open = v, false
		} else if v, ok := e["last_affected"]; ok {
			last.last, open = v, false
		}
	}
	return out
}

// Malware returns the id of the record that names a version, if there is one. A
// record that names neither versions nor ranges means all of them.
func (f *Feed) Malware(ecosystem, name, version string) (id string, bad bool) {
	if f == nil {
		return "", false
	}
	for _, r := range f.records[ecosystem+" "+name] {
		if r.has(version) {
			return r.id, true
		}
	}
	return "", false
}

func (r *record) has(version string) bool {
	if len(r.versions) == 0 && len(r.ranges) == 0 {
		return true
	}
	bare := strings.TrimPrefix(version, "v")
	if slices.ContainsFunc(r.versions, func(v string) bool { return strings.TrimPrefix(v, "v") == bare }) {
		return true
	}
	return slices.ContainsFunc(r.ranges, func(s span) bool { return s.has(bare) })
}

// has compares by semantic versioning. A bound that is no version, or a version
// that is none, is taken for affected: the record exists for some reason.
func (s span) has(version string) bool {
	v := "v" + version
	if !semver.IsValid(v) {
		return true
	}
	from := "v" + strings.TrimPrefix(s.introduced, "v")
	if s.introduced != "0" && semver.IsValid(from) && semver.Compare(v, from) < 0 {
		return false
	}
	if to := "v" + strings.TrimPrefix(s.fixed, "v"); s.fixed != "" && semver.IsValid(to) && semver.Compare(v, to) >= 0 {
		return false
	}
	if to := "v" + strings.TrimPrefix(s.last, "v"); s.last != "" && semver.IsValid(to) && semver.Compare(v, to) > 0 {
		return false
	}
	return true
}

// Refusal is the error about a version that is known malware, or nil.
func (f *Feed) Refusal(ecosystem, name, version, where string) error {
	id, bad := f.Malware(ecosystem, name, version)
	if !bad {
		return nil
	}
	return fault.New(fault.Malware, fmt.Sprintf("%s@%s is known malware (%s)", name, version, id)).At(where).
		Mend("take it out of the project, and look at every machine that had it")
}
