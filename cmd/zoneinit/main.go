// Command zoneinit is the first process of a zone. It is embedded in sallyport
// and started by it; there is no use in running it by hand.
package main

import (
	"os"

	"github.com/sallyport/sallyport/internal/zoneinit"
)

func main() { os.Exit(zoneinit.Main(os.Args)) }
