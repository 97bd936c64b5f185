package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/shop/catalog"
)

func TestShop(t *testing.T) {
	items, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler(items))
	defer srv.Close()

	resp, err := http.Get(srv.URL + "/api/items")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []catalog.Item
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || len(got) != len(items) {
		t.Errorf("%d items, err %v", len(got), err)
	}
	for _, tt := range []struct {
		body string
		want int
	}{
		{`[{"id":"lantern","count":1}]`, http.StatusCreated},
		{`[{"id":"kettle","count":1}]`, http.StatusConflict},
		{`[{"id":"ship","count":1}]`, http.StatusConflict},
		{`{`, http.StatusBadRequest},
	} {
		resp, err := http.Post(srv.URL+"/api/orders", "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: status %d, want %d: %s", tt.body, resp.StatusCode, tt.want, body)
		}
	}
}
