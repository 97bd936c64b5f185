// Package catalog holds what the shop sells.
package catalog

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/yuin/goldmark"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

//go:embed catalog.json
var raw []byte

// Item is one thing for sale.
type Item struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Price int    `json:"price"` // cents
	Stock int    `json:"stock"`
	Text  string `json:"text"` // Markdown in the file, HTML after Load
	Label string `json:"label"`
}

// Load reads the catalog and renders its texts and prices.
func Load() ([]Item, error) {
	var items []Item
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	for i := range items {
		var html bytes.Buffer
		if err := goldmark.Convert([]byte(items[i].Text), &html); err != nil {
			return nil, fmt.Errorf("render %s: %w", items[i].ID, err)
		}
		items[i].Text = html.String()
		items[i].Label = Label(items[i].Price)
	}
	return items, nil
}

// Label writes cents as a price for people.
func Label(cents int) string {
	p := message.NewPrinter(language.English)
	return p.Sprint(currency.Symbol(currency.EUR.Amount(float64(cents) / 100)))
}
