package sandboxtest

import (
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// peer offers, in its own zone, everything by which another could be met, and
// stays until its input ends.
func peer(a []string) int {
	var w world
	w.PeerPort, w.PeerSocket, w.PeerFile, w.PeerKey = number(a[0]), a[1], a[2], number(a[3])
	tcp, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", w.PeerPort))
	if err != nil {
		return fail(err)
	}
	defer tcp.Close()
	abstract, err := net.Listen("unix", "@"+w.PeerSocket)
	if err != nil {
		return fail(err)
	}
	defer abstract.Close()
	if err := os.WriteFile(w.PeerFile, []byte("peer"), 0o666); err != nil {
		return fail(err)
	}
	segment, _, e := unix.Syscall(unix.SYS_SHMGET, uintptr(w.PeerKey), 4096, unix.IPC_CREAT|0o666)
	if e != 0 {
		return fail(e)
	}
	defer unix.Syscall(unix.SYS_SHMCTL, segment, unix.IPC_RMID, 0)
	fmt.Println("here")
	_, err = io.Copy(io.Discard, os.Stdin)
	return fail(err)
}

// meetings are the ways to meet a peer. In the peer's own zone they work; in
// another none may.
func meetings() []attempt {
	return []attempt{
		{id: "peer.loopback", try: func(w world) error { return dial("127.0.0.1", w.PeerPort) }},
		{id: "peer.abstract", try: func(w world) error { return dialUnix("@" + w.PeerSocket) }},
		{id: "peer.file", try: func(w world) error { _, err := os.ReadFile(w.PeerFile); return err }},
		{id: "peer.memory", try: func(w world) error {
			_, _, e := unix.Syscall(unix.SYS_SHMGET, uintptr(w.PeerKey), 4096, 0)
			if e != 0 {
				return e
			}
			return nil
		}},
		{id: "peer.process", try: func(w world) error { return searchProcesses(world{Canary: w.PeerMark}, "cmdline") }},
	}
}

// meet tries every meeting from this zone and prints the verdicts.
func meet(a []string) int {
	w := world{PeerPort: number(a[0]), PeerSocket: a[1], PeerFile: a[2], PeerKey: number(a[3]), PeerMark: a[4]}
	refusals := append(hidden(), unreached()...)
	for _, m := range meetings() {
		if code := printJSON(judge(m, refusals, m.try(w))); code != 0 {
			return code
		}
	}
	return 0
}
