package conductor

import (
	"fmt"
	"testing"

	"github.com/sallyport/sallyport/internal/store"
)

// A stage cannot hide the file that it changed behind many that it touched.
func TestWorstRewritesComeFirst(t *testing.T) {
	var all []store.Rewrite
	for i := range 3 * maxRewrites {
		all = append(all, store.Rewrite{Path: fmt.Sprintf("src/a%04d", i), How: store.Touched})
	}
	all = append(all, store.Rewrite{Path: "src/y", How: store.Removed}, store.Rewrite{Path: "src/z", How: store.Changed})
	got := worstRewrites(all)
	if len(got) != maxRewrites || got[0].Path != "y" || got[0].How != "removed" || got[1].Path != "z" || got[1].How != "changed" || got[2].How != "touched" {
		t.Errorf("%d, first %v", len(got), got[:3])
	}
}
