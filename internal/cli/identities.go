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

	"github.com/sallyport/sallyport/internal/audit"
	"github.com/sallyport/sallyport/internal/pipeline"
)

func (a *app) identitiesCommand() *cobra.Command {
	f := &readingFlags{}
	run := ""
	cmd := &cobra.Command{
		Use:   "identities [PATH...]",
		Short: "list which identity can do what, in which file and line",
		Long: `List the identities of CI files, or of a run of our own: secrets, tokens, OIDC subjects,
roles, apps, service connections and agents; what each can do and is seen to do; which of them
are shared by jobs of different trust, can do more than is used, are reached by code that nobody
here verified, or live until somebody revokes them although something short-lived is there.

PATH is a repository, or a folder of repositories: then there are totals over all of them.`,
		Example: "  sallyport identities\n  sallyport identities ~/src -o json\n  sallyport identities --run 42",
		RunE: func(cmd *cobra.Command, args []string) error {
			res, err := a.listIdentities(cmd.Context(), f, run, args)
			if err != nil {
				return err
			}
			return a.result(res, func(w io.Writer) { identitiesText(w, res) })
		},
	}
	f.on(cmd)
	cmd.Flags().StringVar(&run, "run", "", "identities of this run, from its record and the log")
	return cmd
}

func (a *app) whoCommand() *cobra.Command {
	f := &readingFlags{}
	run := ""
	var can []string
	cmd := &cobra.Command{
		Use:   "who --can WHAT [PATH...]",
		Short: "say who can fetch, sign, publish, deploy: one identity that can do all that is asked",
		Long: `Say which identities can do all of what --can names: ` + strings.Join(audit.Abilities(), ", ") + `.
One that can fetch and also sign or deploy lets a dependency make a release (SP9); then the exit code is 3.`,
		Example: "  sallyport who --can fetch,sign,deploy\n  sallyport who --can publish ~/src",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(can) == 0 {
				return usagef("--can is missing: name what to ask for, such as --can fetch,sign,deploy")
			}
			for _, c := range can {
				if !slices.Contains(audit.Abilities(), c) {
					return usagef("--can %s: there is %s", c, strings.Join(audit.Abilities(), ", "))
				}
			}
			res, err := a.listIdentities(cmd.Context(), f, run, args)
			if err != nil {
				return err
			}
			res.Identities = audit.Who(res.Identities, can)
			if len(res.Identities) > 0 && len(can) > 1 && slices.Contains(can, "fetch") {
				a.code = exitNo
			}
			return a.result(res, func(w io.Writer) { whoText(w, res, can) })
		},
	}
	f.on(cmd)
	cmd.Flags().StringVar(&run, "run", "", "ask about this run, from its record and the log")
	cmd.Flags().StringSliceVar(&can, "can", nil, "abilities, all of which one identity has to have")
	return cmd
}

func (a *app) listIdentities(ctx context.Context, f *readingFlags, run string, targets []string) (*audit.Identities, error) {
	res := &audit.Identities{Schema: audit.IdentitiesSchema, Identities: []audit.Identity{}}
	if run != "" {
		if len(targets) > 0 {
			return nil, usagef("--run and PATH exclude each other")
		}
		all, err := a.runIdentities(ctx, run)
		res.Identities = append(res.Identities, all...)
		res.Totals = audit.Sum(res.Identities, 1)
		return res, err
	}
	if len(targets) == 0 {
		targets = []string{"."}
	}
	count := 0
	for _, t := range targets {
		n, err := a.identitiesOf(f, t, res)
		if err != nil {
			return nil, err
		}
		count += n
	}
	if count == 0 {
		return nil, &problem{Code: codeNoCI, Exit: exitUsage, What: "no CI file in " + strings.Join(targets, ", "), Next: "sallyport identities PATH"}
	}
	res.Totals = audit.Sum(res.Identities, count)
	return res, nil
}

