package zoneinit

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/internal/zoneinit/wire"
)

// box is the stage's part of a zone while it is being mounted.
type box struct {
	*zone
	wire.Setup
	fds       []int // the detached trees that came with Setup
	listeners []int
}

// errSource says that a tree was promised and did not come.
var errSource = errors.New("the source is missing")

// open gives the detached tree of a source. The controller has set the
// attributes of those that it sent; attributes are for those opened here.
func (b *box) open(s wire.Source, attributes uint64) (int, error) {
	if s.FD >= 0 {
		if s.FD >= len(b.fds) || b.fds[s.FD] < 0 {
			return -1, errSource
		}
		fd := b.fds[s.FD]
		b.fds[s.FD] = -1
		return fd, nil
	}
	if b.host < 0 || s.Path == "" {
		return -1, errSource
	}
	return tree(b.host, s.Path, attributes)
}

// mountBox mounts the one writable overlay. Without layers below it is the
// stage's directory itself, or a part of the zone's tmpfs.
func (b *box) mountBox() error {
	if err := directory(b.root, b.Box, 0o755); err != nil {
		return err
	}
	upper, work, err := b.writable()
	if err != nil {
		return err
	}
	if len(b.Lower) == 0 {
		fd, err := tree(b.root, upper, noPrivileges)
		if err != nil {
			return err
		}
		return move(fd, b.root, b.Box)
	}
	var lower strings.Builder
	for i, s := range b.Lower {
		place, err := b.layer(strconv.Itoa(i), s, readOnly)
		if err != nil {
			return err
		}
		if i > 0 {
			lower.WriteByte(':')
		}
		lower.WriteString(b.place(place))
	}
	// volatile: what a stage wrote counts only after the controller has read
	// and hashed it, so nothing has to reach the disk before.
	options := "userxattr,volatile,lowerdir=" + lower.String() + ",upperdir=" + b.place(upper) + ",workdir=" + b.place(work)
	return at("overlay", unix.Mount("overlay", b.place(strings.Trim(b.Box, "/")), "overlay", unix.MS_NOSUID|unix.MS_NODEV, options))
}

// furnish puts files into the payload's home directory, which is its own to
// change or delete.
func (b *box) furnish() error {
	for _, f := range b.Files {
		path := "home/sallyport/" + f.Path
		if i := strings.LastIndexByte(path, '/'); i > 0 {
			if err := directory(b.root, path[:i], 0o755); err != nil {
				return err
			}
		}
		if err := file(b.root, path, f.Text); err != nil {
			return err
		}
	}
	return nil
}

// writable gives the directories that take the changes, below the root.
func (b *box) writable() (upper, scratch string, err error) {
	if b.Upper == "" {
		return work + "/upper", work + "/work", nil
	}
	if !plain(b.Upper) || !plain(b.Work) {
		return "", "", at(b.Upper, unix.EINVAL)
	}
	base, err := b.layer("base", b.Base, noPrivileges)
	return base + "/" + b.Upper, base + "/" + b.Work, err
}

// plain tells whether a relative path can stand in overlayfs's options, and
// leads nowhere but down.
func plain(path string) bool {
	return !strings.ContainsAny(path, `,:\`) && !strings.HasPrefix(path, "/") && !strings.Contains("/"+path+"/", "/../")
}

// layer mounts a source where overlayfs can name it.
func (b *box) layer(name string, s wire.Source, attributes uint64) (string, error) {
	place := work + "/layer/" + name
	if err := directory(b.root, place, 0o700); err != nil {
		return "", err
	}
	fd, err := b.open(s, attributes)
	if err != nil {
		return "", at("layer "+name+" "+s.Path, err)
	}
	return place, move(fd, b.root, place)
}

func (b *box) mountAll() error {
	for i, m := range b.Mounts {
		if err := b.mountOne(i, m); err != nil {
			return at(m.Inside, err)
		}
	}
	return nil
}

func (b *box) mountOne(i int, m wire.Mount) error {
	fd, err := b.source(i, m)
	if err != nil {
		return err
	}
	if err := b.mountPoint(m); err != nil {
		unix.Close(fd)
		return err
	}
	return move(fd, b.root, m.Inside)
}

// source opens what a mount shows. Without a source it is a part of the zone's
// tmpfs.
func (b *box) source(i int, m wire.Mount) (int, error) {
	attributes := uint64(noPrivileges)
	if !m.Writable {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	if !m.Exec {
		attributes |= unix.MOUNT_ATTR_NOEXEC
	}
	name := work + "/mount" + strconv.Itoa(i)
	if m.Copy {
		if err := b.copy(m.From, name); err != nil {
			return -1, err
		}
		return tree(b.root, name, attributes)
	}
	if m.From.FD >= 0 || m.From.Path != "" {
		return b.open(m.From, attributes)
	}
	if err := directory(b.root, name, 0o755); err != nil {
		return -1, err
	}
	return tree(b.root, name, attributes)
}

// copy makes a file of the zone's tmpfs from one that came open. The controller
// has looked at its size.
func (b *box) copy(s wire.Source, name string) error {
	if s.FD < 0 {
		return errSource
	}
	from, err := b.open(s, 0)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	var text []byte
	for buf := make([]byte, 32<<10); ; {
		n, err := unix.Read(from, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return at("read what is copied", err)
		}
		if n == 0 {
			return file(b.root, name, string(text))
		}
		text = append(text, buf[:n]...)
	}
}

// mountPoint makes sure of the place to mount on. Below a read-only mount it
// has to be there already.
func (b *box) mountPoint(m wire.Mount) error {
	if !m.File {
		return directory(b.root, m.Inside, 0o755)
	}
	if place, err := find(b.root, m.Inside); err == nil {
		return unix.Close(place)
	}
	path := strings.Trim(m.Inside, "/")
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		if err := directory(b.root, path[:i], 0o755); err != nil {
			return err
		}
	}
	return file(b.root, path, "")
}

// maskAll takes paths below the box away. One that is not there is left alone:
// to make a place for the mask would change what the stage hands on.
func (b *box) maskAll() error {
	for _, m := range b.Masks {
		if err := b.maskOne(m); err != nil {
			return at(m.Path, err)
		}
	}
	return nil
}

func (b *box) maskOne(m wire.Mask) error {
	if m.Hidden {
		return b.mask(strings.Trim(m.Path, "/"))
	}
	place, err := find(b.root, m.Path)
	if isErrno(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	unix.Close(place)
	// From here on the path is there: whatever fails leaves it without a mask.
	fd, err := tree(b.root, m.Path, readOnly)
	if err != nil {
		return err
	}
	return move(fd, b.root, m.Path)
}

func isErrno(err error, want unix.Errno) bool {
	var e unix.Errno
	return errors.As(err, &e) && e == want
}
