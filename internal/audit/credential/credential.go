// Package credential sorts credentials: by the name of a secret, by the scopes
// of a token, by what consumes it, into the classes of package ci.
//
// A name that it does not know is ci.Unsorted, never ci.Low.
package credential

import "github.com/sallyport/sallyport/internal/audit/ci"

// Named returns the classes that a secret of this name is good for, as far as
// the name tells: NPM_TOKEN publishes, COSIGN_KEY signs. At least one.
func Named(name string) []ci.Class { return []ci.Class{ci.Unsorted} }