// identitiesOf adds those of one repository, or of each in a folder.
func (a *app) identitiesOf(f *readingFlags, target string, res *audit.Identities) (repositories int, err error) {
	info, err := os.Stat(target)
	if err != nil {
		return 0, &problem{Code: codeNoFile, Exit: exitUsage, What: err.Error(), cause: err}
	}
	dirs := []string{"."}
	if info.IsDir() {
		root, err := os.OpenRoot(target)
		if err != nil {
			return 0, fmt.Errorf("open %s: %w", target, err)
		}
		dirs, err = audit.Repositories(root.FS())
		if closing := root.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return 0, err
		}
	}
	for _, d := range dirs {
		flags := *f
		name := d
		if d == "." {
			name = ""
		}
		if err := a.identitiesIn(&flags, filepath.Join(target, filepath.FromSlash(d)), name, res); err != nil {
			return repositories, err
		}
		repositories++
	}
	return repositories, nil
}

func (a *app) identitiesIn(f *readingFlags, target, name string, res *audit.Identities) error {
	in, err := a.readCI(f, target)
	if err != nil {
		return err
	}
	defer in.close()
	for _, e := range in.reading.Errors {
		a.say("not read: %s: %s", clean(e.File), clean(e.Why))
	}
	res.Identities = append(res.Identities, audit.ListIdentities(name, in.reading.Definitions)...)
	if own, err := nativeIdentities(in.repo, name); err != nil || len(own) > 0 {
		res.Identities = append(res.Identities, own...)
		return err
	}
	return nil
}

// nativeIdentities are those that sallyport.yaml gives to its stages.
func nativeIdentities(repo fs.FS, name string) ([]audit.Identity, error) {
	raw, err := fs.ReadFile(repo, pipeline.FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", pipeline.FileName, err)
	}
	return identitiesOfPipeline(raw, name)
}

func identitiesText(w io.Writer, res *audit.Identities) {
	for _, i := range res.Identities {
		identityText(w, i)
	}
	t := res.Totals
	fmt.Fprintf(w, "%d identities in %d repositories: %d can fetch and also sign, publish or deploy, %d are reached by unverified code, %d shared, %d can more than is used, %d long-lived\n",
		t.Identities, t.Repositories, t.FetchAndRelease, t.Exposed, t.Shared, t.Excess, t.LongLived)
}

func identityText(w io.Writer, i audit.Identity) {
	name := i.ID
	if i.Repository != "" {
		name = i.Repository + ": " + name
	}
	fmt.Fprintf(w, "%s\n  can       %s\n", clean(name), listOr(i.Can, "nothing"))
	if len(i.Used) > 0 {
		fmt.Fprintf(w, "  used      %s\n", strings.Join(i.Used, ", "))
	}
	for _, f := range []struct {
		on   bool
		text string
	}{
		{i.Exposed, "reached by code that nobody here verified"},
		{i.Shared, "shared by jobs that run dependencies and jobs that do not"},
		{len(i.Excess) > 0, "can " + strings.Join(i.Excess, ", ") + ", which no job that holds it is seen to do"},
		{i.LongLived, "lives until somebody revokes it; there is " + i.Instead},
	} {
		if f.on {
			fmt.Fprintf(w, "  note      %s\n", clean(f.text))
		}
	}
	for k, u := range i.Where {
		if k == 5 {
			fmt.Fprintf(w, "            and %d more places\n", len(i.Where)-k)
			break
		}
		fmt.Fprintf(w, "  where     %s:%d  %s, %s\n", clean(u.File), u.Line, clean(u.Job), clean(u.How))
	}
	fmt.Fprintln(w)
}

func listOr(all []string, none string) string {
	if len(all) == 0 {
		return none
	}
	return clean(strings.Join(all, ", "))
}

func whoText(w io.Writer, res *audit.Identities, can []string) {
	if len(res.Identities) == 0 {
		fmt.Fprintf(w, "nobody can %s\n", strings.Join(can, " and "))
		return
	}
	for _, i := range res.Identities {
		identityText(w, i)
	}
	fmt.Fprintf(w, "%d of %d identities can %s\n", len(res.Identities), res.Totals.Identities, strings.Join(can, " and "))
}
