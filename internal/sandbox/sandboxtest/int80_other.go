//go:build !amd64

package sandboxtest

import "runtime"

func int80() error { return safe("no such interface on " + runtime.GOARCH) }
