package script

import "github.com/sallyport/sallyport/internal/audit/ci"

const (
	t1 = ci.Executes
	t2 = ci.Compiles
)

// tableOf returns what is known of the commands of a program.
func tableOf(program string) (*table, bool) {
	for _, all := range [...]map[string]table{nodeTables, pythonTables, nativeTables, buildTables, otherTables, systemTables} {
		if t, ok := all[program]; ok {
			return &t, true
		}
	}
	return &table{}, false
}

// Whys that several rows share.
const (
	runsInstall = "runs the install scripts of every package"
	runsTests   = "runs the tests and every dependency that they load"
	onlyFetches = "fetches packages and runs none of their scripts"
)

// nodeTables are npm and its kin.
var nodeTables = map[string]table{
	"npm": {ecosystem: "npm", valued: "--prefix -C --workspace -w --registry --userconfig --tag --otp --access --cache --loglevel", rules: []rule{
		{sub: "config|c set", then: configures},
		{sub: "set", then: configures},
		{sub: "i|install|add|ci|clean-install|ic", with: "--package-lock-only --dry-run", tier: t2, why: onlyFetches},
		{sub: "i|install|add|update|up", when: global, with: "--ignore-scripts", tier: t2, why: "installs a tool without running its install scripts", then: tools},
		{sub: "i|install|add|update|up", when: global, tier: t1, why: "installs a tool and runs its install scripts", safer: "--ignore-scripts", then: tools},
		{sub: "ci|clean-install|ic|install-clean|i|install|in|add|update|up|upgrade", when: noScripts, tier: t2, why: onlyFetches, then: adds},
		{sub: "ci|clean-install|ic|install-clean|i|install|in|add|update|up|upgrade", tier: t1, why: runsInstall, safer: "--ignore-scripts", then: adds},
		{sub: "cit|install-ci-test|clean-install-test|it|install-test|rebuild|rb", tier: t1, why: runsInstall, then: installs},
		{sub: "run|run-script|rum|urn", then: runsScript},
		{sub: "test|t|tst|start|stop|restart", then: runsScript},
		{sub: "exec|x|init|create", tier: t1, why: "runs a program of a package", then: dlx},
		{sub: "publish|pack", when: archive},
		{sub: "publish|pack", with: "--ignore-scripts"},
		{sub: "publish|pack", when: lifecycle, tier: t1, why: "runs the prepare and prepack scripts, which load what was installed", safer: "--ignore-scripts", then: runsScript},
		{sub: "version", then: runsScript},
	}},
	"pnpm": {ecosystem: "npm", valued: "--prefix -C --dir --filter -F --registry --tag --otp --access --reporter", rules: []rule{
		{sub: "config|c set", then: configures},
		{sub: "setup|store|env|root|bin|list|ls|why|outdated|audit|licenses|view|info|login|logout|whoami|config|patch|help|prune|server|cache|runtime|stage|dist-tag|dist-tags|owner|access|deprecate|undeprecate|unpublish|ping|search|token|profile|team|set|get|pkg|approve-builds|ignored-builds|cat-file|cat-index|find-hash|doctor|completion|bugs|docs|repo|star|unstar|stars|hook|org|sbom|with"},
		{sub: "fetch", tier: t2, why: onlyFetches},
		{sub: "i|install|add", with: "--lockfile-only", tier: t2, why: onlyFetches},
		{sub: "i|install|add|update|up", when: global, tier: t1, why: "installs a tool", then: tools},
		{sub: "i|install|ci|add|update|up|upgrade", when: noScripts, tier: t2, why: onlyFetches, then: adds},
		{sub: "i|install|ci|add|update|up|upgrade", tier: t1, why: runsInstall, safer: "--ignore-scripts", then: adds},
		{sub: "install-test|it|rebuild|rb|deploy", tier: t1, why: runsInstall, then: installs},
		{sub: "dlx|create", tier: t1, why: "runs a program of a package", then: dlx},
		{sub: "exec", tier: t1, why: "runs a program of an installed package", then: executes},
		{sub: "publish|pack", when: archive},
		{sub: "publish|pack", with: "--ignore-scripts"},
		{sub: "publish|pack", when: lifecycle, tier: t1, why: "runs the prepare and prepack scripts, which load what was installed", safer: "--ignore-scripts", then: runsScript},
		{sub: "publish|pack|remove|rm|unlink|link|import|dedupe|version|patch-commit|self-update"},
		{sub: "run|run-script", then: runsScript},
		{sub: "-r|recursive|*", then: runsScript},
	}},
	"yarn": {ecosystem: "npm", valued: "--cwd --registry --tag --network-timeout --cache-folder --modules-folder", rules: []rule{
		{sub: "config", then: configures},
		{sub: "set|cache|info|why|list|audit|outdated|licenses|login|logout|tag|owner|help|link|unlink|remove|plugin|constraints|version|versions|dedupe|stage|bin|node"},
		{sub: "global add", tier: t1, why: "installs a tool and runs its install scripts", then: tools},
		{sub: "install|add|up|upgrade", when: noScripts, tier: t2, why: onlyFetches, then: adds},
		{sub: "install|add|up|upgrade|upgrade-interactive|rebuild", tier: t1, why: runsInstall, safer: "--ignore-scripts", then: adds},
		{sub: "workspaces focus", tier: t1, why: runsInstall, then: installs},
		{sub: "dlx|create", tier: t1, why: "runs a program of a package", then: dlx},
		{sub: "exec", tier: t1, why: "runs a program of an installed package", then: executes},
		{sub: "npm publish|audit|whoami|login|logout|info|tag"},
		{sub: "publish|pack", when: lifecycle, tier: t1, why: "runs the prepare and prepack scripts, which load what was installed", then: runsScript},
		{sub: "publish|pack|npm"},
		{sub: "run", then: runsScript},
		{sub: "workspace|workspaces|*", then: runsScript},
		{sub: "", with: "--version -v --help -h"},
		{sub: "", when: noScripts, tier: t2, why: onlyFetches, then: installs},
		{sub: "", tier: t1, why: runsInstall, safer: "--ignore-scripts", then: installs},
	}},
	"bun": {ecosystem: "npm", valued: "--cwd --registry --tag --filter", rules: []rule{
		{sub: "i|install|add|a|update", when: global, tier: t1, why: "installs a tool", then: tools},
		{sub: "i|install|ci|add|a|update", when: noScripts, tier: t2, why: onlyFetches, then: adds},
		{sub: "i|install|ci|add|a|update", tier: t1, why: runsInstall, safer: "--ignore-scripts", then: adds},
		{sub: "x|create", tier: t1, why: "runs a program of a package", then: dlx},
		{sub: "pm|outdated|audit|info|publish|link|unlink|remove|upgrade"},
		{sub: "run", then: runsScript},
		{sub: "test|build", when: installed, tier: t1, why: "loads installed packages"},
		{sub: "*", then: runsScript},
	}},
	"deno": {ecosystem: "npm", valued: "--config -c --import-map", rules: []rule{
		{sub: "cache|install|add", tier: t2, why: onlyFetches},
		{sub: "run|task|test|bench|compile|serve", tier: t1, why: "runs the modules that the program imports"},
	}},
	"npx":              {ecosystem: "npm", valued: "-p --package", rules: []rule{{tier: t1, why: "runs a program of a package", then: dlx}}},
	"pnpx":             {ecosystem: "npm", valued: "-p --package", rules: []rule{{tier: t1, why: "runs a program of a package", then: dlx}}},
	"bunx":             {ecosystem: "npm", valued: "-p --package", rules: []rule{{tier: t1, why: "runs a program of a package", then: dlx}}},
	"lerna":            {ecosystem: "npm", rules: []rule{{sub: "bootstrap|run|exec|publish|version|import", tier: t1, why: "runs scripts and programs of packages"}}},
	"nx":               {ecosystem: "npm", rules: []rule{{tier: t1, why: "runs scripts and programs of packages"}}},
	"turbo":            {ecosystem: "npm", rules: []rule{{tier: t1, why: "runs scripts and programs of packages"}}},
	"rush":             {ecosystem: "npm", rules: []rule{{tier: t1, why: "runs scripts and programs of packages"}}},
	"node-gyp":         {ecosystem: "npm", rules: []rule{{sub: "configure|build|rebuild|install", tier: t1, why: "runs the build files of packages"}}},
	"semantic-release": {ecosystem: "npm", rules: []rule{{tier: t1, why: "loads its plugins"}}},
	"lefthook":         {ecosystem: "shell", rules: []rule{{sub: "run", tier: t1, why: "runs the hooks that it is configured with"}}},
}

