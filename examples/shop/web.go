// Package shop holds the bundled web app. `npm run build` writes it to build.
package shop

import (
	"embed"
	"io/fs"
)

//go:embed all:build
var build embed.FS

// Web is the web app as the browser sees it.
func Web() fs.FS {
	files, err := fs.Sub(build, "build")
	if err != nil {
		panic(err) // the path is a constant
	}
	return files
}
