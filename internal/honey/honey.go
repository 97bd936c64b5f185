// Package honey mints credentials that are worth nothing, for zones to hold, and
// notices when one of them comes out.
//
// Code that steals takes what looks like a credential. A zone holds none that is
// real, so these are what it finds: in the home directory, in two variables, and
// at the clouds' metadata address. Each kind has a token of its own, minted for
// this one zone, so that a hit names what was taken and by whom. A token in a
// log, a request, a name that was looked up, or in anything that is handed on, is
// an alarm: no honest build prints the password of a registry that it never
// talks to.
//
// The package promises nothing about tokens that leave in a form that
// internal/secrets does not know, and a thief who only looks is not noticed. No
// value is ever a real one, and evidence holds none of them.
package honey

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/internal/sandbox"
	"github.com/sallyport/sallyport/internal/secrets"
)

// Kind says where a honey credential lay.
type Kind string

// The kinds.
const (
	Npmrc    Kind = "npmrc"    // ~/.npmrc
	AWS      Kind = "aws"      // ~/.aws/credentials, a profile that no tool takes by itself
	SSH      Kind = "ssh"      // ~/.ssh/id_ed25519
	Git      Kind = "git"      // ~/.git-credentials
	Docker   Kind = "docker"   // ~/.docker/config.json
	PyPI     Kind = "pypi"     // ~/.pypirc
	Env      Kind = "env"      // variables of the environment
	Metadata Kind = "metadata" // the clouds' metadata address
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Npmrc, AWS, SSH, Git, Docker, PyPI, Env, Metadata} }

// registry is the host that honey credentials are for: a reserved name (RFC
// 2606), which no tool has a reason to talk to.
const registry = "registry.example"

// Kit is what one zone holds.
type Kit struct {
	tokens map[Kind]string
}

// Mint makes a kit of new random tokens.
func Mint() Kit {
	k := Kit{tokens: map[Kind]string{}}
	for _, kind := range Kinds() {
		k.tokens[kind] = token(36)
	}
	return k
}

// token is n random letters and digits: about 5.9 bits each.
func token(n int) string {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
	var raw [64]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	out := make([]byte, n)
	for i := range out {
		out[i] = letters[int(raw[i])%len(letters)]
	}
	return string(out)
}

// Env are the variables of a zone. Their names are ones that thieves look for
// and that no common tool reads.
func (k Kit) Env() []string {
	if k.tokens == nil {
		return nil
	}
	return []string{"NPM_PUBLISH_TOKEN=npm_" + k.tokens[Env], "RELEASE_SIGNING_TOKEN=" + k.tokens[Env]}
}

// Files are those of the home directory.
func (k Kit) Files() []sandbox.File {
	if k.tokens == nil {
		return nil
	}
	t := k.tokens
	auth := base64.StdEncoding.EncodeToString([]byte("release:" + t[Docker]))
	return []sandbox.File{
		{Path: ".npmrc", Text: "//" + registry + "/:_authToken=npm_" + t[Npmrc] + "\n"},
		{Path: ".aws/credentials", Text: "[release]\naws_access_key_id = AKIA" + strings.ToUpper(t[AWS][:16]) + "\naws_secret_access_key = " + t[AWS] + "\n"},
		{Path: ".ssh/id_ed25519", Text: "-----BEGIN OPENSSH PRIVATE KEY-----\n" + t[SSH] + "\n-----END OPENSSH PRIVATE KEY-----\n"},
		{Path: ".git-credentials", Text: "https://release:ghp_" + t[Git] + "@forge.example\n"},
		{Path: ".docker/config.json", Text: fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, registry, auth) + "\n"},
		{Path: ".pypirc", Text: "[release]\nrepository = https://" + registry + "/legacy/\nusername = __token__\npassword = pypi-" + t[PyPI] + "\n"},
	}
}

// Canaries are the values, for the probe of the zone: they are shown on purpose.
func (k Kit) Canaries() []string {
	var out []string
	for _, kind := range Kinds() {
		if v := k.tokens[kind]; v != "" {
			out = append(out, v)
		}
	}
	return out
}

// values are what a scanner looks for.
func (k Kit) values() []secrets.Value {
	var out []secrets.Value
	for _, kind := range Kinds() {
		out = append(out, secrets.Value{Rule: rulePrefix + string(kind), Secret: []byte(k.tokens[kind])})
	}
	return out
}

