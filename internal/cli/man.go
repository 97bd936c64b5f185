package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man [COMMAND]",
		Short:   "write the manual page",
		Example: "  sallyport man | man -l -\n  sallyport man run > sallyport-run.1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			page, _, err := cmd.Root().Find(args)
			if err != nil {
				return usagef("%w", err)
			}
			var out bytes.Buffer
			manPage(&out, page)
			_, err = a.stdout.Write(out.Bytes())
			return err
		},
	}
}

// manPage writes the page of one command in the man macros.
func manPage(w io.Writer, cmd *cobra.Command) {
	title := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	fmt.Fprintf(w, ".TH %q 1 \"\" \"Sallyport\" \"User Commands\"\n", strings.ToUpper(title))
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(title), roff(cmd.Short))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	long := cmd.Long
	if long == "" {
		long = cmd.Short
	}
	fmt.Fprintf(w, ".SH DESCRIPTION\n.nf\n%s\n.fi\n", roff(long))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintln(w, ".SH COMMANDS")
		for _, sub := range cmd.Commands() {
			if !sub.Hidden {
				fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(sub.Use), roff(sub.Short))
			}
		}
	}
	manFlags(w, "OPTIONS", cmd.NonInheritedFlags())
	manFlags(w, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	if cmd.Example != "" {
		fmt.Fprintf(w, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(cmd.Example))
	}
	fmt.Fprintf(w, ".SH \"EXIT STATUS\"\n.nf\n%s\n.fi\n", roff(exitWords))
}

const exitWords = `0    done, or a clear yes
1    could not tell: I/O, or our own fault
2    the command line or a file is wrong
3    a clear no: findings, failed verification, a boundary crossing
5    waits for an approval
7    a credential was refused
9    infrastructure: the same again may work
125  the sandbox is not at the required level
exec passes the code of its command through.`

func manFlags(w io.Writer, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(w, ".SH %q\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		fmt.Fprintf(w, ".TP\n.B %s\n%s; also %s\n", roff(name), roff(f.Usage), envName(f.Name))
	})
}

// roff escapes text for the man macros.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
