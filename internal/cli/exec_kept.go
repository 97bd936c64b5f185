package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/confine"
	"github.com/sallyport/sallyport/internal/evidence"
)

// keptExecs is how many commands' refusals are kept, so that why can explain
// them.
const keptExecs = 100

// keptExec is what is kept of one confined command: not its arguments, which may
// hold what is nobody's business.
type keptExec struct {
	Schema    string            `json:"schema"` // sallyport/exec-denials/v1
	Program   string            `json:"program"`
	Dir       string            `json:"dir"` // the checkout
	Zone      string            `json:"zone"`
	Isolation string            `json:"isolation"`
	ExitCode  int               `json:"exit_code"`
	Denials   []evidence.Denial `json:"denials"`
}

// keeper keeps the refusals of one command. Its number is taken before the
// command starts, so that what the command prints of a refusal names it rightly.
type keeper struct {
	f *os.File
	n int
}

// newKeeper takes the next number.
func (p paths) newKeeper() (*keeper, error) {
	dir := filepath.Join(p.exec, "denials")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep refusals: %w", err)
	}
	numbers, err := keptNumbers(dir)
	if err != nil {
		return nil, fmt.Errorf("keep refusals: %w", err)
	}
	f, n, err := nextKept(dir, numbers)
	if err != nil {
		return nil, fmt.Errorf("keep refusals: %w", err)
	}
	for len(numbers) >= keptExecs {
		_ = os.Remove(keptFile(dir, numbers[0])) // another command may have done so
		numbers = numbers[1:]
	}
	return &keeper{f, n}, nil
}

// id is the command's, for D-<id>-<n>.
func (k *keeper) id() string { return fmt.Sprintf("x%d", k.n) }

// keep writes what was refused.
func (k *keeper) keep(program string, req *confine.Request, out *confine.Outcome) error {
	if len(out.Denials) == 0 {
		return nil
	}
	kept := keptExec{"sallyport/exec-denials/v1", filepath.Base(program), req.Dir, req.Zone.String(), out.Receipt.Level, out.ExitCode, slices.Clone(out.Denials)}
	for i := range kept.Denials {
		kept.Denials[i].Process = programs(kept.Denials[i].Process)
	}
	if err := json.NewEncoder(k.f).Encode(kept); err != nil {
		return fmt.Errorf("keep refusals: %w", err)
	}
	return nil
}

// close gives the number back where nothing was refused.
func (k *keeper) close() error {
	info, err := k.f.Stat()
	if err == nil && info.Size() == 0 {
		err = os.Remove(k.f.Name())
	}
	return errors.Join(err, k.f.Close())
}

// programs are the programs of a process chain, without what they were given.
func programs(chain string) string {
	var out []string
	for command := range strings.SplitSeq(chain, " > ") {
		if f := strings.Fields(command); len(f) > 0 {
			out = append(out, filepath.Base(f[0]))
		}
	}
	return strings.Join(out, " > ")
}

func keptFile(dir string, n int) string { return filepath.Join(dir, strconv.Itoa(n)+".json") }

// keptNumbers are those of the commands that are kept, ascending.
func keptNumbers(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		name, ok := cutJSON(e.Name())
		if n, err := strconv.Atoi(name); ok && err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func cutJSON(name string) (string, bool) {
	const ext = ".json"
	if filepath.Ext(name) != ext {
		return "", false
	}
	return name[:len(name)-len(ext)], true
}

// nextKept makes the next file; two commands at the same time get two.
func nextKept(dir string, numbers []int) (*os.File, int, error) {
	n := 1
	if len(numbers) > 0 {
		n = numbers[len(numbers)-1] + 1
	}
	for ; ; n++ {
		f, err := os.OpenFile(keptFile(dir, n), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, n, err
		}
	}
}

// keptDenials reads what is kept of a command.
func (p paths) keptDenials(number string) (keptExec, error) {
	var kept keptExec
	b, err := os.ReadFile(filepath.Join(p.exec, "denials", number+".json"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 { // it is running, or was killed
		return kept, &problem{Code: codeNoDenial, Exit: exitUsage, What: "nothing is kept of command x" + number + fmt.Sprintf(": the refusals of the last %d are", keptExecs)}
	}
	if err != nil {
		return kept, fmt.Errorf("read refusals: %w", err)
	}
	if err := json.Unmarshal(b, &kept); err != nil {
		return kept, fmt.Errorf("read refusals of command x%s: %w", number, err)
	}
	return kept, nil
}
