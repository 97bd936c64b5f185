// Package release signs and promotes. It is the only room with a way to a key,
// and takes nothing but a gate.Verdict: for each digest, provenance, bills of
// materials, test result and summary are signed and logged, and only then is the
// artifact promoted.
//
// A release repository is a directory: layouts/<project> is an OCI image layout
// (image-spec 1.1) in which each artifact is a manifest of its own, and each
// signed statement refers to it; bundles/<project>/<run> holds the same statements
// as files. The order is: hash, sign, log, write the bundles, write the blobs, and
// last, in one rename, the layout's index. So a crash leaves unused signatures, never
// an unsigned artifact, and the same release made again ends it.
package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/digest"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gate"
	"github.com/sallyport/sallyport/internal/ledger"
	"github.com/sallyport/sallyport/internal/sign"
)

// Authority signs statements. *sign.Authority is one.
type Authority interface {
	AttestAll(ctx context.Context, reqs []sign.Request) ([]sign.Bundles, error)
	TrustedRoot() []byte
	PublicKey(r sign.Role) []byte
}

// Ledger takes entries. *ledger.Log is one.
type Ledger interface {
	AppendAsync(e ledger.Entry) error
	Flush(ctx context.Context) error
}

// Content opens the bytes of an artifact by its digest. They are hashed again
// here, so the source need not be trusted.
type Content interface {
	Open(d digest.Digest) (io.ReadCloser, error)
}

// ContentFunc is a function that is a Content.
type ContentFunc func(digest.Digest) (io.ReadCloser, error)

// Open calls the function.
func (f ContentFunc) Open(d digest.Digest) (io.ReadCloser, error) { return f(d) }

// Options say who signs, and where releases go.
type Options struct {
	Authority   Authority
	Ledger      Ledger
	Repository  string           // directory
	TrustDomain string           // default sallyport.local
	Clock       func() time.Time // default time.Now

	// fault is called before each step; tests end the process there.
	fault func(step string) error
}

// Releaser signs and promotes into one repository. Several may, of several
// processes, into the same one.
type Releaser struct{ o Options }

// Promotion is what was promoted for one run.
type Promotion struct {
	Run       string     `json:"run"`
	Project   string     `json:"project"`
	Layout    string     `json:"layout"`         // directory of the OCI image layout
	Bundles   string     `json:"bundles"`        // directory with the statements as files
	Tags      []string   `json:"tags"`           // names of the promotion in the layout
	Kept      []string   `json:"kept,omitempty"` // tags that name an earlier promotion and were left alone
	Artifacts []Promoted `json:"artifacts"`
	Resumed   bool       `json:"resumed,omitempty"` // it had been promoted before
}

// Promoted is one artifact of a promotion.
type Promoted struct {
	Name     string        `json:"name"`
	Digest   digest.Digest `json:"digest"`
	Manifest digest.Digest `json:"manifest"` // OCI manifest
	Tag      string        `json:"tag"`      // of this artifact alone
	Bundle   string        `json:"bundle"`   // path of its one-file bundle
}

// ErrVerdict reports a verdict that does not allow what was asked for.
var ErrVerdict = errors.New("no valid verdict")

