package drill

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// metadataAddress is where clouds answer about the machine. It exists only
// where the drill has a network namespace of its own.
const metadataAddress = "169.254.169.254:80"

// sinks stand for everything that an attacker could reach: each records what
// arrives. They listen on loopback only.
type sinks struct {
	HTTP, TCP, DNS, Unix, Metadata string

	closers  []io.Closer
	callBack func(port string) // is told where a listener says that it is
	up       *upstream

	mu     sync.Mutex
	zipped string            // the path that is answered compressed
	serve  map[string][]byte // path -> what the HTTP sink answers with
	seen   map[string][]byte // by sink, such as "http/steal" or "dns"
}

// maxSeen bounds what one sink keeps.
const maxSeen = 4 << 20

func newSinks(dir string, k kit) (*sinks, error) {
	s := &sinks{seen: map[string][]byte{}, serve: map[string][]byte{}}
	for _, open := range []func(string, kit) error{s.openHTTP, s.openTCP, s.openDNS, s.openUnix, s.openMetadata} {
		if err := open(dir, k); err != nil {
			s.Close()
			return nil, fmt.Errorf("open a sink: %w", err)
		}
	}
	return s, nil
}

// Close ends them all.
func (s *sinks) Close() {
	for _, c := range s.closers {
		_ = c.Close() // nothing is lost with a sink
	}
}

func (s *sinks) record(name string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen[name])+len(b) <= maxSeen {
		s.seen[name] = append(append(s.seen[name], b...), '\n')
	}
}

// got returns what arrived at the sinks whose name starts with prefix.
func (s *sinks) got(prefix string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []byte
	for name, b := range s.seen {
		if strings.HasPrefix(name, prefix) {
			all = append(all, b...)
		}
	}
	return all
}

func (s *sinks) openHTTP(string, kit) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.HTTP = l.Addr().String()
	s.start(l, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxSeen)) // what arrived counts
		var head strings.Builder
		_ = r.Header.Write(&head)
		s.record("http"+r.URL.Path, fmt.Appendf(nil, "%s %s\n%s\n%s", r.Method, r.URL, head.String(), body))
		if _, port, ok := strings.Cut(string(body), " "); ok && r.URL.Path == "/listen" && s.callBack != nil {
			go s.callBack(port)
		}
		s.mu.Lock()
		_, fixed := s.serve[r.URL.Path]
		s.mu.Unlock()
		if !fixed && s.up != nil && s.up.serve(w, r) {
			return
		}
		s.mu.Lock()
		answer, ok := s.serve[r.URL.Path]
		if ok && s.zipped == r.URL.Path {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/json")
		}
		s.mu.Unlock()
		switch {
		case ok:
			_, _ = w.Write(answer)
		case r.Method == http.MethodGet:
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"ok":true}`)
		}
	})
	return nil
}

func (s *sinks) start(l net.Listener, h http.HandlerFunc) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	s.closers = append(s.closers, srv)
	go srv.Serve(l)
}

// answer has the HTTP sink answer a path with these bytes.
func (s *sinks) answer(path string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve[path] = b
}

// answerZipped is answer with bytes that are compressed for the way.
func (s *sinks) answerZipped(path string, b []byte) {
	s.answer(path, b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zipped = path
}

func (s *sinks) openTCP(string, kit) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.TCP = l.Addr().String()
	s.take(l, "tcp")
	return nil
}

func (s *sinks) openUnix(dir string, _ kit) error {
	s.Unix = filepath.Join(dir, "agent.sock")
	l, err := net.Listen("unix", s.Unix)
	if err != nil {
		return err
	}
	s.take(l, "unix")
	return nil
}

// take keeps the first bytes of every connection.
func (s *sinks) take(l net.Listener, name string) {
	s.closers = append(s.closers, l)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.drain(c, name)
		}
	}()
}

// drain keeps what comes over one connection.
func (s *sinks) drain(c net.Conn, name string) {
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	b, _ := io.ReadAll(io.LimitReader(c, 1<<20)) // what arrived counts
	s.record(name, b)
}

// openDNS takes queries and keeps their names, with the labels joined as well,
// since a token is longer than one label may be.
func (s *sinks) openDNS(string, kit) error {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.DNS = c.LocalAddr().String()
	s.closers = append(s.closers, c)
	go func() {
		b := make([]byte, 4096)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			s.record("dns", labels(b[:n]))
		}
	}()
	return nil
}

// labels reads the name that a DNS query asks for, without the dots (RFC 1035,
// 4.1.2).
func labels(query []byte) []byte {
	var out []byte
	for at := 12; at < len(query); {
		n := int(query[at])
		if n == 0 || n > 63 || at+1+n > len(query) {
			break
		}
		out = append(out, query[at+1:at+1+n]...)
		at += 1 + n
	}
	return out
}

// openMetadata stands for the cloud's metadata service: at its real address
// where that is the drill's own, else on loopback.
func (s *sinks) openMetadata(_ string, k kit) error {
	l, err := net.Listen("tcp", metadataAddress)
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	s.Metadata = l.Addr().String()
	s.start(l, func(w http.ResponseWriter, r *http.Request) {
		s.record("metadata", []byte(r.URL.Path))
		fmt.Fprintf(w, `{"AccessKeyId":"EXAMPLE","SecretAccessKey":%q,"Token":"x"}`, k[Metadata])
	})
	return nil
}
