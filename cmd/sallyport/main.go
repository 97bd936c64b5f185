// Command sallyport keeps untrusted code and release authority apart.
package main

import (
	"os"

	"github.com/sallyport/sallyport/internal/cli"
)

// version is set by the linker (see Makefile) and by nothing else.
var version = "devel"

func main() { os.Exit(cli.Main(version, os.Args[1:])) }
