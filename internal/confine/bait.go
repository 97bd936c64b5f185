package confine

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"

	"github.com/sallyport/sallyport/internal/honey"
	"github.com/sallyport/sallyport/internal/sandbox"
)

// bait is what the zone holds for thieves to find, and who notices. A nil bait is
// none.
type bait struct {
	kit     honey.Kit
	watch   *honey.Watch
	streams []io.Closer
}

// bait puts honey credentials into the zone of the command, and looks at what
// comes out of it.
func (r *Request) bait(spec *sandbox.Spec) *bait {
	if !r.Honey {
		return nil
	}
	b := &bait{kit: honey.Mint()}
	b.watch = honey.NewWatch(b.kit)
	spec.Env = append(spec.Env, b.kit.Env()...)
	spec.Files, spec.Canaries, spec.Metadata = b.kit.Files(), b.kit.Canaries(), true
	spec.Stdout, spec.Stderr = b.stream(spec.Stdout), b.stream(spec.Stderr)
	return b
}

func (b *bait) stream(to io.Writer) io.Writer {
	if to == nil {
		to = io.Discard
	}
	s := b.watch.Stream("what it prints", to)
	b.streams = append(b.streams, s)
	return s
}

// serve answers at the metadata address, and gives back the listeners that are
// not its own.
func (b *bait) serve(all []net.Listener) (rest []net.Listener, stop func()) {
	if b == nil || len(all) == 0 {
		return all, func() {}
	}
	last := len(all) - 1
	return all[:last], b.kit.ServeMetadata(all[last])
}

// watched looks at the head of each request to the gateway.
func (b *bait) watched(h http.Handler) http.Handler {
	if b == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if head, err := httputil.DumpRequest(q, false); err == nil {
			b.watch.Text("a request to the gateway", string(head))
		}
		h.ServeHTTP(w, q)
	})
}

// alarms is what was noticed, once every process of the zone is gone.
func (b *bait) alarms(res sandbox.Result) ([]honey.Alarm, error) {
	if b == nil {
		return nil, nil
	}
	var errs error
	for _, s := range b.streams {
		errs = errors.Join(errs, s.Close())
	}
	for _, seen := range res.Blocked {
		b.watch.Text("the address that it wanted to reach", seen.Target)
	}
	all, err := b.watch.Alarms()
	return all, errors.Join(errs, err)
}
