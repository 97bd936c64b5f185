package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/verify"
)

// verifyResult is sallyport/verify/v1 of a folder with several artifacts; of one
// it is the report itself.
type verifyResult struct {
	Schema    string          `json:"schema"`
	Artifact  string          `json:"artifact"`
	Outcome   string          `json:"outcome"`
	Artifacts []verify.Report `json:"artifacts"`
}

type verifyFlags struct {
	bundle, root, identity, source, ref string
}

const verifyLong = `Check, offline, that an artifact is what its statements say, and that the statements
hold: signatures, certificates, timestamps, log proofs, digests, source, builder,
policy. Each check says what was wanted and what was found.

ARTIFACT is a file with its bundle beside it, a folder that run --out made, or an OCI
image layout (LAYOUT or LAYOUT:TAG). The trusted root is this machine's own, else the
one of --trusted-root: it has to come from elsewhere than the artifact.`

func (a *app) verifyCommand() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify ARTIFACT",
		Short: "check offline that an artifact is what it is said to be",
		Long:  verifyLong,
		Example: `  sallyport verify dist/shop
  sallyport verify shop --bundle shop.sigstore.jsonl --trusted-root trusted_root.json
  sallyport verify ~/.local/state/sallyport/release/layouts/shop`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), f, args[0]) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.bundle, "bundle", "", "bundle of the artifact (default ARTIFACT.sigstore.jsonl)")
	fs.StringVar(&f.root, "trusted-root", "", "Sigstore trusted root to check against (default: this machine's own)")
	fs.StringVar(&f.identity, "identity", "", "whom to trust: spiffe://DOMAIN or spiffe://DOMAIN/PROJECT (default spiffe://sallyport.local)")
	fs.StringVar(&f.source, "source", "", "address that the source must have; a final * stands for the rest")
	fs.StringVar(&f.ref, "ref", "", "ref that must have been built")
	return cmd
}

func (a *app) verify(ctx context.Context, f *verifyFlags, artifact string) error {
	root, err := a.trustedRoot(f.root)
	if err != nil {
		return err
	}
	targets, err := verifyTargets(artifact)
	if err != nil {
		return err
	}
	var reports []verify.Report
	for _, t := range targets {
		r, err := verify.Check(ctx, verify.Request{
			Artifact: t, Bundle: f.bundle, TrustedRootJSON: root, Identity: f.identity, Source: f.source, Ref: f.ref,
		})
		if err != nil {
			return cannotVerify(t, err)
		}
		reports = append(reports, r)
		if r.Outcome != verify.Passed {
			a.code = exitNo
		}
	}
	if len(reports) == 1 {
		return a.result(reports[0], func(w io.Writer) { verifyText(w, reports[0]) })
	}
	all := verifyResult{"sallyport/verify/v1", artifact, verify.Passed, reports}
	if a.code != exitYes {
		all.Outcome = verify.Failed
	}
	return a.result(all, func(w io.Writer) {
		for _, r := range reports {
			verifyText(w, r)
		}
	})
}

// cannotVerify words why nothing could be told. An artifact that nobody speaks
// for is a clear no.
func cannotVerify(artifact string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &problem{Code: codeNoBundle, Exit: exitNo, What: "nothing says where this comes from: " + artifact + " has no bundle", cause: err,
			Also: []string{err.Error()}, Next: "sallyport verify " + artifact + " --bundle FILE"}
	}
	if errors.Is(err, verify.ErrRequest) {
		return usagef("%w", err)
	}
	return fmt.Errorf("verify %s: %w", artifact, err)
}

// trustedRoot reads what to check against. It is never taken from beside the
// artifact: whoever made that could have made both.
func (a *app) trustedRoot(file string) ([]byte, error) {
	if file != "" {
		return readSmall(file)
	}
	p, err := a.paths()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(p.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &problem{Code: codeNoRoot, Exit: exitUsage, What: "nothing was signed on this machine, so it has no trusted root of its own",
			Next: "sallyport verify --trusted-root FILE ARTIFACT   # a root that you trust, and that did not come with the artifact"}
	}
	if err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	return b, nil
}

// verifyTargets lists what to verify: the artifacts of a folder that run --out
// made, else the argument.
func verifyTargets(artifact string) ([]string, error) {
	info, err := os.Stat(artifact)
	if errors.Is(err, fs.ErrNotExist) {
		if dir, _, ok := strings.Cut(artifact, ":"); ok {
			if _, err := os.Stat(dir); err == nil {
				return []string{artifact}, nil
			}
		}
	}
	if err != nil {
		return nil, noFile(artifact, err)
	}
	if !info.IsDir() {
		return []string{artifact}, nil
	}
	if _, err := os.Stat(filepath.Join(artifact, "oci-layout")); err == nil {
		return []string{artifact}, nil
	}
	bundles, err := filepath.Glob(filepath.Join(artifact, "*.sigstore.jsonl"))
	if err != nil {
		return nil, usagef("%s: %w", artifact, err)
	}
	if len(bundles) == 0 {
		return nil, &problem{Code: codeNoBundle, Exit: exitNo, What: artifact + " is neither an OCI image layout nor a folder that run --out made"}
	}
	slices.Sort(bundles)
	for i, b := range bundles {
		bundles[i] = strings.TrimSuffix(b, ".sigstore.jsonl")
	}
	return bundles, nil
}

func verifyText(w io.Writer, r verify.Report) {
	fmt.Fprintf(w, "%s: %s\n", clean(r.Artifact), r.Outcome)
	fmt.Fprintf(w, "  digest     %s\n", r.Digest)
	for _, c := range r.Checks {
		if c.OK {
			fmt.Fprintf(w, "  ok  %-22s %s\n", clean(c.Name), clean(c.Got))
			continue
		}
		fmt.Fprintf(w, "  NO  %-22s wanted %s, got %s\n", clean(c.Name), clean(c.Wanted), clean(c.Got))
	}
}
