package boundary

import "fmt"

// Zone is a level of trust. The order is fixed: a pipeline can leave zones out
// but cannot merge or reorder them. The zero Zone is no zone.
type Zone uint8

// The seven zones, in their order.
const (
	Fetch Zone = iota + 1
	Generate
	Build
	Test
	Verify
	Release
	Deploy
)

var zoneNames = [...]string{"", "fetch", "generate", "build", "test", "verify", "release", "deploy"}

// Zones returns all zones in their order.
func Zones() []Zone { return []Zone{Fetch, Generate, Build, Test, Verify, Release, Deploy} }

// ParseZone returns the zone of that name.
func ParseZone(name string) (Zone, error) {
	for z := Fetch; z <= Deploy; z++ {
		if zoneNames[z] == name {
			return z, nil
		}
	}
	return 0, fmt.Errorf("no zone %q: the zones are fetch, generate, build, test, verify, release, deploy", name)
}

// String returns the zone's name, as sallyport.yaml spells it.
func (z Zone) String() string {
	if int(z) < len(zoneNames) {
		return zoneNames[z]
	}
	return fmt.Sprintf("zone(%d)", uint8(z))
}

// Privileged tells whether stages of z may hold release authority or a secret.
func (z Zone) Privileged() bool { return z == Release || z == Deploy }

// MarshalText gives the zone's name.
func (z Zone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// UnmarshalText reads a zone's name.
func (z *Zone) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*z = 0
		return nil
	}
	p, err := ParseZone(string(b))
	if err != nil {
		return err
	}
	*z = p
	return nil
}
