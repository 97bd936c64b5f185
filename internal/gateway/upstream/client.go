package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// Options tune a client. The zero value is what production uses.
type Options struct {
	Tries int                                                     // attempts for each download; 0: 4
	Stall time.Duration                                           // longest silence within one attempt; 0: 30 s
	Pause func(ctx context.Context, try int) (waited bool)        // between attempts; nil: exponential with jitter
	Proxy func(*http.Request) (*url.URL, error)                   // nil: from the environment
	Watch func(method, host, path string)                         // told of each request that is sent; may be nil
	Dial  func(context.Context, string, string) (net.Conn, error) // nil: net.Dialer with the address rules
}

// Client talks to configured sites. It is safe for concurrent use.
type Client struct {
	http *http.Client
	o    Options
}

// New returns a client.
func New(o Options) *Client {
	if o.Tries == 0 {
		o.Tries = 4
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.Pause == nil {
		o.Pause = pause
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Dial == nil {
		o.Dial = dial
	}
	t := &http.Transport{
		Proxy: o.Proxy, DialContext: o.Dial, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 32, IdleConnTimeout: 60 * time.Second,
		TLSHandshakeTimeout: 20 * time.Second, ResponseHeaderTimeout: o.Stall,
		MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	return &Client{o: o, http: &http.Client{Transport: t, CheckRedirect: sameHost}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// dial refuses addresses after the name was resolved, so that a name cannot be
// pointed elsewhere between check and use.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	d.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return fault.Wrap(fault.ForeignHost, "dial "+host, err)
		}
		return refuseAddress(host, a.Addr())
	}
	return d.DialContext(ctx, network, address)
}

// sameHost follows redirects within one origin only: anywhere else, neither the
// credential nor the question itself has any business.
func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > 5 {
		return fault.New(fault.UpstreamDown, "upstream "+first.Host+" redirects in a circle")
	}
	if next.URL.Host != first.Host || next.URL.Scheme != first.Scheme || next.URL.User != nil {
		return fault.New(fault.ForeignHost, fmt.Sprintf("upstream %s redirects to %s, which is not a configured upstream", first.Host, next.URL.Host))
	}
	return nil
}

// Sink takes a download. Reset throws away what it has.
type Sink interface {
	io.Writer
	Reset() error
}

// Request is one thing to download.
type Request struct {
	Site   Site
	Path   string // escaped, below the site
	Query  url.Values
	Accept string // media type; empty: any
	Limit  int64  // bytes; more is an error. Zero is not allowed.
	Plain  bool   // bytes as stored: no transport compression, so that it can be resumed
}

// Download fetches a resource into a sink. Network errors, 5xx and 429 are
// tried again; a plain download goes on at the byte where it broke off.
func (c *Client) Download(ctx context.Context, r Request, to Sink) error {
	u, err := r.Site.URL(r.Path)
	if err != nil {
		return err
	}
	u.RawQuery = r.Query.Encode()
	if r.Limit <= 0 {
		return fault.New(fault.Limit, "a download without a limit")
	}
	a := attempt{c: c, r: r, u: u, to: to}
	for try := 1; ; try++ {
		err = a.run(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("get %s: %w", u, context.Cause(ctx))
		}
		if !retryable(err) {
			return err
		}
		if try >= c.o.Tries || !c.o.Pause(ctx, try) {
			return fault.Wrap(fault.UpstreamDown, fmt.Sprintf("get %s: no good answer in %d attempts", u, try), err)
		}
	}
}

// Read fetches a small resource.
func (c *Client) Read(ctx context.Context, r Request) ([]byte, error) {
	var b buffer
	if err := c.Download(ctx, r, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

type buffer struct{ bytes.Buffer }

func (b *buffer) Reset() error { b.Buffer.Reset(); return nil }

// attempt is a download with its progress.
type attempt struct {
	c    *Client
	r    Request
	u    *url.URL
	to   Sink
	have int64
	etag string
}

func (a *attempt) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.u.String(), nil)
	if err != nil {
		return fault.Wrap(fault.Config, "ask upstream", err)
	}
	a.headers(req)
	if a.c.o.Watch != nil {
		a.c.o.Watch(req.Method, req.URL.Host, req.URL.Path)
	}
	resp, err := a.c.http.Do(req)
	if err != nil {
		return classify(err)
	}
	defer resp.Body.Close()
	if err := a.status(resp); err != nil {
		return err
	}
	return a.copy(resp, cancel)
}

func (a *attempt) headers(req *http.Request) {
	if a.r.Accept != "" {
		req.Header.Set("Accept", a.r.Accept)
	}
	req.Header.Set("User-Agent", "sallyport")
	if a.r.Site.auth != nil {
		req.Header.Set("Authorization", a.r.Site.auth())
	}
	if a.r.Plain {
		req.Header.Set("Accept-Encoding", "identity")
	}
	if a.have > 0 && a.etag != "" {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", a.have))
		req.Header.Set("If-Range", a.etag)
	}
}

// status decides what an answer means for the bytes that are here already.
func (a *attempt) status(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusPartialContent && a.have > 0:
		var from, to, size int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size); err != nil || from != a.have {
			return a.restart(errors.New("another range than asked for"))
		}
		return nil
	case resp.StatusCode == http.StatusOK:
		a.have, a.etag = 0, strongTag(resp, a.r.Plain)
		return a.to.Reset()
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return fault.New(fault.NotFound, fmt.Sprintf("upstream does not have %s (%d)", a.u, resp.StatusCode))
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		e := fault.New(fault.Credential, fmt.Sprintf("upstream refuses %s (%d)", a.u, resp.StatusCode)).
			Mend("check the credential for " + a.u.Host + " in your .npmrc or .netrc")
		if c := resp.Header.Get("WWW-Authenticate"); c != "" && resp.StatusCode == http.StatusUnauthorized {
			e.Err = Challenge(c)
		}
		return e
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout:
		return &again{fmt.Errorf("status %d", resp.StatusCode)}
	}
	return fault.New(fault.UpstreamDown, fmt.Sprintf("upstream answers %s with status %d", a.u, resp.StatusCode))
}

