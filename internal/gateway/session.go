package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/internal/boundary"
	"github.com/sallyport/sallyport/internal/evidence"
	"github.com/sallyport/sallyport/internal/gateway/fault"
	"github.com/sallyport/sallyport/internal/gateway/golang"
	"github.com/sallyport/sallyport/internal/gateway/npm"
	"github.com/sallyport/sallyport/internal/gateway/record"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// GoPath is where the module proxy protocol is served; npm has the rest.
const GoPath = "/-/go/"

// Beyond says what a session answers beside the members of its allow-set.
type Beyond = record.Beyond

// What is answered.
const (
	Nothing   = record.Nothing
	Reachable = record.Reachable
	Anything  = record.Anything
)

// SessionOptions say for whom a session is.
type SessionOptions struct {
	Run      string // decimal number of the run, for denial ids
	Stage    string
	Zone     boundary.Zone
	Identity string    // SPIFFE ID of the stage
	Allow    *AllowSet // nil: everything is refused
	Beyond   Beyond    // what is let through that the allow-set does not hold

	Allowed []boundary.Allowance // all exceptions of the project, to say of a refusal that one has run out

	OnDenial   func(evidence.Denial) // told of each different refusal once; may be nil
	NextDenial func() int            // numbers denials across the run; nil: this session counts its own
	NoPrefetch bool                  // fetch members only when they are asked for
}

// Session is the gateway as one zone sees it. It is an http.Handler.
type Session struct {
	o     SessionOptions
	book  *record.Book
	gos   *golang.View // nil: the plan has nothing for Go
	npm   *npm.View
	goEnv []string

	stop context.CancelFunc
	done chan struct{}
}

// parallel is how many members are fetched ahead at once.
const parallel = 12

// Session opens the allow-set to one zone and starts to bring its members here.
// The caller closes it after the zone has ended.
func (g *Gateway) Session(o SessionOptions) *Session {
	s := &Session{o: o, done: make(chan struct{})}
	s.book = record.New(record.Options{Run: o.Run, Stage: o.Stage, Zone: o.Zone, OnDenial: o.OnDenial, Next: o.NextDenial, Allowed: o.Allowed})
	allow := o.Allow
	if allow == nil || allow.goPlan == nil {
		allow = &AllowSet{goPlan: golang.NewPlan(), npmPlan: npm.NewPlan()}
	}
	if allow.gos != nil {
		s.gos = allow.gos.View(allow.goPlan, s.book, o.Beyond)
		s.goEnv = goEnv(allow.gos.Config(), allow.Toolchain())
	}
	if allow.npm != nil {
		s.npm = allow.npm.View(allow.npmPlan, s.book, o.Beyond)
	}
	ctx, stop := context.WithCancel(g.ctx)
	s.stop = stop
	go func() {
		defer close(s.done)
		if !o.NoPrefetch && o.Beyond == Nothing {
			s.prefetch(ctx)
		}
	}()
	return s
}

// prefetch ends at the first sign that an upstream is down: what the zone really
// needs then fails when it asks, with the reason.
func (s *Session) prefetch(ctx context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	each := func(f func() error) {
		if ctx.Err() != nil {
			return
		}
		g.Go(func() error {
			if err := f(); errors.Is(err, fault.UpstreamDown) {
				return err
			}
			return nil
		})
	}
	if s.gos != nil {
		s.gos.Prefetch(ctx, each)
	}
	if s.npm != nil {
		s.npm.Prefetch(ctx, each)
	}
	_ = g.Wait() // each member's error is told to who asks for it
}

// Close ends the fetching ahead. What was served and refused stays readable.
func (s *Session) Close() error {
	s.stop()
	<-s.done
	return nil
}

// Fetched waits until all members have been tried ahead of the zone's asking.
func (s *Session) Fetched() { <-s.done }

// Served lists what went into the zone, sorted.
func (s *Session) Served() []evidence.Material { return s.book.Materials() }

// Denials lists what was refused, in order.
func (s *Session) Denials() []evidence.Denial { return s.book.Denials() }

// Err is the first thing that went wrong on this side of the session while the
// zone was waiting: errors.Is(err, ErrUpstreamDown) makes the run safe to retry.
func (s *Session) Err() error { return s.book.Err() }

// Serve answers on a listener until ctx ends. It bounds headers and time.
func (s *Session) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // the zone is gone
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
		return fmt.Errorf("serve the gateway: %w", err)
	}
	return nil
}

// maxTarget bounds a request's path before anything looks at it.
const maxTarget = 4096

