package ledger

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/sign/inclusion"
)

// ack is what a child prints when an append has returned.
type ack struct {
	Index uint64 `json:"index"`
	Leaf  string `json:"leaf"`
}

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LEDGER_TEST_CHILD"); dir != "" {
		appendForever(dir, os.Getenv("LEDGER_TEST_KEYS"))
	}
	os.Exit(m.Run())
}

func appendForever(dir, keys string) {
	l, err := Open(dir, Options{Keys: keys})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				e := entry(fmt.Sprint(os.Getpid(), w), n)
				e.Schema, e.Time = Schema, l.clock()
				i, err := l.Append(context.Background(), e)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				leaf, _ := e.Canonical()
				mu.Lock()
				_ = out.Encode(ack{i, base64.StdEncoding.EncodeToString(leaf)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestKillLosesNothing kills two processes that append to one log, again and
// again, and looks for every entry whose append had returned.
func TestKillLosesNothing(t *testing.T) {
	p := newPlace(t)
	acked := map[uint64]string{}
	for range 3 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { killAfter(t, p, 300, &mu, acked) })
		}
		wg.Wait()
	}
	l := p.open(t) // signs what the killed ones left unsigned
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := l.Verify(t.Context())
	if err != nil || rep.Unsigned != 0 || rep.Size < uint64(len(acked)) {
		t.Fatalf("report %+v, error %v", rep, err)
	}
	lost := len(acked)
	for rec, err := range l.Entries(t.Context(), Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if leaf, ok := acked[rec.Index]; ok && leaf == base64.StdEncoding.EncodeToString(rec.Leaf) {
			lost--
		}
	}
	if lost != 0 || len(acked) < 1000 {
		t.Errorf("%d of %d acknowledged entries lost", lost, len(acked))
	}
	checkProofs(t, l, acked)
	t.Logf("%d acknowledged, %d in the log", len(acked), rep.Size)
}

func checkProofs(t *testing.T, l *Log, acked map[uint64]string) {
	t.Helper()
	cp, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	tree, v := l.tree(cp), l.v
	for i, leaf := range acked {
		raw, err := base64.StdEncoding.DecodeString(leaf)
		if err != nil {
			t.Fatal(err)
		}
		var proof *inclusion.Proof
		if proof, err = tree.prove(i, raw); err == nil {
			_, err = proof.Check(v)
		}
		if err != nil {
			t.Fatalf("proof of entry %d: %v", i, err)
		}
	}
}

func killAfter(t *testing.T, p place, n int, mu *sync.Mutex, acked map[uint64]string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LEDGER_TEST_CHILD="+p.dir, "LEDGER_TEST_KEYS="+p.keys)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		var a ack
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			continue // cut off by the kill
		}
		mu.Lock()
		if old, ok := acked[a.Index]; ok && old != a.Leaf {
			t.Errorf("index %d was given twice", a.Index)
		}
		acked[a.Index] = a.Leaf
		mu.Unlock()
		if i == n {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
}
