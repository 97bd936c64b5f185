package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stampTime is the modification time of everything in a tree, 2000-01-01 UTC: a
// stage is a function of its inputs' digests, and those hold no times. All
// entries being equally old, make and its like see nothing out of date.
const stampTime = Epoch

// sealer checks, normalises and hashes a tree that a zone left behind.
type sealer struct {
	stage    string
	owner    Owner
	allow    []string // absolute link targets that lead to the zone's read-only toolchains
	box      string   // what is mounted as the root of the tree, inside
	modified int64    // what times become; zero: stampTime
}

// time is what all modification times become, in seconds of Unix time.
func (s *sealer) time() int64 {
	if s.modified != 0 {
		return s.modified
	}
	return stampTime
}

func (s *sealer) refuse(code, path, why string) error {
	return &Refused{Code: code, Stage: s.stage, Path: path, Why: why}
}

// enter records a directory.
func (s *sealer) enter(k *worker, fd int, rel string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat %+q: %w", rel, err)
	}
	if err := s.normalise(fd, &st, 0o755); err != nil {
		return fmt.Errorf("settle %+q: %w", rel, err)
	}
	opaque, err := overlayMark(fd)
	if err != nil {
		return s.refuse("tree.attribute", rel, err.Error())
	}
	e := Entry{Path: rel, Kind: Dir, ino: st.Ino, ctime: st.Ctim.Nano()}
	if opaque {
		e.Kind = Opaque
	}
	k.entries = append(k.entries, e)
	return nil
}

// overlayMark tells whether overlayfs marked a directory as one that hides
// those below it. Any other mark would make a tree mean what its manifest does
// not say.
func overlayMark(fd int) (bool, error) {
	var v [8]byte
	for _, name := range [...]string{"user.overlay.opaque", "trusted.overlay.opaque"} {
		n, err := unix.Fgetxattr(fd, name, v[:])
		switch {
		case err == nil && n == 1 && v[0] == 'y':
			return true, nil
		case err == nil:
			return false, fmt.Errorf("unknown overlay mark %q", v[:n])
		case !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP):
			return false, err
		}
	}
	return false, nil
}

func (s *sealer) visit(k *worker, dir int, rel string, e dirent) error {
	switch e.typ {
	case unix.DT_REG:
		return s.file(k, dir, rel, e.name)
	case unix.DT_LNK:
		return s.link(k, dir, rel, e.name)
	case unix.DT_CHR:
		return s.whiteout(k, dir, rel, e.name)
	case unix.DT_BLK:
		return s.refuse("tree.device", rel, "is a device")
	case unix.DT_SOCK:
		return s.refuse("tree.socket", rel, "is a socket")
	case unix.DT_FIFO:
		return s.refuse("tree.fifo", rel, "is a named pipe")
	}
	return s.refuse("tree.device", rel, "is of an unknown type")
}

// whiteout accepts overlayfs's mark for a removed name, a character device 0:0.
func (s *sealer) whiteout(k *worker, dir int, rel, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %+q: %w", rel, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		return s.refuse("tree.device", rel, "is a device")
	}
	k.entries = append(k.entries, Entry{Path: rel, Kind: Whiteout, ino: st.Ino, ctime: st.Ctim.Nano()})
	return nil
}

func (s *sealer) link(k *worker, dir int, rel, name string) error {
	n, err := unix.Readlinkat(dir, name, k.buf[:4096])
	if err != nil {
		return fmt.Errorf("read link %+q: %w", rel, err)
	}
	target := string(k.buf[:n])
	if why := s.linkOut(rel, target); why != "" {
		return s.refuse("tree.link-out", rel, why)
	}
	ts := [2]unix.Timespec{{Sec: s.time()}, {Sec: s.time()}}
	if err := unix.UtimesNanoAt(dir, name, ts[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("settle %+q: %w", rel, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %+q: %w", rel, err)
	}
	k.entries = append(k.entries, Entry{Path: rel, Kind: Link, Target: target, ino: st.Ino, ctime: st.Ctim.Nano()})
	return nil
}

// linkOut says why a link leads out of the tree, or nothing. Only leading ".."
// are counted against the depth, which is right whatever other links the rest
// of the target passes; a later ".." could follow such a link and is refused.
func (s *sealer) linkOut(rel, target string) string {
	if checkName(target) != nil || target == "" {
		return "is a link whose target is not plain text"
	}
	if strings.HasPrefix(target, "/") {
		if s.allowed(target) {
			return ""
		}
		return fmt.Sprintf("is a link out of the tree, to %+q", target)
	}
	depth, down := strings.Count(rel, "/"), false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 || down {
				return fmt.Sprintf("is a link out of the tree, to %+q", target)
			}
		default:
			down = true
		}
	}
	return ""
}

