package cli

import (
	"bytes"
	"io/fs"
	"time"
)

// oneFile is a file system of one file: what standard input gave.
type oneFile struct {
	name string
	text []byte
}

// Open opens the one file.
func (o oneFile) Open(name string) (fs.File, error) {
	if name != o.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &opened{bytes.NewReader(o.text), o}, nil
}

// opened is the file while it is read.
type opened struct {
	*bytes.Reader
	of oneFile
}

func (f *opened) Stat() (fs.FileInfo, error) { return fileInfo{f.of}, nil }
func (f *opened) Close() error               { return nil }

type fileInfo struct{ of oneFile }

func (i fileInfo) Name() string       { return i.of.name }
func (i fileInfo) Size() int64        { return int64(len(i.of.text)) }
func (i fileInfo) Mode() fs.FileMode  { return 0o444 }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }
