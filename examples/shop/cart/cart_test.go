package cart

import (
	"errors"
	"sync"
	"testing"

	"example.com/shop/catalog"
)

func shop() *Shop {
	return New([]catalog.Item{{ID: "rope", Name: "Rope", Price: 1890, Stock: 3}})
}

func TestBuy(t *testing.T) {
	o, err := shop().Buy([]Line{{"rope", 2}})
	if err != nil {
		t.Fatal(err)
	}
	if o.Total != 3780 || o.Number == "" {
		t.Errorf("order %+v", o)
	}
}

func TestBuyTakesAllOrNothing(t *testing.T) {
	s := shop()
	if _, err := s.Buy([]Line{{"rope", 2}, {"rope", 2}}); !errors.Is(err, ErrStock) {
		t.Fatalf("err = %v", err)
	}
	if _, err := s.Buy([]Line{{"rope", 3}}); err != nil {
		t.Errorf("a refused order took from the stock: %v", err)
	}
}

func TestBuyAtOnce(t *testing.T) {
	s := shop()
	var wg sync.WaitGroup
	sold := make(chan bool, 10)
	for range 10 {
		wg.Go(func() {
			_, err := s.Buy([]Line{{"rope", 1}})
			sold <- err == nil
		})
	}
	wg.Wait()
	close(sold)
	n := 0
	for ok := range sold {
		if ok {
			n++
		}
	}
	if n != 3 {
		t.Errorf("sold %d of 3", n)
	}
}
