package script

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sallyport/sallyport/internal/audit/ci"
)

// events are commands and the events of the last one: a tier and an ecosystem,
// with F for floating, U for not sandboxed, P for pinned, O for own. Commands
// before it are set off by ;;.
const events = `
npm ci => T1 npm
npm ci --ignore-scripts => T2 npm
npm install --package-lock-only => T2 npm
npm i left-pad => T1 npm F
npm i left-pad@ => T1 npm F
npm i left-pad@1.3.0 => T1 npm
npm i left-pad@^1.3.0 => T1 npm F
npm --prefix web ci => T1 npm
npm install -g npm@latest => T1 npm F
npm install -g npm@11.5.1 => T1 npm
npm install -g npm@$NPM_VERSION => T1 npm
npm install --location=global tool@next --ignore-scripts => T2 npm F
npm install --global ./tool => T1 npm
npm_config_ignore_scripts=true npm ci => T2 npm
npm config set ignore-scripts true ;; npm ci => T2 npm
npm set ignore-scripts=true ;; npm ci => T2 npm
npm cit => T1 npm
npm rebuild => T1 npm
npm run build => T1 npm
npm ci --ignore-scripts ;; npm run build => T1 npm
npm test => T1 npm
npm exec tsc => T1 npm F
npm ci ;; npm exec tsc => T1 npm
npm publish => -
npm ci ;; npm publish => T1 npm
npm ci ;; npm publish --ignore-scripts => -
npm ci ;; npm publish pkg-1.0.0.tgz => -
npm ci ;; npm pack => T1 npm
npm ci ;; npm version patch => T1 npm
npm view x => -
npm dist-tag add x latest => -
pnpm config set ignore-scripts true ;; pnpm i => T2 npm
pnpm store path => -
pnpm --version => -
pnpm runtime set node 22 => -
pnpm fetch => T2 npm
pnpm install --lockfile-only => T2 npm
pnpm add -g pnpm@latest => T1 npm F
pnpm i --frozen-lockfile --ignore-scripts => T2 npm
pnpm -r install => T1 npm
pnpm rebuild => T1 npm
pnpm dlx cowsay => T1 npm F
pnpm dlx cowsay@1.6.0 => T1 npm
pnpm exec tsc => T1 npm
pnpm i ;; pnpm publish -r => T1 npm
pnpm publish --ignore-scripts => -
pnpm publish x.tgz => -
pnpm publish => -
pnpm remove x => -
pnpm run build => T1 npm
pnpm build => T1 npm
pn run build => T1 npm
yarn config set enableScripts false ;; yarn install => T2 npm
yarn cache clean => -
yarn global add x => T1 npm F
yarn install --mode=skip-build => T2 npm
YARN_ENABLE_SCRIPTS=false yarn install => T2 npm
yarn install --immutable => T1 npm
yarn workspaces focus x => T1 npm
yarn dlx x => T1 npm F
yarn exec x => T1 npm
yarn npm publish => -
yarn ;; yarn publish => T1 npm
yarn pack => -
yarn run build => T1 npm
yarn build => T1 npm
yarn workspace a build => T1 npm
yarn --version => -
yarn --ignore-scripts => T2 npm
yarn => T1 npm
bun add -g x => T1 npm F
bun install --ignore-scripts => T2 npm
bun install => T1 npm
bun x cowsay => T1 npm F
bun publish => -
bun run build => T1 npm
bun install ;; bun test => T1 npm
bun dev => T1 npm
deno cache x.ts => T2 npm
deno task x => T1 npm
npx cowsay => T1 npm F
npx -y cowsay@1.6.0 hello => T1 npm
npx --package @scope/x@2 y => T1 npm F
pnpx cowsay@1.6.0 => T1 npm
bunx cowsay => T1 npm F
lerna publish => T1 npm
nx build => T1 npm
turbo run build => T1 npm
rush build => T1 npm
node-gyp rebuild => T1 npm
semantic-release => T1 npm
lefthook run pre-commit => T1 shell
corepack enable => -
corepack pnpm install => T1 npm
npm ci ;; tsc -p . => T1 npm
tsc -p . => -
npm ci --ignore-scripts ;; node build.js => T1 npm
node build.js => -
./node_modules/.bin/tsc => T1 npm

pip install --dry-run x => T1 pypi
pip install -r requirements.txt => T1 pypi
pip install --require-hashes --only-binary=:all: -r requirements.txt => T2 pypi
pip install --require-hashes --only-binary :all: -r requirements.txt => T2 pypi
pip install --require-hashes -r requirements.txt => T1 pypi
python -m pip install --upgrade pip => T1 pypi F
python3.12 -m pip install twine==5.0.0 => T1 pypi
pip3 install . => T1 pypi
pip install git+https://git.example/a/b@v1.2.3 => T1 pypi
pip install git+https://git.example/a/b@0123456789abcdef => T1 pypi
pip install git+https://git.example/a/b@main => T1 pypi F
pip install git+https://git.example/a/b => T1 pypi F
pip install https://x.example/y-1.0.tar.gz => T1 pypi
pip wheel --only-binary=:all: x => T2 pypi
pip wheel . => T1 pypi
pip download x => T2 pypi
pip --version => -
uv pip install --require-hashes --only-binary=:all: -r r.txt => T2 pypi
uv pip sync r.txt => T1 pypi
uv pip list => -
uv sync --no-build => T2 pypi
uv sync --locked => T1 pypi
uv add httpx => T1 pypi F
uv run pytest => T1 pypi
uv run npm ci => T1 pypi
uv run --with twine twine upload dist/x => T1 pypi
uv tool run ruff => T1 pypi F
uv tool install ruff==0.5.0 => T1 pypi
uv build => T1 pypi
uv lock => T2 pypi
uv publish => -
uv python install 3.12 => -
uvx twine upload dist/x => T1 pypi F
uvx ruff@0.5.0 check => T1 pypi
pipx run build => T1 pypi F
pipx run --spec build==1.2.1 pyproject-build => T1 pypi
pipx install poetry => T1 pypi F
poetry install => T1 pypi
poetry run pytest => T1 pypi
poetry build => T1 pypi
poetry publish => -
poetry publish --build => T1 pypi
poetry lock => T2 pypi
pipenv install => T1 pypi
pipenv run x => T1 pypi
pdm install => T1 pypi
pdm run x => T1 pypi
pdm build => T1 pypi
pdm publish => T1 pypi
pdm publish --no-build => -
hatch build => T1 pypi
hatch publish => -
tox -e py => T1 pypi
nox => T1 pypi
python -m build => T1 pypi
python -m cibuildwheel => T1 pypi
flit build => T1 pypi
conda install x => T1 conda
mamba env create => T1 conda
micromamba create => T1 conda
pixi run x => T1 conda
pre-commit run -a => T1 git
prek run => T1 git
twine upload dist/x => -
pip install twine ;; twine upload dist/x => -
pip install --require-hashes --only-binary=:all: -r r.txt ;; pytest => T1 pypi
pip install --require-hashes --only-binary=:all: -r r.txt ;; python x.py => T1 pypi
pip install --require-hashes --only-binary=:all: -r r.txt ;; python -m mytool => T1 pypi
python x.py => -
pytest => -
python setup.py sdist => -
python setup.py install => T1 pypi
python3 setup.py develop => T1 pypi
python scripts/setup.py install => -

cargo fetch => -
cargo install cargo-deb => T1 cargo F
cargo install cargo-deb@2.0.0 => T1 cargo
cargo install cargo-deb --version 2.0.0 => T1 cargo
cargo install x --git https://git.example/x --rev 0123456789abcdef => T1 cargo
cargo install --path . => T1 cargo
cargo publish => T1 cargo
cargo publish --no-verify => -
cargo test => T1 cargo
cargo build --release => T1 cargo
cargo +nightly build => T1 cargo
cargo +nightly fmt => -
cargo custom => T1 cargo
cross build => T1 cargo
maturin build => T1 cargo
maturin upload x => -
wasm-pack build => T1 cargo
trunk build => T1 cargo
dist build => T1 cargo
rustup toolchain install stable => -
go build -toolexec x ./... => T1 go
go test ./... => T1 go
go generate ./... => T1 go
go run ./cmd/x => T1 go
go run example.org/x@latest => T1 go F
go run example.org/x@v1.2.3 => T1 go
go tool x => T1 go
go install example.org/x@latest => T1 go F
go install example.org/x@v1.2.3 => T1 go
go install ./... => T2 go
go get example.org/x => T2 go
CGO_ENABLED=0 go build ./... => T2 go
go build ./... => T2 go
go vet ./... => T2 go
go mod download => T2 go
go version => -
gotestsum => T1 go
ginkgo -r => T1 go
golangci-lint custom => T1 go
golangci-lint run => T2 go
swift build => T1 swift
swift package resolve => T1 swift
pod install => T1 swift
xcodebuild -version => -
xcodebuild archive => T1 swift
fastlane beta => T1 gem
flutter pub get => T2 pub
flutter build apk => T1 pub
dart pub get => T2 pub
dart run x => T1 pub
dart pub global activate x => T1 pub
mix deps.get => -
mix test => T1 hex
rebar3 compile => T1 hex
stack build => T1 hackage
cabal update => -
cabal build => T1 hackage
opam install . => T1 opam
dune build => T1 opam
zig build => T1 zig
nimble build => T1 nim
crystal build => T1 shards
shards --version => -
shards install => T1 shards
luarocks install x => T1 luarocks
cpanm x => T1 cpan
cpan x => T1 cpan
Rscript x.R => T1 cran
julia x.jl => T1 julia

make => T1 make
make --version => -
just build => T1 make
just --list => -
task build => T1 make
task --list => -
mage build => T1 make
mage -l => -
cmake --version => -
cmake --build build => T1 make
ctest => T1 make
ctest --version => -
cpack --version => -
cpack => T1 make
meson --version => -
meson setup b => T1 make
ninja -C b => T1 make
ninja --version => -
scons => T1 make
xmake => T1 make
conan install . => T1 conan
vcpkg install x => T1 vcpkg
bazel build //... => T1 bazel
bazelisk test //... => T1 bazel
bazel info => -
buck2 build //... => T1 buck
buck build //... => T1 buck
pants test :: => T1 pants
nix flake check => T2 nix
nix build => T1 nix
nix-build => T1 nix
nix-shell --run x => T1 nix
nix-env -iA x => T1 nix
earthly +build => T1 make
dagger call x => T1 make
waf build => T1 make

mvn -v => -
mvn dependency:go-offline => T1 maven
./mvnw -B verify => T1 maven
gradle --version => -
./gradlew build => T1 maven
sbt test => T1 maven
ant -version => -
ant dist => T1 maven
mill x => T1 maven
lein uberjar => T1 maven
clojure -M:x => T1 maven
clj -M:x => T1 maven
jreleaser full-release => T1 maven
jbang x => T1 maven
dotnet nuget push x.nupkg => -
dotnet tool install x => T1 nuget F
dotnet tool install x --version 1.0.0 => T1 nuget
dotnet tool restore => T1 nuget
dotnet tool list => -
dotnet restore => T1 nuget
dotnet build -c Release => T1 nuget
dotnet cake => T1 nuget
nuget restore => T2 nuget
nuget pack => T1 nuget
msbuild -version => -
msbuild x.sln => T1 nuget
paket restore => T2 nuget
bundle config set path x => -
bundle install => T1 gem
bundle => T1 gem
bundle exec rake release => T1 gem
gem install bundler => T1 gem F
gem install bundler -v 2.5.0 => T1 gem
gem exec x => T1 gem F
gem build x.gemspec => -
bundle install ;; gem build x.gemspec => T1 gem
gem push x.gem => -
rake => T1 gem
rspec => T1 gem
jekyll build => T1 gem
composer install --no-scripts --no-plugins => T2 composer
composer install --no-scripts => T1 composer
composer validate => -
composer test => T1 composer
composer install ;; php x.php => T1 composer
php x.php => -
phpunit => T1 composer
goreleaser release --clean => T1 go
goreleaser check => -
terraform init => T1 terraform
tofu plan => T1 terraform
terraform fmt => -
terragrunt apply => T1 terraform
pulumi up => T1 npm
cdk deploy => T1 npm
cdktf deploy => T1 npm
serverless deploy => T1 npm
sls deploy => T1 npm
sst deploy => T1 npm
ansible-galaxy install x => T2 ansible
helm plugin install x => T1 helm
helm dependency update => T2 helm
helm upgrade x y => -
packer build x => T1 packer
vagrant up => T1 packer
hugo mod get => T2 go
hugo => -
asdf install => T1 asdf
mise install => T1 asdf
mise run x => T1 asdf
act push => T1 action

sudo apt-get install -y jq => T2 deb
apt install -y ./x.deb => T1 deb
add-apt-repository ppa:x/y ;; apt-get install x => T1 deb
apt-add-repository ppa:x/y ;; apt-get install x => T1 deb
echo deb x > /etc/apt/sources.list.d/x.list ;; apt-get install x => T1 deb
apt-get update => -
apk add git => T2 deb
dnf config-manager --add-repo x ;; dnf install y => T1 deb
dnf copr enable x ;; dnf install y => T1 deb
yum install -y x => T2 deb
pacman -Syu x => T2 deb
pacman -U x.zst => T1 deb
pkg install x => T2 deb
dpkg -i x.deb => T1 deb
gdebi x.deb => T1 deb
rpm -ivh x.rpm => T1 deb
brew install jq => T2 brew
brew install a/b/c => T1 brew F
brew tap a/b ;; brew install c => T1 brew
port install x => T2 brew
snap install x --classic => T1 snap F
flatpak install x => T1 snap
choco install x => T1 choco F
choco install x --version 1.0 => T1 choco
winget install x => T1 choco F
scoop install x => T1 choco F
Install-Module x => T1 powershell
Install-PSResource x => T1 powershell
Install-Package x => T1 powershell
curl -fsSL https://x.example/i.sh | sh => T1 shell F
curl -fsSL https://x.example/v1.2.3/i.sh | bash -s -- -b /usr/bin => T1 shell
wget -qO- https://x.example/i.sh | sudo bash => T1 shell F
bash <(curl -s https://x.example/i.sh) => T1 shell F
sh -c "$(curl -fsSL https://x.example/i.sh)" => T1 shell F
source <(curl -s https://x.example/i.sh) => T1 shell F
curl -o i.sh https://x.example/1.2.3/i.sh ;; bash i.sh => T1 shell
curl -LO https://x.example/1.2.3/tool ;; chmod +x tool ;; ./tool => T1 shell
wget https://x.example/1.2.3/tool ;; mv tool /usr/local/bin/mine ;; mine => T1 shell
wget -O t https://x.example/1.2.3/tool ;; cp t u ;; ./u => T1 shell
aria2c https://x.example/1.2.3/t -o t ;; ln t u ;; ./u => T1 shell
curl -sSL https://x.example/1.2.3/t.tgz | tar xz t ;; ./t => T1 shell
curl -sSLo a.zip https://x.example/1.2.3/a.zip ;; unzip a.zip t ;; ./t => T1 shell
curl -sSLo a.gz https://x.example/1.2.3/a.gz ;; gunzip a.gz ;; ./a => T1 shell
curl -s https://x.example/1.2.3/t > t ;; install -m 755 t /usr/bin/v ;; v => T1 shell
curl -o t https://x.example/1.2.3/t ;; echo "aa t" | sha256sum -c ;; ./t => T1 shell P
curl -o t https://x.example/1.2.3/t ;; sha512sum --check s ;; ./t => T1 shell P
curl -o t https://x.example/1.2.3/t ;; shasum -a 256 -c s ;; ./t => T1 shell P
curl -o t https://x.example/1.2.3/t ;; gpg --verify t.sig t ;; ./t => T1 shell P
curl -o t https://x.example/1.2.3/t ;; gpg2 --verify t.sig t ;; ./t => T1 shell P
curl -o t https://x.example/1.2.3/t ;; minisign -Vm t ;; ./t => T1 shell P
curl -o t https://x.example/1.2.3/t ;; cosign verify-blob t ;; ./t => T1 shell P
curl -o t https://x.example/1.2.3/t ;; slsa-verifier verify-artifact t ;; ./t => T1 shell P
gh release download v1 -R a/b -p t ;; gh attestation verify t ;; ./t => T1 shell P
gh release download v1.0.0 -R a/b -p t ;; ./t => T1 shell
gh release download -R a/b -p t ;; ./t => T1 shell F
gh release download v1.0.0 -p t ;; ./t => -
curl -s https://x.example/data.json -o data.json ;; jq . data.json => -
curl -s https://x.example/data.json | jq . => -
gh extension install x/y => T1 git
git clone https://git.example/a/b ;; cd b ;; ./configure => T1 git
git clone https://git.example/a/b tools ;; tools/run.sh => T1 git
gh repo clone a/b ;; bash b/run.sh => T1 git
git clone https://git.example/${{ github.repository }} x ;; x/run => -
docker build . => -
docker image build --secret id=x . => T1 oci U
podman run -v $PWD:/w alpine:3.19 true => T3 oci
rustup run stable cargo build => T1 cargo
docker buildx create --use => -
docker buildx build --push . => -
docker build --secret id=x . => T1 oci U
docker buildx build --ssh default . => T1 oci U
docker builder build --network=host . => T1 oci U
docker compose build --build-arg T=$NPM_TOKEN => T1 oci U
docker build --build-arg VERSION=$VERSION . => -
docker buildx bake --allow security.insecure => T1 oci U
docker compose up -d => -
go run main.go => T1 go
docker run alpine true => -
docker run -v $PWD:/w alpine:3.19 true => T3 oci
docker container run -e X img => T3 oci F
docker create --env-file e img@sha256:aa => T3 oci P
docker run -v /var/run/docker.sock:/var/run/docker.sock img:1 => T3 oci U
docker run -t -v $PWD:/w img@sha256:aa true => T3 oci P
docker run --privileged img:1 => T3 oci U
docker build -t mine . ;; docker run -v $PWD:/w mine => -
docker exec c npm ci => T1 npm
podman build --isolation=chroot . => T1 oci U
nerdctl build --secret id=x . => T1 oci U
finch build --secret id=x . => T1 oci U
buildah bud --isolation chroot . => T1 oci U
buildah bud . => -
/kaniko/executor --context . => T1 oci U
kaniko . => T1 oci U
img build . => -
Invoke-WebRequest https://x.example/i.ps1 | iex => T1 shell F
Invoke-RestMethod https://x.example/i.ps1 | iex => T1 shell F
irm https://x.example/i.ps1 | iex => T1 shell F
iwr https://x.example/i.ps1 | Invoke-Expression => T1 shell F
Start-BitsTransfer -Source https://x.example/1.2.3/t.exe -Destination t.exe ;; ./t.exe => T1 shell
`