// ServeHTTP answers one request of the zone. Only reading is possible.
func (s *Session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	forGo := strings.HasPrefix(r.URL.Path, GoPath)
	switch {
	case r.Method == http.MethodConnect || (r.URL.IsAbs() && r.URL.Host != r.Host):
		s.refuseNet(w, r)
	case r.URL.IsAbs() && !local(r.URL.Hostname()):
		s.refuseNet(w, r)
	case len(r.URL.Path) > maxTarget:
		s.refuse(w, forGo, record.Refusal{Target: r.URL.Path[:100] + "...", Why: "the path is too long"})
	case strings.HasPrefix(r.URL.Path, "/-/npm/v1/security/") && s.npm != nil:
		s.npm.ServeHTTP(w, r) // answers without reading the body
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		s.refuse(w, forGo, record.Refusal{Target: r.Method + " " + r.URL.Path, Why: "nothing can be sent out through the gateway"})
	case r.ContentLength != 0:
		s.refuse(w, forGo, record.Refusal{Target: r.Method + " " + r.URL.Path, Why: "a request that brings a body"})
	case forGo:
		s.route(w, r, s.gos, GoPath)
	default:
		s.route(w, r, s.npm, "/")
	}
}

// route hands a request to its protocol, if the plan has one.
func (s *Session) route(w http.ResponseWriter, r *http.Request, to http.Handler, prefix string) {
	switch v := to.(type) {
	case *golang.View:
		if v != nil {
			http.StripPrefix(strings.TrimSuffix(prefix, "/"), v).ServeHTTP(w, r)
			return
		}
	case *npm.View:
		if v != nil {
			v.ServeHTTP(w, r)
			return
		}
	}
	s.refuse(w, prefix == GoPath, record.Refusal{Target: r.URL.Path, Why: "the project has no lockfile for this ecosystem"})
}

func local(host string) bool { return host == "127.0.0.1" || host == "localhost" || host == "::1" }

// refuseNet answers clients that take the gateway for a proxy to anywhere: the
// zone's environment names it as one, so that the wish is seen and explained.
func (s *Session) refuseNet(w http.ResponseWriter, r *http.Request) {
	target := r.Host
	if r.URL.IsAbs() {
		target = r.URL.Host
	}
	s.refuse(w, false, record.Refusal{Class: "net", Target: target, Why: fmt.Sprintf("%s has no route to %s, only to the packages that the lockfile names", s.o.Zone, target)})
}

func (s *Session) refuse(w http.ResponseWriter, forGo bool, r record.Refusal) {
	d := s.book.Deny(r)
	text := fmt.Sprintf("refused by sallyport (%s): %s [%s]", d.ID, d.Why, d.Do)
	w.Header().Set("Connection", "close") // an unread body is not read now
	if forGo {
		// The go command prints plain text and nothing else.
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintln(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // the client is gone when this fails
}

// Env is the environment that points the zone's clients at the gateway, which
// listens at port on the zone's loopback.
func (s *Session) Env(port int) []string {
	at := fmt.Sprintf("http://127.0.0.1:%d", port)
	env := []string{
		"GOPROXY=" + at + strings.TrimSuffix(GoPath, "/"),
		"GONOPROXY=none", "GOPRIVATE=", "GOVCS=*:off", "GOAUTH=off", "GOENV=off",
		"npm_config_registry=" + at + "/",
		"npm_config_replace_registry_host=always",
		"npm_config_cache=" + sandbox.NpmCache,
		"npm_config_audit=false", "npm_config_fund=false", "npm_config_update_notifier=false",
		"npm_config_fetch_retries=0", // the gateway has tried already
		"npm_config_maxsockets=32",
		"npm_config_noproxy=127.0.0.1,localhost",
		// Whoever wants to go elsewhere is told no, instead of running into a
		// time-out or a name that does not resolve.
		"HTTP_PROXY=" + at, "HTTPS_PROXY=" + at, "http_proxy=" + at, "https_proxy=" + at,
		"NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost",
	}
	if s.goEnv != nil {
		return append(env, s.goEnv...)
	}
	return append(env, "GOSUMDB=off", "GOTOOLCHAIN=local")
}

func goEnv(c golang.Config, toolchain string) []string {
	env := []string{"GOSUMDB=off", "GONOSUMDB=" + c.NoSumDB, "GOTOOLCHAIN=local"}
	if c.SumDB != nil {
		env[0] = "GOSUMDB=" + c.SumDB.Env
	}
	if toolchain != "" {
		env[2] = "GOTOOLCHAIN=auto"
	}
	return env
}
