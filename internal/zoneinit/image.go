package zoneinit

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An image's tree was written by strangers. It is mounted part by part, each
// found without following a link, onto a root that is the zone's own: what the
// zone makes itself, no image has a say in.

// own are the directories at the root that a zone has of its own.
func (b *box) own(name string) bool {
	return slices.Contains(empty[:], name) || name == strings.Trim(b.Box, "/")
}

// showImage shows an image's directories in place of the host's programs, and
// what it has in /etc beside the files that the zone wrote.
func (b *box) showImage() error {
	if !b.prepare.Image {
		return nil
	}
	// Attached, since parts of a detached mount cannot be cloned; it goes with
	// all that the payload must not see.
	place, err := b.layer("image", b.Image, readOnly)
	if err != nil {
		return err
	}
	image, err := find(b.root, place)
	if err != nil {
		return err
	}
	defer unix.Close(image)
	if err := eachName(image, ".", func(name string) error {
		if b.own(name) {
			return nil
		}
		return b.showPart(image, name)
	}); err != nil {
		return err
	}
	return eachName(image, "etc", func(name string) error {
		if b.has("etc/" + name) {
			return nil
		}
		return b.showPart(image, "etc/"+name)
	})
}

// has tells whether the zone's root has a path of its own.
func (b *box) has(path string) bool {
	var st unix.Stat_t
	return unix.Fstatat(b.root, path, &st, unix.AT_SYMLINK_NOFOLLOW) != unix.ENOENT
}

// showPart shows a path of the image. A directory below which something else has
// to be mounted, for which a read-only one has no place, is made again, and its
// parts are shown; a file or a link in that place is left out.
func (b *box) showPart(image int, path string) error {
	if !b.holdsMount(path) {
		return b.showFrom(image, path)
	}
	if !isDirectory(image, path) {
		return nil
	}
	if err := directory(b.root, path, 0o755); err != nil {
		return err
	}
	return eachName(image, path, func(name string) error { return b.showPart(image, path+"/"+name) })
}

// holdsMount tells whether the stage mounts something below a path, or there.
func (b *box) holdsMount(path string) bool {
	for _, m := range b.Mounts {
		if strings.HasPrefix(m.Inside+"/", "/"+path+"/") {
			return true
		}
	}
	return false
}

func isDirectory(from int, path string) bool {
	var st unix.Stat_t
	return unix.Fstatat(from, path, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}
