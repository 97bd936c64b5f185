package catalog

import (
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	items, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, it := range items {
		if seen[it.ID] {
			t.Errorf("%s stands twice in the catalog", it.ID)
		}
		seen[it.ID] = true
		if it.Price <= 0 || it.Stock < 0 {
			t.Errorf("%s: price %d, stock %d", it.ID, it.Price, it.Stock)
		}
		if !strings.HasPrefix(it.Text, "<p>") {
			t.Errorf("%s: text is not rendered: %q", it.ID, it.Text)
		}
	}
}

func TestLabel(t *testing.T) {
	if got := Label(3950); got != "€ 39.50" {
		t.Errorf("Label(3950) = %q", got)
	}
}
