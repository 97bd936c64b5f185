package screen

import (
	"fmt"
	"path"
	"strings"

	"github.com/sallyport/sallyport/internal/gateway/fault"
)

// popular are npm packages that everybody knows, and that names are made to look
// like. From memory, 2026-11; a name on it is never taken for an imitation.
const popular = `
args classname coffeescript colord cookies dtslint eventemitter2 exec jsdoc json merge2 object.assign rambda through tree xml-js
acorn ajv angular ansi-regex ansi-styles async autoprefixer axios babel-core babel-loader bcrypt bignumber.js bluebird body-parser bootstrap
browserify browserslist buffer bunyan camelcase chai chalk cheerio chokidar classnames color colors commander compression concurrently connect
cookie cookie-parser core-js coffee-script cross-env cross-spawn crypto-js css-loader cssnano d3-array date-fns dayjs debug discord.js dotenv
electron ember-cli enzyme esbuild eslint ethers event-stream eventemitter3 execa express express-session fast-glob fastify file-loader firebase
follow-redirects form-data formidable framer-motion fs-extra glob-parent graphql gulp-util handlebars helmet highlight.js history html-loader
http-proxy husky immer immutable inquirer ioredis is-number jasmine jquery js-yaml jsdom json5 jsonwebtoken karma knex lerna less-loader lint-staged
loader-utils lodash log4js lru-cache luxon marked memfs merge micromatch minimatch minimist mocha moment mongodb mongoose morgan multer mysql mysql2
nanoid next-auth node-fetch node-forge node-gyp node-ipc node-sass nodemailer nodemon normalize-url nuxt object-assign optimist passport playwright
postcss preact prettier promise prop-types puppeteer ramda react react-dom react-redux react-router react-scripts redis redux regenerator-runtime
request require-dir resolve rimraf rollup rxjs sass-loader semver sequelize serialize-javascript sharp shelljs sinon socket.io source-map spdx-license-ids
string-width strip-ansi style-loader styled-components supertest supports-color svelte tailwindcss terser three through2 tslib tslint typeorm typescript
ua-parser-js uglify-js underscore undici url-loader validator vinyl vue-router webpack webpack-cli websocket winston xml2js yargs yarn zone.js
`

// minLookalike is the length of the shortest name that others can be taken for:
// short names are near each other by chance.
const minLookalike = 5

// Lookalike returns the well-known name that an npm name can be taken for: it is
// one edit away (a letter more, less, other, or two that changed places), and is
// not well known itself. Names in a scope are their owner's affair.
func Lookalike(name string) (known string, looks bool) {
	if strings.HasPrefix(name, "@") {
		return "", false
	}
	all := strings.Fields(popular)
	for _, k := range all {
		if k == name {
			return "", false
		}
	}
	for _, k := range all {
		if len(k) >= minLookalike && oneEdit(name, k) {
			return k, true
		}
	}
	return "", false
}

// oneEdit says whether two different names are one edit apart.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 1:
		return a[i:] == b[i+1:]
	case 0:
		if i == len(a) {
			return false
		}
		swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		return a[i+1:] == b[i+1:] || swapped
	}
	return false
}

// LookalikeRefusal is the error about a name that nobody accepted and that looks
// like another, or nil.
func LookalikeRefusal(name, where string, accepted []string) error {
	known, looks := Lookalike(name)
	if !looks || matches(accepted, name) {
		return nil
	}
	return fault.New(fault.Lookalike, fmt.Sprintf("%s looks like %s, and no lockfile names it yet", name, known)).At(where).
		Mend("npm install " + known + ", or write accept: [" + name + "] below gateway.npm in sallyport.yaml")
}

// Internal says whether a name is one of those that the project says are its
// owner's own: exact, or with stars, such as acme-* and @acme/*.
func Internal(patterns []string, name string) bool { return matches(patterns, name) }

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}
