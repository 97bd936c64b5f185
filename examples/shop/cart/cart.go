// Package cart adds up what a customer wants and takes it from the stock.
package cart

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"example.com/shop/catalog"
)

// ErrStock says that there is less in stock than was asked for.
var ErrStock = errors.New("not enough in stock")

// Line is one item and how many of it.
type Line struct {
	ID    string `json:"id"`
	Count int    `json:"count"`
}

// Order is what was bought.
type Order struct {
	Number string `json:"number"`
	Total  int    `json:"total"` // cents
	Label  string `json:"label"`
}

// Shop keeps the stock.
type Shop struct {
	mu    sync.Mutex
	items map[string]catalog.Item
}

// New opens a shop that sells items.
func New(items []catalog.Item) *Shop {
	s := &Shop{items: map[string]catalog.Item{}}
	for _, it := range items {
		s.items[it.ID] = it
	}
	return s
}

// Buy takes all lines or none.
func (s *Shop) Buy(lines []Line) (Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total, left := 0, map[string]int{}
	for _, l := range lines {
		it, ok := s.items[l.ID]
		if !ok || l.Count < 1 {
			return Order{}, fmt.Errorf("no such item: %d of %q", l.Count, l.ID)
		}
		if _, ok := left[l.ID]; !ok {
			left[l.ID] = it.Stock
		}
		if left[l.ID] -= l.Count; left[l.ID] < 0 {
			return Order{}, fmt.Errorf("%s: %w", it.Name, ErrStock)
		}
		total += it.Price * l.Count
	}
	for id, n := range left {
		it := s.items[id]
		it.Stock = n
		s.items[id] = it
	}
	return Order{Number: uuid.NewString(), Total: total, Label: catalog.Label(total)}, nil
}
