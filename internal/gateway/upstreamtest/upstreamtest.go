// Package upstreamtest serves registries out of memory for tests: a Go module
// proxy with a signed checksum database, and an npm registry. Each counts what
// it is asked, and can be told to misbehave.
package upstreamtest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Server is what both upstreams share.
type Server struct {
	*httptest.Server

	mu     sync.Mutex
	asked  []string
	tamper func(w http.ResponseWriter, r *http.Request) bool
}

// start serves h; each request is noted first and can be taken over.
func (s *Server) start(t testing.TB, h http.Handler) {
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path)
		tamper := s.tamper
		s.mu.Unlock()
		if tamper != nil && tamper(w, r) {
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Server.Close)
}

// Asked lists the requests so far, sorted.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.asked))
}

// AskedAbout counts the requests whose path holds a text.
func (s *Server) AskedAbout(part string) int {
	n := 0
	for _, a := range s.Asked() {
		if strings.Contains(a, part) {
			n++
		}
	}
	return n
}

// Tamper takes requests over: f returns true when it answered. Nil ends it.
func (s *Server) Tamper(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tamper = f
}
