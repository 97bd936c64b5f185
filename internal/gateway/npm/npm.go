// Package npm is the gateway's room for npm packages: it reads package-lock.json
// and npm-shrinkwrap.json into a plan, fetches the plan's tarballs from the
// configured registries, and answers the npm client of one zone.
//
// What it promises: a tarball leaves it only after its Subresource Integrity
// value was the one that the lockfile promises; package documents are made from
// the plan alone, so that no upstream is asked for a name; nothing that a
// lockfile points at outside the configured registries is fetched.
package npm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/upstream"
)

// KindTarball is the kind of a package's material.
const KindTarball = "npm.tgz"

// Package is one member of a plan: a name at a version, with one promise.
type Package struct {
	Name, Version string
	Integrity     Integrity
	Site          upstream.Site // registry that it comes from
	Path          string        // escaped, below the site
	Guessed       bool          // the lockfile gave no address: Path is the usual one
	Pin           evidence.Pin
	File          string
	Line          int
	Dev           bool // needed for development only
	Optional      bool
	Scripts       bool // has an install script
	MinAge        time.Duration
	Elsewhere     bool // made for another system: allowed, not fetched ahead
	manifest      map[string]json.RawMessage
}

func (p *Package) id() string { return p.Name + "@" + p.Version }

func (p *Package) where() string {
	if p.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// base is the name without its scope.
func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// scope is "@scope" or empty.
func scope(name string) string {
	if s, _, ok := strings.Cut(name, "/"); ok {
		return s
	}
	return ""
}

// usualPath is where registries keep a tarball when nobody says otherwise.
func usualPath(name, version string) string {
	return name + "/-/" + base(name) + "-" + version + ".tgz"
}

// Purl is the package URL of a name at a version.
func Purl(name, version string) string {
	var b strings.Builder
	b.WriteString("pkg:npm")
	for elem := range strings.SplitSeq(name, "/") {
		b.WriteString("/" + strings.ReplaceAll(url.PathEscape(elem), "@", "%40"))
	}
	if version != "" {
		b.WriteString("@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B"))
	}
	return b.String()
}

// Material is what the package puts into the allow-set.
func (p *Package) Material() evidence.Material {
	return evidence.Material{
		PURL: Purl(p.Name, p.Version), Kind: KindTarball, Sum: p.Integrity.String(), Pin: p.Pin,
		File: p.File, Line: p.Line, Scripts: p.Scripts, Dev: p.Dev,
	}
}

// Names may hold what old registries let through, but nothing that means
// something in a path.
var (
	nameForm    = regexp.MustCompile(`^(@[A-Za-z0-9~_-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~!'()*-]*$`)
	versionForm = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

const (
	maxName    = 214
	maxVersion = 256
)

func validName(s string) bool    { return len(s) <= maxName && nameForm.MatchString(s) }
func validVersion(s string) bool { return len(s) <= maxVersion && versionForm.MatchString(s) }

// compareVersions orders by semantic versioning.
func compareVersions(a, b string) int {
	return cmp.Or(semver.Compare("v"+a, "v"+b), cmp.Compare(a, b))
}

// newest prefers releases to pre-releases, as a registry's "latest" does.
func newest(versions []string) string {
	sorted := slices.SortedFunc(slices.Values(versions), compareVersions)
	for _, v := range slices.Backward(sorted) {
		if !strings.Contains(v, "-") {
			return v
		}
	}
	if len(sorted) == 0 {
		return ""
	}
	return sorted[len(sorted)-1]
}