// Challenge is what an upstream that refuses a request wants instead, as in the
// header WWW-Authenticate.
type Challenge string

// Error repeats it.
func (c Challenge) Error() string { return "it asks for: " + fault.Clean(string(c)) }

func (a *attempt) restart(why error) error {
	a.have, a.etag = 0, ""
	if err := a.to.Reset(); err != nil {
		return err
	}
	return &again{why}
}

// copy moves the body, bounded in size and in silence.
func (a *attempt) copy(resp *http.Response, cancel context.CancelCauseFunc) error {
	if resp.ContentLength > a.r.Limit-a.have {
		return a.tooLarge()
	}
	quiet := time.AfterFunc(a.c.o.Stall, func() { cancel(errStall) })
	defer quiet.Stop()
	buf := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		quiet.Reset(a.c.o.Stall)
		if a.have+int64(n) > a.r.Limit {
			return a.tooLarge()
		}
		if n > 0 {
			if _, werr := a.to.Write(buf[:n]); werr != nil {
				return werr
			}
			a.have += int64(n)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &again{err}
		}
	}
}

func (a *attempt) tooLarge() error {
	return fault.New(fault.Limit, fmt.Sprintf("%s is larger than %d bytes", a.u, a.r.Limit))
}

var errStall = errors.New("upstream fell silent")

// again marks an error that another attempt may not meet.
type again struct{ err error }

func (e *again) Error() string { return e.err.Error() }
func (e *again) Unwrap() error { return e.err }

func retryable(err error) bool {
	var e *again
	return errors.As(err, &e)
}

// classify takes our own refusals out of what net/http wraps around them and
// tells permanent failures from passing ones.
func classify(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the address is named by the caller, without credentials
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	if errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid) {
		return fault.Wrap(fault.Config, "the upstream's certificate is not good", err)
	}
	return &again{err}
}

func strongTag(resp *http.Response, plain bool) string {
	tag := resp.Header.Get("ETag")
	if !plain || strings.HasPrefix(tag, "W/") || resp.Header.Get("Accept-Ranges") == "none" {
		return ""
	}
	return tag
}

// pause waits 0.2 s, 0.4 s, 0.8 s ... at most 5 s, with jitter.
func pause(ctx context.Context, try int) bool {
	d := min(200*time.Millisecond<<(try-1), 5*time.Second)
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