const rulePrefix = "canary:"

// Alarm is a honey credential that came out.
type Alarm struct {
	Kind  Kind
	Where string // log, output, request, connection
	Print string // of the value, keyed: no evidence holds the value
}

// Watch notices the credentials of one kit. Its methods can be called by
// several goroutines. A nil Watch notices nothing.
type Watch struct {
	made    chan struct{} // closed when scanner is there, or cannot be made
	scanner *secrets.Scanner

	mu     sync.Mutex
	alarms []Alarm
	unread []string // places that were not looked into to the end
	err    error
	open   sync.WaitGroup
}

// NewWatch looks for the values of a kit. It takes milliseconds to get ready,
// which it does while the zone is made.
func NewWatch(k Kit) *Watch {
	w := &Watch{made: make(chan struct{})}
	go func() {
		defer close(w.made)
		s, err := secrets.New(secrets.Options{Values: k.values(), ValuesOnly: true})
		if err != nil {
			w.report(secrets.Report{}, fmt.Errorf("watch honey credentials: %w", err))
			return
		}
		w.scanner = s
	}()
	return w
}

// look scans with the scanner, once it is there. What cannot be looked at is
// known from Alarms.
func (w *Watch) look(scan func(*secrets.Scanner) (secrets.Report, error)) {
	<-w.made
	if w.scanner != nil {
		w.report(scan(w.scanner))
	}
}

// Text looks into a short text, such as an address or the head of a request.
func (w *Watch) Text(where, text string) {
	if w == nil || text == "" {
		return
	}
	// A name can carry a token in pieces: the labels of a lookup, the parts of a
	// path.
	joined := strings.NewReplacer(".", "", "/", "", "-", "", "_", "").Replace(text)
	for _, t := range []string{text, joined} {
		w.look(func(s *secrets.Scanner) (secrets.Report, error) {
			return s.Log(context.Background(), where, strings.NewReader(t))
		})
	}
}

// Tree looks into everything below a directory.
func (w *Watch) Tree(ctx context.Context, where, dir string) {
	if w != nil {
		w.look(func(s *secrets.Scanner) (secrets.Report, error) { return s.Tree(ctx, where, dir) })
	}
}

// Stream returns a writer that passes everything on, and looks at it on the way.
// It has to be closed before Alarms is asked.
func (w *Watch) Stream(where string, to io.Writer) io.WriteCloser {
	if w == nil {
		return &stream{to: to}
	}
	r, pipe := io.Pipe()
	w.open.Go(func() {
		w.look(func(s *secrets.Scanner) (secrets.Report, error) { return s.Log(context.Background(), where, r) })
		_, _ = io.Copy(io.Discard, r) // who writes is never held up
	})
	return &stream{to: to, look: pipe}
}

type stream struct {
	to   io.Writer
	look *io.PipeWriter
}

func (s *stream) Write(b []byte) (int, error) {
	if s.look != nil {
		_, _ = s.look.Write(b) // the reader reads to the end
	}
	return s.to.Write(b)
}

func (s *stream) Close() error {
	if s.look == nil {
		return nil
	}
	return s.look.Close()
}

func (w *Watch) report(rep secrets.Report, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.err == nil {
		w.err = err
	}
	for _, place := range rep.Incomplete {
		if len(w.unread) < maxUnread && !slices.Contains(w.unread, place) {
			w.unread = append(w.unread, place)
		}
	}
	for _, f := range rep.Findings {
		kind, ok := strings.CutPrefix(f.Rule, rulePrefix)
		a := Alarm{Kind(kind), f.Where, f.Print}
		if ok && !slices.Contains(w.alarms, a) {
			w.alarms = append(w.alarms, a)
		}
	}
}

// Alarms waits for all streams and returns what was noticed. The error says that
// something could not be looked at: then there may be more.
func (w *Watch) Alarms() ([]Alarm, error) {
	if w == nil {
		return nil, nil
	}
	<-w.made
	w.open.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.alarms), w.err
}

// maxUnread bounds what Unread lists.
const maxUnread = 20

// Unread lists what a bound or an encryption kept from being looked into: a
// credential in there was not noticed.
func (w *Watch) Unread() []string {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.unread)
}

// Said is what a person is told of an alarm.
func (a Alarm) Said() string {
	return fmt.Sprintf("the honey credential %s appeared in %s: something in this stage took it for a real one", a.Kind, a.Where)
}