func (s *sealer) allowed(target string) bool {
	if strings.Contains(target+"/", "/../") {
		return false
	}
	for _, a := range append([]string{s.box}, s.allow...) {
		if a != "" && (target == a || strings.HasPrefix(target, strings.TrimSuffix(a, "/")+"/")) {
			return true
		}
	}
	return false
}

func (s *sealer) file(k *worker, dir int, rel, name string) error {
	fd, err := s.openFile(dir, name)
	if err != nil {
		return fmt.Errorf("open %+q: %w", rel, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat %+q: %w", rel, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return s.refuse("tree.device", rel, "is not a regular file")
	}
	if err := k.w.charge(rel, st.Size); err != nil {
		return s.named(err)
	}
	e := Entry{Path: rel, Kind: File, Size: st.Size}
	mode := uint32(0o644)
	if st.Mode&0o100 != 0 {
		e.Kind, mode = Executable, 0o755
	}
	if err := s.normalise(fd, &st, mode); err != nil {
		return fmt.Errorf("settle %+q: %w", rel, err)
	}
	if err := k.hash(fd, &e); err != nil {
		return fmt.Errorf("hash %+q: %w", rel, err)
	}
	e.ino, e.ctime = st.Ino, st.Ctim.Nano()
	k.entries = append(k.entries, e)
	return nil
}

func (s *sealer) named(err error) error {
	var r *Refused
	if errors.As(err, &r) && r.Stage == "" {
		c := *r
		c.Stage = s.stage
		return &c
	}
	return err
}

// openFile opens one name of a directory. A stage can have taken its owner's
// own right to read; that is given back when the first try fails.
func (s *sealer) openFile(dir int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOATIME
	fd, err := unix.Openat(dir, name, flags, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Openat(dir, name, flags&^unix.O_NOATIME, 0)
	}
	if errors.Is(err, unix.EACCES) {
		var st unix.Stat_t
		if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			unix.Fchmodat(dir, name, st.Mode&0o100|0o600, 0)
			fd, err = unix.Openat(dir, name, flags, 0)
		}
	}
	return fd, err
}

// charge counts a file against the limits of the tree.
func (w *walker) charge(rel string, size int64) error {
	if size > w.limits.File {
		return &Refused{Code: "tree.too-big", Path: rel, Why: fmt.Sprintf("file of %d bytes; at most %d are taken", size, w.limits.File)}
	}
	if w.bytes.Add(size) > w.limits.Bytes {
		return &Refused{Code: "tree.too-big", Path: rel, Why: fmt.Sprintf("more than %d bytes in all", w.limits.Bytes)}
	}
	return nil
}

// normalise sets mode, owner and times, and reads st again when that changed it.
func (s *sealer) normalise(fd int, st *unix.Stat_t, mode uint32) error {
	changed := false
	if st.Mode&0o7777 != mode {
		if err := unix.Fchmod(fd, mode); err != nil {
			return err
		}
		changed = true
	}
	if s.owner != (Owner{}) && (st.Uid != uint32(s.owner.UID) || st.Gid != uint32(s.owner.GID)) {
		if err := unix.Fchown(fd, s.owner.UID, s.owner.GID); err != nil {
			return err
		}
		changed = true
	}
	if st.Mtim.Sec != s.time() || st.Mtim.Nsec != 0 {
		if err := stamp(fd, s.time()); err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return unix.Fstat(fd, st)
}

// stamp sets the times of an open file: utimensat with no path, which x/sys
// does not offer.
func stamp(fd int, sec int64) error {
	ts := [2]unix.Timespec{{Sec: sec}, {Sec: sec}}
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts[0])), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// hash reads fd to its end. A size other than the stated one is an error: no
// process that could write the file is alive.
func (k *worker) hash(fd int, e *Entry) error {
	n, err := readFull(fd, k.buf)
	if err != nil {
		return err
	}
	if n < len(k.buf) {
		e.Digest = sha256.Sum256(k.buf[:n])
		return sameSize(int64(n), e.Size)
	}
	h := sha256.New()
	total := int64(n)
	for n > 0 {
		h.Write(k.buf[:n])
		if n, err = readFull(fd, k.buf); err != nil {
			return err
		}
		total += int64(n)
		if total > e.Size {
			break
		}
	}
	sum(h, e)
	return sameSize(total, e.Size)
}

func sum(h hash.Hash, e *Entry) { h.Sum(e.Digest[:0]) }

func sameSize(got, want int64) error {
	if got != want {
		return fmt.Errorf("read %d bytes of a file of %d", got, want)
	}
	return nil
}

// readFull reads until b is full or the file ends.
func readFull(fd int, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Read(fd, b[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, nil
		}
		n += m
	}
	return n, nil
}
