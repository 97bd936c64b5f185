package cli

import "path/filepath"

// paths are the directories of what Sallyport keeps.
type paths struct {
	state   string // 0700
	store   string // bytes and trees by digest
	gateway string // what the gateway fetched
	ledger  string // the tamper-evident log
	runs    string // one folder for each run: record and full logs
	keys    string // private keys, 0700
	release string // OCI image layouts of what was promoted
	exec    string // what exec moved away
}

func (a *app) paths() (paths, error) {
	state, err := a.stateDir()
	if err != nil {
		return paths{}, err
	}
	in := func(name string) string { return filepath.Join(state, name) }
	return paths{state, in("store"), in("gateway"), in("ledger"), in("runs"), in("keys"), in("release"), in("exec")}, nil
}
