package conductor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/evidence"
)

// RecordSchema names the form of outcome.json.
const RecordSchema = "sallyport/outcome/v1"

// maxRecord bounds a record that is read back, in bytes.
const maxRecord = 256 << 20

// Record is what came of a run, as outcome.json.
type Record struct {
	Schema    string     `json:"schema"`
	Result    Result     `json:"result"`
	Failure   *Failure   `json:"failure,omitempty"`
	Decisions []Decision `json:"decisions,omitempty"`
	Release   *Promoted  `json:"release,omitempty"`
}

// record is the directory of a run that goes on. run.json is written anew after
// each change, by a rename, so that it is whole whenever it is read.
type record struct {
	dir  string
	lock *os.File

	mu     sync.Mutex
	run    *evidence.Run
	ledger error // why the ledger did not take an entry
}

// newRecord makes the directory of a new run, whose number is the next one.
func newRecord(runs string, now time.Time) (*record, error) {
	if err := os.MkdirAll(runs, 0o700); err != nil {
		return nil, fmt.Errorf("make run record: %w", err)
	}
	ids, err := numbers(runs)
	if err != nil {
		return nil, fmt.Errorf("make run record: %w", err)
	}
	next := 1
	if len(ids) > 0 {
		next = ids[len(ids)-1] + 1
	}
	for {
		dir := filepath.Join(runs, strconv.Itoa(next))
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, os.ErrExist) {
			next++
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("make run record: %w", err)
		}
		return begin(dir, strconv.Itoa(next), now)
	}
}

func begin(dir, id string, now time.Time) (*record, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "running"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make run record: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock run record: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		lock.Close()
		return nil, fmt.Errorf("make run record: %w", err)
	}
	r := &record{dir: dir, lock: lock, run: &evidence.Run{ID: id, Started: now, State: evidence.Running}}
	r.update(func(*evidence.Run) {})
	return r, nil
}

// update changes the record and writes it. A disk that is full for the record
// is full for the run: what cannot be written now is written at the end, or
// the run is known as interrupted.
func (r *record) update(change func(*evidence.Run)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r.run)
	writeJSON(filepath.Join(r.dir, "run.json"), r.run, false)
}

// broken notes that the ledger did not take an entry.
func (r *record) broken(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ledger = errors.Join(r.ledger, err)
}

func (r *record) ledgerError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger
}

// logPath is where the full log of a stage is.
func (r *record) logPath(stage string) string {
	return filepath.Join(r.dir, "logs", segment(stage)+".log")
}

// close writes both files for good and lets the run go.
func (r *record) close(out *Outcome) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := Record{Schema: RecordSchema, Result: out.Result, Failure: out.Failure, Decisions: out.Decisions, Release: out.Release}
	err := errors.Join(
		writeJSON(filepath.Join(r.dir, "outcome.json"), rec, true),
		writeJSON(filepath.Join(r.dir, "run.json"), r.run, true))
	if err != nil {
		err = fmt.Errorf("write run record %s: %w", r.run.ID, err)
	} else {
		os.Remove(filepath.Join(r.dir, "running"))
	}
	r.lock.Close()
	return err
}

func writeJSON(path string, v any, durable bool) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, path)
}

// canonical is compact JSON with its keys in the order of the types.
func canonical(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func numbers(runs string) ([]int, error) {
	entries, err := os.ReadDir(runs)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 0 && e.IsDir() && strconv.Itoa(n) == e.Name() {
			ids = append(ids, n)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Recover finishes the records of runs whose process died: they failed,
// interrupted. What their stages had finished is remembered, so that the same
// run continues from there.
func Recover(runs string) error {
	held, err := filepath.Glob(filepath.Join(runs, "*", "running"))
	if err != nil {
		return fmt.Errorf("recover runs: %w", err)
	}
	for _, path := range held {
		if err := recoverOne(path); err != nil {
			return fmt.Errorf("recover %s: %w", filepath.Dir(path), err)
		}
	}
	return nil
}

func recoverOne(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if isMissing(err) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // it is alive
	}
	dir := filepath.Dir(path)
	run, err := readRun(dir)
	if err != nil {
		run = &evidence.Run{ID: filepath.Base(dir)} // it died before its first record
	}
	// Without an outcome the run did not end, whatever its evidence said by then:
	// it may have died between the verdict and the release.
	if _, err := os.Lstat(filepath.Join(dir, "outcome.json")); isMissing(err) {
		interrupt(run)
		out := Record{Schema: RecordSchema, Result: Failed, Failure: &Failure{Code: CodeInterrupted, Result: Failed, Reason: run.Reason, Next: "run the same again: finished stages are remembered"}}
		err = errors.Join(writeJSON(filepath.Join(dir, "outcome.json"), out, false), writeJSON(filepath.Join(dir, "run.json"), run, false))
		if err != nil {
			return err
		}
	}
	return os.Remove(path)
}

// interrupt marks a run, and those of its stages that had not ended.
func interrupt(run *evidence.Run) {
	run.State, run.Reason = evidence.Failed, "interrupted"
	for i := range run.Stages {
		if s := &run.Stages[i]; s.State == evidence.Running {
			s.State, s.Reason = evidence.Failed, "interrupted"
		}
	}
}

func readRun(dir string) (*evidence.Run, error) {
	var run evidence.Run
	return &run, readJSON(filepath.Join(dir, "run.json"), &run)
}

func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewDecoder(io.LimitReader(f, maxRecord)).Decode(v)
}

// Load reads the record of a run.
func Load(runs, id string) (*Outcome, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("run %q: %w", id, errNoRecord)
	}
	dir := filepath.Join(runs, strconv.Itoa(n))
	run, err := readRun(dir)
	if isMissing(err) {
		return nil, fmt.Errorf("run %d: %w", n, errNoRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("run %d: %w", n, err)
	}
	out := &Outcome{Run: run, Dir: dir}
	var rec Record
	if err := readJSON(filepath.Join(dir, "outcome.json"), &rec); err == nil {
		out.Result, out.Failure, out.Decisions, out.Release = rec.Result, rec.Failure, rec.Decisions, rec.Release
	}
	return out, nil
}

// List reads the records of the newest runs, newest first; at most n, 0 means all.
func List(runs string, n int) ([]*Outcome, error) {
	ids, err := numbers(runs)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	slices.Reverse(ids)
	if n > 0 && len(ids) > n {
		ids = ids[:n]
	}
	var out []*Outcome
	for _, id := range ids {
		o, err := Load(runs, strconv.Itoa(id))
		if err != nil {
			continue // cut off before its first record
		}
		out = append(out, o)
	}
	return out, nil
}

// LogPath is where the full log of a stage of a loaded run is.
func (o *Outcome) LogPath(stage string) string {
	return filepath.Join(o.Dir, "logs", segment(stage)+".log")
}
