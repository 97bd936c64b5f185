package script

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// actLines are commands, and what they use a credential for: P publish, S sign, D
// deploy, R repository, +a where they attest, V where they verify; then what
// they act on.
const actLines = `
npm publish => P
npm publish x.tgz --access public => P x.tgz
npm dist-tag add x@1.0.0 latest => P x@1.0.0
npm owner add x => P
npm audit signatures => V
pnpm publish -r --no-git-checks => P
pnpm recursive publish => P
pnpm changeset publish => P
pnpm stage => P
pnpm dist-tag add x@1.0.0 next => P x@1.0.0
yarn publish => P
yarn npm publish => P
yarn workspaces foreach --all npm publish => P
yarn changeset publish => P
bun publish => P
deno publish => P
npx jsr publish => P
lerna publish from-package => P
lerna version => R
nx release => P
changeset publish => P
npx @changesets/cli publish => P
npx semantic-release => P, R
npx semantic-release@24 --dry-run => -
npx release-it => P, R
npx np => P
npx vsce publish => P
npx ovsx publish => P
electron-builder --publish always => P
electron-forge publish => P
twine upload --repository-url https://pypi.example dist/x => P https://pypi.example
python -m twine upload dist/x => P
uvx twine upload dist/x => P
uv publish => P
python setup.py sdist upload => P
poetry publish => P
flit publish => P
hatch publish => P
pdm publish => P
maturin upload x => P
anaconda upload x => P
cargo publish => P
cargo publish --dry-run => -
cargo release => P
cargo workspaces publish => P
cargo yank => P
release-plz release => P
release-plz release-pr => R
cargo-release x => P
wasm-pack publish => P
gem push x.gem => P x.gem
rake release => P
rake release:rubygem_push => P
bundle exec rake release => P
pod trunk push x.podspec => P
mix hex.publish => P
dart pub publish -f => P
flutter pub publish => P
cabal upload x => P
mvn deploy => P
mvn clean deploy -DskipTests => P
mvn -B clean verify deploy => P
mvn release:perform => P
mvn gpg:sign => S
./gradlew publishToMavenCentral => P
./gradlew build publish => P
./gradlew :lib:publish => P
./gradlew signArchives => S
./gradlew publishToMavenLocal => -
sbt ci-release => P
jreleaser full-release => P
dotnet nuget push x.nupkg => P x.nupkg
dotnet nuget sign x => S
dotnet sign x => S
nuget push x.nupkg => P x.nupkg
nuget sign x => S
goreleaser release --clean => P
goreleaser release --snapshot => -
goreleaser release --skip=publish => -
goreleaser publish => P
snapcraft upload x.snap => P x.snap
charmcraft upload x => P
Publish-Module x => P
Publish-PSResource x => P
luarocks upload x => P
jfrog rt u a b => P
jf rt upload a => P
cloudsmith push deb x => P
package_cloud push x => P
fastlane deliver => P
fastlane ios beta => P
fastlane match => S
docker push ghcr.io/a/b:1 => P ghcr.io/a/b:1
docker image push a/b => P a/b
docker compose push => P
docker buildx build --push -t a/b . => P a/b
docker build --push -t a/b . => P a/b
docker manifest push a/b => P a/b
docker buildx imagetools create -t a/b x => P a/b
docker trust sign a/b => S a/b
podman push a/b => P a/b
buildah push x docker://a/b => P docker://a/b
buildah manifest push x y => P y
crane push x.tar a/b => P a/b
crane copy a/b c/d => P c/d
regctl image copy a b => P b
oras push a/b x => P a/b
skopeo copy docker://a docker://b => P docker://b
ko build ./cmd/x => P
ko build --local ./cmd/x => -
jib build => P
/kaniko/executor --destination a/b => P
imgpkg push x => P
helm push x.tgz oci://a/b => P oci://a/b
helm upgrade --install web ./chart => D web
helm package --sign x => S
cr upload => P
flux push artifact x => P
flux reconcile x => D
cosign sign --yes $IMAGE => S $IMAGE
cosign sign-blob --key env://K x.tgz => S x.tgz
cosign attest --predicate p a/b => S+a a/b
cosign verify --key k a/b => V
cosign attach sbom a/b => P
gitsign x => S
gpg --batch --detach-sign --armor x => S x
gpg --verify x.sig => V
gpg2 -b x => S x
gpg2 --verify x.sig => V
codesign --sign "$ID" x.app => S x.app
codesign --verify x.app => -
productsign --sign x a.pkg b.pkg => S b.pkg
xcrun notarytool submit x.zip => S
rcodesign sign x => S
gon x => S
quill sign-and-notarize x => S
osslsigncode sign x => S
signtool sign /f x => S
AzureSignTool sign x => S
azuresigntool sign x => S
jarsigner x.jar k => S
jarsigner -verify x.jar => V
apksigner sign x => S
apksigner verify x => V
minisign -Sm x => S
minisign -Vm x => V
signify -S x => S
signify -V x => V
rpmsign --addsign x => S
rpm --addsign x => S
debsign x => S
dpkg-sig --sign builder x => S
notation sign a/b => S
notation verify a/b => V
witness run -- make => S+a
in-toto-run -n x -- make => S+a
slsa-verifier verify-artifact x => V
sha256sum -c x => V
sha512sum -c x => V
shasum -a 256 -c x => V
Sign-File x => S
Set-AuthenticodeSignature x => S
gh attestation verify x => V
git verify-tag v1 => V
aws s3 sync dist s3://b/p => D s3://b/p
aws s3 ls s3://b => -
aws cloudformation deploy => D
aws ecs update-service => D
aws s3api put-object => D
aws kms sign => S
aws signer start-signing-job => S
aws ecr put-image => P
gcloud run deploy web => D
gcloud storage cp x gs://b => D gs://b
gcloud artifacts docker images delete x => P
gcloud kms asymmetric-sign => S
gsutil cp x gs://b => D gs://b
gsutil -m rsync x gs://b => D gs://b
az webapp deploy => D
az acr build . => P
az artifacts universal publish => P
azcopy copy a b => D
kubectl apply -f x => D
kubectl get pods => -
oc apply -f x => D
helmfile apply => D
argocd app sync x => D
kapp deploy -a x => D
terraform apply => D
tofu apply => D
terragrunt apply => D
pulumi up => D
cdk deploy => D
npx cdk deploy => D
cdktf deploy => D
sam deploy => D
eb deploy => D
copilot deploy => D
copilot svc deploy => D
cf push app => D app
serverless deploy => D
sls deploy => D
sst deploy => D
vercel deploy => D
vercel --prod => D
netlify deploy --prod => D
wrangler deploy => D
npx wrangler pages deploy dist => D
firebase deploy => D
flyctl deploy => D
heroku container:push web => D
railway up => D
doctl apps update x => D
surge dist => D
npx gh-pages -d dist => R
ansible-playbook site.yml => D site.yml
ansible all -m ping => D
nomad job run => D
cap production deploy => D
kamal deploy => D
ssh -i k -p 22 u@h.example ls => D u@h.example
sftp u@h.example => D u@h.example
lftp -e x h => D
scp -r dist u@h.example:/srv => D u@h.example
rsync -avz dist/ u@h.example:/srv => D u@h.example
rsync -a a/ b/ => -
scp a b => -
rclone sync dist r:b => D r:b
s3cmd put x s3://b => D s3://b
mc cp x a/b => D a/b
butler push x y => P
git push origin main => R origin
git push --dry-run => -
git tag -s v1 => S
git commit -S -m x => S
hub release create v1 => P
hub pull-request => R
glab release create v1 => P
glab mr create => R
release-cli create => P
gh release create v1 x => P v1
gh release upload v1 x --clobber => P v1
gh release view v1 => -
gh pr create --fill => R
gh workflow run x => R
gh repo edit => R
gh secret set X => R
gh cache delete x => R
gh api -X POST repos/a/b/dispatches => R repos/a/b/dispatches
gh api repos/a/b => -
gh api repos/a/b/issues -f title=x => R repos/a/b/issues
sudo docker push a/b => P a/b
docker run -v $PWD:/w img npm publish => P
`