// nodePrograms are programs that come with packages of npm.
const nodePrograms = "tsc|jest|vitest|mocha|eslint|prettier|webpack|vite|rollup|esbuild|babel|gulp|grunt|next|nuxt|ng|vue-cli-service|electron-builder|electron-forge|changeset|tsup|tsx|ts-node|karma|cypress|playwright|ava|tap|c8|nyc|parcel|astro|gatsby|storybook|typedoc|vsce|ovsx|release-it|standard-version|np|rimraf|husky|lint-staged|microbundle|ncc|pkg"

// pythonPrograms are programs that come with packages of PyPI.
const pythonPrograms = "pytest|py.test|sphinx-build|mkdocs|coverage|flake8|pylint|mypy|black|isort|pyinstaller|ipython|jupyter|invoke|fab|nose2|behave|locust|celery|django-admin|scons|bumpversion|bump2version|bump-my-version|towncrier|commitizen|cz|semantic-release|twine|flit|maturin|ansible|ansible-playbook|ansible-galaxy|sam|conan|west|platformio|pio|mike|delocate-wheel|auditwheel|check-wheel-contents|pyproject-build|zest.releaser|fullrelease"

// pythonTables are pip and its kin.
var pythonTables = map[string]table{
	"pip": {ecosystem: "pypi", valued: "-r --requirement -c --constraint -i --index-url --extra-index-url -t --target --python --no-binary --only-binary --root --prefix --cache-dir -f --find-links --group --progress-bar --timeout", rules: []rule{
		{sub: "install", with: "--dry-run", tier: t1, why: "runs the build code of source packages to learn their metadata"},
		{sub: "install", when: hashed, tier: t2, why: "unpacks wheels of known digests and runs nothing of them", then: adds},
		{sub: "install", tier: t1, why: "builds source packages and installs what their code decides", safer: "--require-hashes --only-binary=:all:", then: adds},
		{sub: "wheel", with: "--only-binary", tier: t2, why: onlyFetches},
		{sub: "wheel", tier: t1, why: "runs the build code of packages"},
		{sub: "download", tier: t2, why: "fetches packages"},
	}},
	"uv": {ecosystem: "pypi", valued: "--directory --project --python -p --with --group --extra --index --index-url --default-index --from -r --requirements --package --env-file --config-file", rules: []rule{
		{sub: "pip install|sync", when: hashed, tier: t2, why: "unpacks wheels of known digests and runs nothing of them", then: adds},
		{sub: "pip install|sync", tier: t1, why: "builds source packages", safer: "--require-hashes --only-binary=:all:", then: adds},
		{sub: "pip"},
		{sub: "sync", with: "--no-build", tier: t2, why: "unpacks wheels and builds nothing", then: installs},
		{sub: "sync", tier: t1, why: "builds source packages and the project", safer: "--no-build", then: installs},
		{sub: "add|remove", tier: t1, why: "builds source packages", then: adds},
		{sub: "run", tier: t1, why: "installs the dependencies and runs a command with them", then: executes},
		{sub: "tool run", tier: t1, why: "installs a tool and runs it", then: uvx},
		{sub: "tool install|upgrade", tier: t1, why: "installs a tool", then: tools},
		{sub: "build", tier: t1, why: "installs the build dependencies and runs them"},
		{sub: "lock|export", tier: t2, why: "resolves packages"},
	}},
	"uvx": {ecosystem: "pypi", valued: "--from --with --python -p --index --index-url --refresh-package", rules: []rule{{tier: t1, why: "installs a tool and runs it", then: uvx}}},
	"pipx": {ecosystem: "pypi", valued: "--spec --python --pip-args --index-url", rules: []rule{
		{sub: "run", tier: t1, why: "installs a tool and runs it", then: uvx},
		{sub: "install|inject|upgrade|upgrade-all|reinstall", tier: t1, why: "installs a tool", then: tools},
	}},
	"poetry": {ecosystem: "pypi", valued: "-C --directory -P --project --with --without --only -E --extras -r --repository -u --username -p --password", rules: []rule{
		{sub: "install|sync|add|update|self", tier: t1, why: "builds source packages and loads plugins", then: installs},
		{sub: "run", tier: t1, why: "runs a command with the installed packages", then: executes},
		{sub: "build", tier: t1, why: "runs the build dependencies"},
		{sub: "publish", with: "--build", tier: t1, why: "runs the build dependencies"},
		{sub: "lock", tier: t2, why: "resolves packages"},
	}},
	"pipenv": {ecosystem: "pypi", valued: "--python", rules: []rule{
		{sub: "install|sync|update", tier: t1, why: "builds source packages", then: installs},
		{sub: "run", tier: t1, why: "runs a command with the installed packages", then: executes},
	}},
	"pdm": {ecosystem: "pypi", valued: "-p --project -G --group", rules: []rule{
		{sub: "install|sync|add|update", tier: t1, why: "builds source packages", then: installs},
		{sub: "run", tier: t1, why: "runs a command with the installed packages", then: executes},
		{sub: "build", tier: t1, why: "runs the build dependencies"},
		{sub: "publish", sans: "--no-build", tier: t1, why: "runs the build dependencies"},
	}},
	"hatch": {ecosystem: "pypi", valued: "-e --env -p --project -r --repo", rules: []rule{
		{sub: "build|run|test|shell|fmt|env|dep|version", tier: t1, why: "installs the environment's packages and runs them"},
	}},
	"tox":             {ecosystem: "pypi", valued: "-e -c --conf --workdir -x --override", rules: []rule{{tier: t1, why: "installs the packages of its environments and runs them", then: testsEnv}}},
	"nox":             {ecosystem: "pypi", rules: []rule{{tier: t1, why: "installs the packages of its sessions and runs them"}}},
	"pyproject-build": {ecosystem: "pypi", rules: []rule{{tier: t1, why: "installs the build dependencies and runs them"}}},
	"cibuildwheel":    {ecosystem: "pypi", rules: []rule{{tier: t1, why: "installs the build dependencies and runs them"}}},
	"flit":            {ecosystem: "pypi", rules: []rule{{sub: "build|install|publish", tier: t1, why: "runs the build of the project"}}},
	"conda":           {ecosystem: "conda", valued: "-n --name -f --file -c --channel", rules: []rule{{sub: "install|create|update|env|build", tier: t1, why: "runs the link scripts of packages", then: installs}}},
	"mamba":           {ecosystem: "conda", valued: "-n --name -f --file -c --channel", rules: []rule{{sub: "install|create|update|env|build", tier: t1, why: "runs the link scripts of packages", then: installs}}},
	"micromamba":      {ecosystem: "conda", valued: "-n --name -f --file -c --channel", rules: []rule{{sub: "install|create|update|env", tier: t1, why: "runs the link scripts of packages", then: installs}}},
	"pixi":            {ecosystem: "conda", rules: []rule{{sub: "install|run|add|build|exec", tier: t1, why: "installs packages and runs them", then: installs}}},
	"pre-commit":      {ecosystem: "git", rules: []rule{{sub: "run|install-hooks|try-repo|autoupdate", when: hooksOnly}, {sub: "run|install-hooks|try-repo", tier: t1, why: "installs the hooks of other repositories and runs them"}}},
	"prek":            {ecosystem: "git", rules: []rule{{sub: "run|install-hooks", when: hooksOnly}, {sub: "run|install-hooks", tier: t1, why: "installs the hooks of other repositories and runs them"}}},
}
