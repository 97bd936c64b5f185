package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/internal/sign/inclusion"
	"github.com/sallyport/sallyport/internal/sign/keyfile"
	"golang.org/x/mod/sumdb/note"
)

// Files in the directory of keys.
const (
	keyName  = "ledger.key"  // signed note signer: Ed25519, private
	pubName  = "ledger.vkey" // its public half, which verifiers are given
	seenName = "ledger.seen" // the last checkpoint that was signed, a signed note
	lockName = ".ledger.lock"
)

// errStale refuses to sign a tree that this process or another has signed past.
var errStale = errors.New("a later checkpoint is signed already")

// noteKey returns the log's key, made on first use. The origin of a log is a
// host name of its own, since Sigstore clients compare it with the host of the
// log's base URL.
func noteKey(keys *keyfile.Dir, domain string) (note.Signer, string, error) {
	release, err := keys.Lock(lockName)
	if err != nil {
		return nil, "", err
	}
	defer release()
	skey, err := keys.LoadOrMake(keyName, func() ([]byte, error) { return makeNoteKey(domain) })
	if err != nil {
		return nil, "", err
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(skey)))
	if err != nil {
		return nil, "", fmt.Errorf("ledger key %s: %w", keys.Path(keyName), err)
	}
	vkey, err := publicHalf(strings.TrimSpace(string(skey)), signer.Name())
	if err != nil {
		return nil, "", fmt.Errorf("ledger key %s: %w", keys.Path(keyName), err)
	}
	_, err = keys.LoadOrMake(pubName, func() ([]byte, error) { return []byte(vkey + "\n"), nil })
	if err != nil {
		return nil, "", err
	}
	return signer, vkey, nil
}

func makeNoteKey(domain string) ([]byte, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("generate origin: %w", err)
	}
	skey, _, err := note.GenerateKey(rand.Reader, hex.EncodeToString(id[:])+".log."+domain)
	if err != nil {
		return nil, fmt.Errorf("generate ledger key: %w", err)
	}
	return []byte(skey + "\n"), nil
}

// publicHalf derives the verifier key from a signer key, whose last field is an
// algorithm byte and an Ed25519 seed.
func publicHalf(skey, origin string) (string, error) {
	fields := strings.SplitN(skey, "+", 5) // PRIVATE, KEY, origin, hash, base64 (which may hold a "+")
	raw, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", errors.New("not an Ed25519 note key")
	}
	pub, ok := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("not an Ed25519 note key")
	}
	vkey, err := note.NewEd25519VerifierKey(origin, pub)
	if err != nil {
		return "", fmt.Errorf("encode public key: %w", err)
	}
	return vkey, nil
}

// guard is the log's signer. It signs only what continues the last checkpoint
// that was signed, by whichever process.
type guard struct {
	note.Signer
	r    *Reader
	keys *keyfile.Dir
}

// Sign implements note.Signer for tessera, which publishes a checkpoint from
// time to time.
func (g *guard) Sign(msg []byte) ([]byte, error) {
	release, err := g.keys.Lock(lockName)
	if err != nil {
		return nil, err
	}
	defer release()
	if _, err := g.sign(string(msg)); err != nil {
		return nil, err
	}
	return g.Signer.Sign(msg) // the same bytes as in the note: Ed25519 is deterministic
}

// sign returns the signed note of a checkpoint's text. It is put down as seen
// before it is handed out: a crash in between leaves an unused note that the tree on
// disk still supports, never a signature that was forgotten. The caller holds the
// lock.
func (g *guard) sign(text string) ([]byte, error) {
	next, err := inclusion.ParseBody(text)
	if err != nil {
		return nil, err
	}
	if err := g.r.mayFollow(next); err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: text}, g.Signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	if err := g.keys.Write(seenName, signed); err != nil {
		return nil, err
	}
	return signed, nil
}

// vouch returns a signed checkpoint over at least size records, which are on
// disk. It signs one now unless somebody has: to wait for tessera's next one would
// cost a command up to a tenth of a second.
func (g *guard) vouch(size uint64) (inclusion.Checkpoint, error) {
	release, err := g.keys.Lock(lockName)
	if err != nil {
		return inclusion.Checkpoint{}, err
	}
	defer release()
	cp, err := g.r.current()
	if err != nil || cp.Size >= size {
		return cp, err
	}
	n, root, err := g.r.integrated()
	if err != nil {
		return inclusion.Checkpoint{}, err
	}
	if n < size {
		return inclusion.Checkpoint{}, fmt.Errorf("%d records on disk, %d were written: %w", n, size, ErrForked)
	}
	signed, err := g.sign(fmt.Sprintf("%s\n%d\n%s\n", g.Name(), n, root))
	if err != nil {
		return inclusion.Checkpoint{}, err
	}
	// Published under the lock, so that no process puts an older one here after
	// it has signed; one that signed before is corrected by its next look.
	if err := publish(g.r.dir, signed); err != nil {
		return inclusion.Checkpoint{}, err
	}
	return g.r.open(signed)
}

// publish puts the checkpoint where readers of the log look for it.
func publish(dir string, signed []byte) error {
	tmp := filepath.Join(dir, "checkpoint.new")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("publish checkpoint: %w", err)
	}
	_, err = f.Write(signed)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("publish checkpoint: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, "checkpoint")); err != nil {
		return fmt.Errorf("publish checkpoint: %w", err)
	}
	return nil
}

// lastSeen returns the last checkpoint that the log's key signed, or a zero one.
func (r *Reader) lastSeen() (inclusion.Checkpoint, error) {
	if r.keys == nil {
		return inclusion.Checkpoint{}, nil
	}
	b, err := r.keys.Read(seenName)
	if errors.Is(err, fs.ErrNotExist) {
		return inclusion.Checkpoint{}, nil
	}
	if err != nil {
		return inclusion.Checkpoint{}, err
	}
	return r.open(b)
}
