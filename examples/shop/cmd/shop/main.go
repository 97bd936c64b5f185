// Command shop serves the shop on the address of -listen.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"example.com/shop"
	"example.com/shop/cart"
	"example.com/shop/catalog"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve on")
	flag.Parse()
	items, err := catalog.Load()
	if err != nil {
		slog.Error("no catalog", "err", err)
		os.Exit(1)
	}
	srv := &http.Server{Addr: *listen, Handler: handler(items), ReadHeaderTimeout: 5 * time.Second}
	slog.Info("open for business", "url", "http://"+*listen)
	if err := srv.ListenAndServe(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		slog.Error("closed", "err", err)
		os.Exit(1)
	}
}

func handler(items []catalog.Item) http.Handler {
	stock := cart.New(items)
	r := chi.NewRouter()
	r.Use(middleware.Recoverer, middleware.RequestSize(64<<10))
	r.Get("/api/items", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, items) })
	r.Post("/api/orders", func(w http.ResponseWriter, r *http.Request) { order(w, r, stock) })
	r.Handle("/*", http.FileServerFS(shop.Web()))
	return r
}

func order(w http.ResponseWriter, r *http.Request, stock *cart.Shop) {
	var lines []cart.Line
	if err := json.NewDecoder(r.Body).Decode(&lines); err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": "not a list of lines"})
		return
	}
	o, err := stock.Buy(lines)
	if err != nil {
		reply(w, http.StatusConflict, map[string]string{"error": err.Error()})
		return
	}
	reply(w, http.StatusCreated, o)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		slog.Warn("reply", "err", err)
	}
}
