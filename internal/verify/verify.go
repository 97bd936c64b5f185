// Package verify is the check that a stranger makes: offline, with a trusted root
// from elsewhere, is this artifact what its statements say, and do the statements
// hold?
//
// Each check says what was wanted and what was got. A statement that is required
// and missing, that does not verify, or that contradicts another one makes the
// outcome "failed"; what cannot be read is an error, and no outcome. Everything
// here is hostile input: it is bounded, and nothing of it is executed or unpacked.
//
// What it proves with the keys of a local installation is that this installation
// signed these statements and put them on its log; not more.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/sign"
)

// Schema names the form of a Report.
const Schema = "sallyport/verify/v1"

// Request is what to verify, and what to expect of it.
type Request struct {
	// Artifact is a file, or an OCI image layout: dir or dir:tag.
	Artifact string
	// Bundle is the one-file bundle of a file (JSON lines of Sigstore bundles).
	// Empty: Artifact with ".sigstore.jsonl" added. A layout holds its own.
	Bundle string
	// TrustedRoot is a Sigstore trusted_root.json that did not come with the
	// artifact: its path, or in TrustedRootJSON its bytes.
	TrustedRoot     string
	TrustedRootJSON []byte
	// Identity is whom to trust: spiffe://<trust domain>, or
	// spiffe://<trust domain>/<project>. Empty: spiffe://sallyport.local.
	Identity string
	// Source, where given, is the address that the source has to have: exactly,
	// or up to a final "*".
	Source string
	// Ref, where given, is the ref that was built.
	Ref string
	// Policies, where given, are the digests of the policies of which one has to
	// have been passed.
	Policies []digest.Digest
	// Levels have to be among the verified levels of the summary.
	Levels []string
}

// Report is the outcome of all checks.
type Report struct {
	Schema   string   `json:"schema"`
	Artifact string   `json:"artifact"`
	Digest   string   `json:"digest"`
	Outcome  string   `json:"outcome"` // Passed or Failed
	Project  string   `json:"project,omitempty"`
	Source   string   `json:"source,omitempty"`
	Builder  string   `json:"builder,omitempty"`
	Policy   string   `json:"policy,omitempty"`
	Levels   []string `json:"levels,omitempty"`
	Checks   []Result `json:"checks"`
}

// The outcomes.
const (
	Passed = "passed"
	Failed = "failed"
)

// Result is one thing that was looked at.
type Result struct {
	Name   string `json:"name"`
	Wanted string `json:"wanted"`
	Got    string `json:"got"`
	OK     bool   `json:"ok"`
}

// Failures are the checks that do not hold.
func (r Report) Failures() []Result {
	var out []Result
	for _, c := range r.Checks {
		if !c.OK {
			out = append(out, c)
		}
	}
	return out
}

// ErrRequest reports a request that cannot be checked as it stands.
var ErrRequest = errors.New("cannot verify")

// Check verifies one artifact. An error means that it could not tell.
func Check(ctx context.Context, req Request) (Report, error) {
	who, err := parseIdentity(req.Identity)
	if err != nil {
		return Report{}, err
	}
	root, err := req.root()
	if err != nil {
		return Report{}, err
	}
	verifier, err := sign.NewVerifier(root)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	sub, err := load(ctx, req)
	if err != nil {
		return Report{}, err
	}
	x := &examination{req: req, who: who, verifier: verifier, subject: sub}
	x.report = Report{Schema: Schema, Artifact: shown(req.Artifact), Digest: sub.digest.String()}
	x.run()
	return x.report, nil
}

func (req Request) root() ([]byte, error) {
	if len(req.TrustedRootJSON) > 0 {
		return req.TrustedRootJSON, nil
	}
	if req.TrustedRoot == "" {
		return nil, fmt.Errorf("%w: no trusted root", ErrRequest)
	}
	b, err := readBounded(req.TrustedRoot, maxRoot)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	return b, nil
}

// identity is who is trusted to sign.
type identity struct {
	domain  string
	project string // empty: any
}

var identityForm = regexp.MustCompile(`^spiffe://([a-z0-9._-]{1,255})(?:/([A-Za-z0-9._-]{1,255}))?$`)

func parseIdentity(s string) (identity, error) {
	if s == "" {
		s = "spiffe://sallyport.local"
	}
	m := identityForm.FindStringSubmatch(strings.TrimSuffix(s, "/"))
	if m == nil {
		return identity{}, fmt.Errorf("%w: identity %q is not spiffe://<trust domain> or spiffe://<trust domain>/<project>", ErrRequest, shown(s))
	}
	return identity{domain: m[1], project: m[2]}, nil
}

// want is what a bundle has to prove to be taken for a statement of this type.
func (i identity) want(d digest.Digest, predicateType, signer string) sign.Want {
	w := sign.Want{Issuer: "https://" + i.domain, Artifact: d, PredicateType: predicateType}
	if i.project != "" {
		w.Identity = "spiffe://" + i.domain + "/" + i.project + "/release/" + signer
		return w
	}
	w.IdentityPattern = "spiffe://" + regexp.QuoteMeta(i.domain) + "/[A-Za-z0-9._-]+/release/" + signer
	return w
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shown(path), err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrRequest, shown(path), limit)
	}
	return b, nil
}

// openRegular opens a file that is one: not a pipe that never ends or a device.
func openRegular(path string) (*os.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrRequest, shown(path))
	}
	return os.Open(path)
}

const maxShown = 300

// shown makes a text of the artifact's maker fit for a report: one line, bounded,
// nothing that moves a cursor or turns writing around.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return s
}