// Open checks the options. Directories are made when something is released.
func Open(o Options) (*Releaser, error) {
	if o.Authority == nil || o.Ledger == nil || o.Repository == "" {
		return nil, errors.New("open release repository: needs an authority, a ledger and a directory")
	}
	if o.TrustDomain == "" {
		o.TrustDomain = "sallyport.local"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	abs, err := filepath.Abs(o.Repository)
	if err != nil {
		return nil, fmt.Errorf("open release repository: %w", err)
	}
	o.Repository = abs
	return &Releaser{o}, nil
}

// step is a place where a crash is tried in tests.
func (r *Releaser) step(name string) error {
	if r.o.fault == nil {
		return nil
	}
	return r.o.fault(name)
}

// Release signs what verdicts allow and promotes it, all of it or nothing. run is
// the very evidence that the verdicts were given on. A release that was cut
// short is made anew; one that was finished is returned as it is.
func (r *Releaser) Release(ctx context.Context, run *evidence.Run, verdicts []gate.Verdict, c Content) (Promotion, error) {
	items, err := r.admit(run, verdicts)
	if err != nil {
		return Promotion{}, err
	}
	l, err := openLayout(r.layoutDir(run.Project))
	if err != nil {
		return Promotion{}, err
	}
	defer l.close()
	p := r.promotion(run, items)
	done, err := l.promoted(&p, items)
	if err != nil || done {
		return p, err
	}
	if err := r.step("admitted"); err != nil {
		return Promotion{}, err
	}
	for _, it := range items {
		if err := it.rehash(ctx, c); err != nil {
			return Promotion{}, err
		}
	}
	if err := r.attest(ctx, run, items); err != nil {
		return Promotion{}, err
	}
	if err := r.step("signed"); err != nil {
		return Promotion{}, err
	}
	if err := r.writeBundles(p.Bundles, items); err != nil {
		return Promotion{}, err
	}
	if err := r.promote(ctx, l, &p, items, c); err != nil {
		return Promotion{}, err
	}
	return p, nil
}

// item is one artifact on its way.
type item struct {
	verdict  gate.Verdict
	artifact evidence.Artifact
	manifest blob // OCI manifest, made before signing since the statements name it
	signed   []signed
}

// admit is the door: without a valid verdict for this run, this evidence and
// this digest nothing goes further.
func (r *Releaser) admit(run *evidence.Run, verdicts []gate.Verdict) ([]*item, error) {
	if run == nil || run.State != evidence.Success {
		return nil, fmt.Errorf("release: the run did not succeed: %w", ErrVerdict)
	}
	if len(verdicts) == 0 {
		return nil, fmt.Errorf("release run %s: %w", run.ID, ErrVerdict)
	}
	sum, err := run.Digest()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var items []*item
	for _, v := range verdicts {
		a := v.Artifact()
		switch {
		case !v.Valid():
			return nil, fmt.Errorf("release run %s: %w", run.ID, ErrVerdict)
		case v.Run() != run.ID || v.Evidence() != sum:
			return nil, fmt.Errorf("release %s: the verdict is on other evidence than that of run %s: %w", a.Name, run.ID, ErrVerdict)
		case a.Digest.IsZero() || !slices.Contains(run.Artifacts, a):
			return nil, fmt.Errorf("release %s: run %s made no such artifact: %w", a.Name, run.ID, ErrVerdict)
		case seen[fileName(a.Name)]:
			return nil, fmt.Errorf("release %s: two artifacts of this name: %w", a.Name, ErrVerdict)
		}
		seen[fileName(a.Name)] = true
		it := &item{verdict: v, artifact: a}
		if it.manifest, err = artifactManifest(run, a, sum); err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// rehash reads the artifact once before anything is signed: what is signed is
// what is there.
func (it *item) rehash(ctx context.Context, c Content) error {
	f, err := c.Open(it.artifact.Digest)
	if err != nil {
		return fmt.Errorf("release %s: %w", it.artifact.Name, err)
	}
	defer f.Close()
	d, n, err := digest.FromReader(&until{ctx, f})
	if err != nil {
		return fmt.Errorf("release %s: %w", it.artifact.Name, err)
	}
	if d != it.artifact.Digest || n != it.artifact.Size {
		return fmt.Errorf("release %s: the verdict is about %s (%d bytes), the content is %s (%d bytes): %w",
			it.artifact.Name, it.artifact.Digest, it.artifact.Size, d, n, ErrVerdict)
	}
	return nil
}

// until ends a read when its context does.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u *until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// promotion says where a run's release goes.
func (r *Releaser) promotion(run *evidence.Run, items []*item) Promotion {
	p := Promotion{
		Run: run.ID, Project: run.Project, Layout: r.layoutDir(run.Project),
		Bundles: filepath.Join(r.o.Repository, "bundles", filepath.FromSlash(pathName(run.Project)), fileName(run.ID)),
		Tags:    []string{tagName(run.ID)},
	}
	if t := tagName(run.Source.Ref); run.Source.Ref != "" && t != p.Tags[0] {
		p.Tags = append(p.Tags, t)
	}
	for _, it := range items {
		tag := p.Tags[0]
		if len(items) > 1 {
			tag = tagName(p.Tags[0] + "-" + it.artifact.Name)
		}
		p.Artifacts = append(p.Artifacts, Promoted{
			Name: it.artifact.Name, Digest: it.artifact.Digest, Manifest: it.manifest.digest, Tag: tag,
			Bundle: filepath.Join(p.Bundles, fileName(it.artifact.Name)+".sigstore.jsonl"),
		})
	}
	return p
}

func (r *Releaser) layoutDir(project string) string {
	return filepath.Join(r.o.Repository, "layouts", filepath.FromSlash(pathName(project)))
}

// identity is the SPIFFE ID of a signer in the release zone.
func (r *Releaser) identity(project, signer string) (string, error) {
	return boundary.SPIFFE(r.o.TrustDomain, segment(project), boundary.Release, signer)
}

// promote makes the signed artifacts visible.
func (r *Releaser) promote(ctx context.Context, l *layout, p *Promotion, items []*item, c Content) error {
	if err := r.step("bundles"); err != nil {
		return err
	}
	next := l.index.clone()
	for i, it := range items {
		if err := r.writeItem(ctx, l, it, c); err != nil {
			return err
		}
		next.add(it, p.Artifacts[i].Tag, len(items) > 1)
	}
	if err := next.tag(l, p, items); err != nil {
		return err
	}
	// The log says so before it is so: a promotion that nobody sees is better
	// than one that the log does not know.
	if err := r.logPromotion(ctx, p); err != nil {
		return err
	}
	if err := r.step("logged"); err != nil {
		return err
	}
	if err := l.commit(next, func() error { return r.step("index") }); err != nil {
		return err
	}
	return r.step("promoted")
}

// writeItem writes the statements first, and the artifact's bytes last of all.
func (r *Releaser) writeItem(ctx context.Context, l *layout, it *item, c Content) error {
	if err := l.put(emptyConfig()); err != nil {
		return err
	}
	for i := range it.signed {
		s := &it.signed[i]
		if err := l.put(s.bundle); err != nil {
			return err
		}
		var err error
		if s.referrer, err = referrerManifest(it.manifest, s); err != nil {
			return err
		}
		if err := l.put(s.referrer); err != nil {
			return err
		}
	}
	if err := r.step("referrers"); err != nil {
		return err
	}
	if err := l.put(it.manifest); err != nil {
		return err
	}
	if err := r.step("manifest"); err != nil {
		return err
	}
	if err := l.copy(ctx, it.artifact, c); err != nil {
		return err
	}
	return r.step("artifact")
}

func (r *Releaser) logPromotion(ctx context.Context, p *Promotion) error {
	for _, a := range p.Artifacts {
		e := ledger.Entry{
			Type: ledger.Promotion, Run: p.Run, Time: r.o.Clock().UTC(), Subjects: []digest.Digest{a.Digest}, Data: a.Manifest,
			Facts: map[string]string{"project": p.Project, "artifact": fileName(a.Name), "tag": a.Tag},
		}
		if err := r.o.Ledger.AppendAsync(e); err != nil {
			return fmt.Errorf("log promotion: %w", err)
		}
	}
	if err := r.o.Ledger.Flush(ctx); err != nil {
		return fmt.Errorf("log promotion: %w", err)
	}
	return nil
}