var letters = map[string]ci.Class{"P": ci.Publish, "S": ci.Sign, "D": ci.Deploy, "R": ci.Repository, "V": ""}

func TestActs(t *testing.T) {
	for _, line := range strings.Split(strings.TrimSpace(actLines), "\n") {
		command, want, _ := strings.Cut(line, " => ")
		r := &Reader{}
		var got []string
		for _, a := range r.Read(Source{Text: command}).Acts {
			s := ""
			for letter, class := range letters {
				if a.Class == class {
					s = letter
				}
			}
			if a.Attests {
				s += "+a"
			}
			if a.Verifies != (a.Class == "") {
				t.Errorf("%s: an act that verifies has no class", command)
			}
			if a.Object != "" {
				s += " " + a.Object
			}
			got = append(got, s)
		}
		if len(got) == 0 {
			got = []string{"-"}
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("%s\n got %s\nwant %s", command, got, want)
		}
	}
}

// TestEveryRowOfActs refuses a row of acts that no command of the tests is about.
func TestEveryRowOfActs(t *testing.T) {
	hit := map[string]map[int]bool{}
	r := &Reader{watchAct: func(program string, row int) {
		if hit[program] == nil {
			hit[program] = map[int]bool{}
		}
		hit[program][row] = true
	}}
	for _, line := range strings.Split(strings.TrimSpace(actLines), "\n") {
		command, _, _ := strings.Cut(line, " => ")
		r.Read(Source{Text: command})
	}
	for program, rows := range uses {
		for i, row := range rows {
			if !hit[program][i] {
				t.Errorf("%s row %d %q: no test", program, i, row.sub)
			}
		}
	}
}