// script puts the commands of a line on lines of their own.
func lineText(s string) string { return strings.ReplaceAll(s, " ;; ", "\n") }

func TestEvents(t *testing.T) {
	for _, line := range strings.Split(strings.TrimSpace(events), "\n") {
		if line == "" {
			continue
		}
		commands, want, ok := strings.Cut(line, " => ")
		if !ok {
			t.Fatalf("no => in %q", line)
		}
		text := lineText(commands)
		shell := "bash"
		if strings.HasPrefix(commands, "I") || strings.HasPrefix(commands, "i") && strings.Contains(commands, "ps1") || strings.HasPrefix(commands, "Start-") {
			shell = "pwsh"
		}
		r := &Reader{}
		f := r.Read(Source{Text: text, Shell: shell, Place: ci.Place{File: "ci.yml", Line: 1, Column: 1}})
		if got := short(f, strings.Count(text, "\n")+1); got != want {
			t.Errorf("%s\n got %s\nwant %s", commands, got, want)
		}
	}
}

// short writes the events of one line.
func short(f Facts, line int) string {
	var all []string
	for _, e := range f.Events {
		if e.Where.Line != line {
			continue
		}
		s := tierName(e.Tier) + " " + e.Ecosystem
		letters := ""
		for _, x := range []struct {
			on     bool
			letter string
		}{{e.Floating, "F"}, {e.Unsandboxed, "U"}, {e.Pinned, "P"}, {e.Own, "O"}} {
			if x.on {
				letters += x.letter
			}
		}
		all = append(all, strings.TrimSpace(s+" "+letters))
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

// TestEveryRowOfEvents refuses a row of a table that no command of the tests is
// about: it could say anything.
func TestEveryRowOfEvents(t *testing.T) {
	hit := map[string]map[int]bool{}
	watch := func(program string, row int) {
		if hit[program] == nil {
			hit[program] = map[int]bool{}
		}
		hit[program][row] = true
	}
	for _, line := range strings.Split(strings.TrimSpace(events), "\n") {
		commands, _, _ := strings.Cut(line, " => ")
		r := &Reader{watch: watch}
		r.Read(Source{Text: lineText(commands)})
	}
	for _, repo := range []string{"testdata/read/files.txtar", "testdata/read/plain.txtar"} {
		a, err := txtar.ParseFile(repo)
		if err != nil {
			t.Fatal(err)
		}
		replay(a, watch)
	}
	for _, all := range []map[string]table{nodeTables, pythonTables, nativeTables, buildTables, otherTables, systemTables} {
		for program, tab := range all {
			for i, row := range tab.rules {
				if !hit[program][i] {
					t.Errorf("%s row %d %q: no test", program, i, row.sub)
				}
			}
		}
	}
}
