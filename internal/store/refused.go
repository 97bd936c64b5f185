package store

import "fmt"

// Refused says that something is not taken into the store, and why. Code is
// stable: tree.device, tree.socket, tree.fifo, tree.link-out, tree.name,
// tree.too-many, tree.too-big, tree.too-deep, tree.missing, tree.attribute.
type Refused struct {
	Code  string
	Stage string // that made it, where a stage did
	Path  string
	Why   string
}

// Error says what is refused, where, and why; the path is quoted, since names
// can hold what a terminal obeys.
func (r *Refused) Error() string {
	if r.Stage == "" {
		return fmt.Sprintf("%+q: %s", r.Path, r.Why)
	}
	return fmt.Sprintf("output of stage %s: %+q: %s", r.Stage, r.Path, r.Why)
}

// Limits bound one tree. A zero field means the default.
type Limits struct {
	Entries int   // files, directories and links; default 500,000
	Bytes   int64 // of all files; default 16 GiB
	File    int64 // of one file; default 2 GiB
	Depth   int   // of directories; default 100
}

func (l Limits) orDefault() Limits {
	if l.Entries == 0 {
		l.Entries = 500_000
	}
	if l.Bytes == 0 {
		l.Bytes = 16 << 30
	}
	if l.File == 0 {
		l.File = 2 << 30
	}
	if l.Depth == 0 {
		l.Depth = 100
	}
	return l
}
