package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// messages are one of each kind, every field set.
func messages() map[string]Message {
	return map[string]Message{
		"prepare": &Prepare{UID: 1000, KeepHost: true, Without: []string{Landlock, ""}, FailStep: 3, Container: true, Image: true},
		"setup": &Setup{
			Hostname: "h", NoLoopback: true, Listen: []int{1, 65535}, Image: Source{FD: 4}, Box: "/box",
			Metadata: true, Files: []File{{".npmrc", "x"}, {"a/b", ""}},
			Lower: []Source{{FD: 0}, {FD: -1, Path: "/a"}}, Base: Source{FD: 2}, Upper: "u", Work: "w",
			Mounts: []Mount{{From: Source{FD: 1}, Inside: "/m", Writable: true, Exec: true, File: true}, {From: Source{FD: 2}, Inside: "/n", Copy: true}},
			Masks:  []Mask{{Path: "/box/.git"}, {Path: "/box/x", Hidden: true}}, Disk: 1 << 40,
			Runtime: Runtime{Program: Source{FD: 3}, Args: []string{"r"}, Config: "{}", OwnKernel: true},
		},
		"made": &Made{Root: Root{Dev: 9, Ino: -1}, Missing: []Lack{{"proc", "why"}}, Probes: []Probe{{"n", "w", "g", true}}},
		"launch": &Launch{
			Args: []string{"a", ""}, Env: []string{"A=\xff\n"}, Dir: "/", Root: Root{1, 2}, Writable: []string{"/box"},
			Limits: []Rlimit{{7, -1}}, Without: []string{Seccomp}, FailStep: 1, Notify: true, OwnKernel: true,
			Probe: Probing{
				Zone: "build", HostPIDs: []int{1}, HostNS: []string{"net:[1]"}, StateDir: "/s", AllowedListen: []int{9},
				Canaries: []string{"c"}, Forbidden: []string{"f"}, NoLoopback: true, Metadata: true, HostRelease: "r",
			},
		},
		"enter":  &Enter{UID: 1, Without: []string{Seccomp}, FailStep: 2, OwnKernel: true},
		"probed": &Probed{Probes: []Probe{{"n", "w", "g", true}, {}}, Missing: []Lack{{"a", "b"}}},
		"ended":  &Ended{Status: 256, CPU: 1, MaxRSS: 1 << 33},
		"failed": &Failed{Step: "s", What: "w", Errno: 13},
	}
}

func TestRoundTrip(t *testing.T) {
	for name, m := range messages() {
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(Message)
		if err := Unmarshal(Marshal(m), got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: got %+v, want %+v", name, got, m)
		}
	}
}

// Every field has to travel: one that a fields method forgets is lost in
// silence.
func TestNoFieldIsForgotten(t *testing.T) {
	for name, m := range messages() {
		whole := Marshal(m)
		v := reflect.ValueOf(m).Elem()
		for i := range v.NumField() {
			old := reflect.ValueOf(v.Field(i).Interface())
			v.Field(i).SetZero()
			if bytes.Equal(Marshal(m), whole) {
				t.Errorf("%s: field %s does not travel", name, v.Type().Field(i).Name)
			}
			v.Field(i).Set(old)
		}
	}
}

func TestEveryCutIsRefused(t *testing.T) {
	for name, m := range messages() {
		whole := Marshal(m)
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(Message)
		for n := range whole {
			if Unmarshal(whole[:n], got) == nil {
				t.Errorf("%s: %d of %d bytes are taken for a whole", name, n, len(whole))
			}
		}
		if Unmarshal(append(whole, 0), got) == nil {
			t.Errorf("%s: a byte too many is taken", name)
		}
	}
}

func TestHeader(t *testing.T) {
	kind, n, err := ParseHeader(Header(KindSetup, MaxBody))
	if kind != KindSetup || n != MaxBody || err != nil {
		t.Errorf("got %c %d %v", kind, n, err)
	}
	if _, _, err := ParseHeader(Header(KindSetup, MaxBody+1)); err == nil {
		t.Error("a body that is too long is taken")
	}
}

// FuzzUnmarshal feeds each message arbitrary bytes: what is taken has to be
// the only way to write it.
func FuzzUnmarshal(f *testing.F) {
	for _, m := range messages() {
		f.Add(Marshal(m))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, m := range messages() {
			got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(Message)
			if Unmarshal(b, got) != nil {
				continue
			}
			again := reflect.New(reflect.TypeOf(m).Elem()).Interface().(Message)
			if err := Unmarshal(Marshal(got), again); err != nil || !reflect.DeepEqual(got, again) {
				t.Errorf("%s: %+v does not survive: %+v %v", name, got, again, err)
			}
		}
	})
}
