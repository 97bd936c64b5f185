// Package golang is the gateway's room for Go modules: it reads go.mod, go.sum
// and go.work into a plan, fetches the plan's modules from the configured
// module proxies, and answers the go command of one zone.
//
// What it promises: bytes of a module leave it only after their h1 checksum was
// the one that go.sum promises and, where the checksum database covers the
// module, the one that the database's transparency log proves. Nothing in it
// runs a version control system, and no name outside the plan reaches a proxy.
package golang

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/sallyport/sallyport/internal/evidence"
)

// Kinds of materials.
const (
	KindMod       = "go.mod"
	KindZip       = "go.zip"
	KindToolchain = "toolchain"
)

// ToolchainPath is the module path under which Go serves its own releases.
const ToolchainPath = "golang.org/toolchain"

// Module is one member of a plan.
type Module struct {
	module.Version
	ZipSum string       // h1 of go.sum; empty: the checksum database decides
	ModSum string       // h1 of go.sum for its go.mod; empty: the checksum database decides
	Zip    bool         // the module itself may be served, not only its go.mod
	Pin    evidence.Pin // of the zip
	ModPin evidence.Pin // of the go.mod
	File   string       // where the version is fixed
	Line   int
	MinAge time.Duration
}

// kind is the kind of the module's zip.
func (m *Module) kind() string {
	if m.Path == ToolchainPath {
		return KindToolchain
	}
	return KindZip
}

// where is file:line.
func (m *Module) where() string {
	if m.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", m.File, m.Line)
}

// Purl is the package URL of a module. It keeps upper case, which module paths
// have and the purl specification's lower-casing would lose.
func Purl(path, version string) string {
	var b strings.Builder
	b.WriteString("pkg:golang")
	for elem := range strings.SplitSeq(path, "/") {
		b.WriteString("/" + url.PathEscape(elem))
	}
	if version != "" {
		b.WriteString("@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B"))
	}
	return b.String()
}

// Materials lists what the module puts into the allow-set.
func (m *Module) Materials() []evidence.Material {
	mod := evidence.Material{PURL: Purl(m.Path, m.Version.Version), Kind: KindMod, Sum: m.ModSum, Pin: m.ModPin, File: m.File, Line: m.Line}
	zip := mod
	zip.Kind, zip.Sum, zip.Pin = m.kind(), m.ZipSum, m.Pin
	switch {
	case m.Path == ToolchainPath:
		return []evidence.Material{zip}
	case m.Zip:
		return []evidence.Material{mod, zip}
	}
	return []evidence.Material{mod}
}

// compareVersions orders versions as the go command does.
func compareVersions(a, b string) int { return semver.Compare(a, b) }
