package buildkite

import (
	"testing"

	"github.com/sallyport/sallyport/internal/audit/citest"
)

func TestRead(t *testing.T) { citest.Run(t, Read) }

func FuzzRead(f *testing.F) { citest.Fuzz(f, Read) }