// minted are commands, and the credentials that they mint or write: a name, a
// kind, the classes, D where it is left on disk, L where it is long-lived.
const minted = `
echo $P | docker login ghcr.io -u x --password-stdin => registry login session publish D ghcr.io
podman login quay.example => registry login session publish D quay.example
crane auth login ghcr.io => registry login session publish D ghcr.io
helm registry login ghcr.io => registry login session publish D ghcr.io
npm config set //registry.example/:_authToken $T => .npmrc file publish DL
npm config set registry https://registry.example => -
yarn config set npmAuthToken $T => .npmrc file publish DL
echo "//registry.example/:_authToken=$T" > ~/.npmrc => .npmrc file publish DL
echo "//registry.example/:_authToken=$T" | tee -a .npmrc => .npmrc file publish DL
echo "registry=https://registry.example" > .npmrc => -
npm login => npm login file publish DL
yarn npm login => npm login file publish DL
cargo login $T => cargo login file publish DL
aws sts assume-role-with-web-identity --role-arn arn:x => aws sts session deploy arn:x
aws configure set aws_access_key_id $K => aws configure file deploy DL
aws sso login => aws sso session deploy D
aws eks update-kubeconfig --name x => kubeconfig file deploy D
aws codeartifact login --tool pip => codeartifact session publish D
gcloud auth activate-service-account --key-file k.json => gcloud auth session deploy D
gcloud auth configure-docker => registry login session publish D
gcloud container clusters get-credentials x => kubeconfig file deploy D
gcloud auth print-access-token => gcloud auth session deploy
az login --service-principal => az login session deploy D
az acr login -n x => registry login session publish D
az aks get-credentials -n x => kubeconfig file deploy D
echo "$K" | gpg --batch --import => gpg key file sign DL
gpg2 --import k => gpg key file sign DL
security import c.p12 -k x => keychain file sign DL
Import-PfxCertificate x => certificate store file sign DL
certutil -importpfx x => certificate store file sign DL
ssh-add - <<< "$KEY" => ssh key file deploy+repository DL
ssh-add -l => -
sshpass -p $P ssh h => ssh password session deploy L
echo $T | gh auth login --with-token => gh auth session repository D
glab auth login => glab auth session repository D
vault login -method=jwt => vault session deploy D
vault read secret/x => vault session deploy
vault kv get secret/x => vault session deploy
op read op://x => 1password session unsorted
dotnet nuget add source x --password $T => nuget source file publish DL
nuget setapikey $T => nuget key file publish DL
poetry config pypi-token.pypi $T => poetry token file publish DL
snapcraft login => snapcraft login session publish D
kubectl config set-credentials x => kubeconfig file deploy D
oc login --token $T => kubeconfig file deploy D
heroku container:login => heroku login session deploy D
firebase login:ci => firebase login session deploy D
xcrun notarytool store-credentials x => notarytool profile file sign DL
git config --global credential.helper store => git credential file repository D
git config http.https://git.example/.extraheader "Authorization: $T" => git credential file repository D
git config --unset credential.helper => -
git remote set-url origin https://x-access-token:${TOKEN}@git.example/a/b => git remote file repository D
git remote set-url origin https://x:${{ secrets.PAT }}@git.example/a/b => git remote file repository D
git push https://$GH_TOKEN@git.example/a/b => git remote file repository
git remote set-url origin https://git.example/a/b => -
git config url."https://x:$T@git.example".insteadOf https://git.example => git credential file repository D
echo "$C" | base64 -d > cert.p12 => cert.p12 file sign DL
echo "$C" | base64 -d > app/release.jks => release.jks file sign DL
base64 -d -o k.keystore x => k.keystore file sign DL
openssl aes-256-cbc -d -in x.enc -out k.pfx => k.pfx file sign DL
echo "$SSH_KEY" > ~/.ssh/id_rsa => id_rsa file deploy+repository DL
cat x > ~/.ssh/id_rsa.pub => -
echo "$KUBE" > kubeconfig => kubeconfig file deploy DL
echo "$K" | base64 -d > $HOME/.kube/config => config file deploy DL
echo "$PRIVATE_KEY" > app.pem => app.pem file sign+deploy DL
echo "$GCP_SERVICE_KEY" > gcp-key.json => gcp-key.json file deploy DL
echo "$COSIGN_PRIVATE_KEY" > cosign.key => cosign.key file sign DL
echo "$K" | base64 -d > public.key.pub => -
echo "password = $T" > ~/.pypirc => .pypirc file publish DL
echo "machine x login $T" > ~/.netrc => .netrc file repository DL
echo ":rubygems_api_key: $T" > ~/.gem/credentials => credentials file publish DL
echo "$X" > ~/.aws/credentials => credentials file deploy DL
echo "{auths: $X}" > ~/.docker/config.json => config.json file publish DL
echo "{}" > config.json => -
cargo build > build.log => -
`

func TestCredentials(t *testing.T) {
	for _, line := range strings.Split(strings.TrimSpace(minted), "\n") {
		command, want, _ := strings.Cut(line, " => ")
		r := &Reader{}
		var got []string
		for _, c := range r.Read(Source{Text: command}).Credentials {
			var classes []string
			for _, class := range c.Classes {
				classes = append(classes, string(class))
			}
			s := c.Name + " " + string(c.Kind) + " " + strings.Join(classes, "+") + " "
			if c.OnDisk {
				s += "D"
			}
			if c.LongLived {
				s += "L"
			}
			got = append(got, strings.TrimSpace(strings.TrimSpace(s)+" "+c.Subject))
			if c.Scope != ci.MintedAt || c.Step != 0 || c.Enters == "" {
				t.Errorf("%s: scope %q, step %d, enters %q", command, c.Scope, c.Step, c.Enters)
			}
		}
		if len(got) == 0 {
			got = []string{"-"}
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("%s\n got %s\nwant %s", command, got, want)
		}
	}
}
