package github

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// what each known action does, beyond being somebody else's code: a step, with
// its inputs, and what is said of it. Several actions stand in one row where
// the same is said of all.
func rows() [][2]string {
	return [][2]string{
		// They publish.
		{"pypa/gh-action-pypi-publish", "publish; sign attests"},
		{"pypa/gh-action-pypi-publish | attestations: false", "publish"},
		{"js-devtools/npm-publish rubygems/release-gem rubygems/configure-rubygems-credentials katyo/publish-crates rust-lang/crates-io-auth-action", "publish"},
		{"computology/packagecloud-github-action cloudsmith-io/action vedantmgoyal9/winget-releaser snapcore/action-publish", "publish"},
		{"changesets/action cycjimmy/semantic-release-action", "runs npm; publish; repository"},
		{"ahmadnassri/action-semantic-release codfish/semantic-release-action", "runs npm; publish"},
		{"goreleaser/goreleaser-action | args: release --clean", "runs go; publish"},
		{"goreleaser/goreleaser-action | args: '--clean release'", "runs go; publish"},
		{"goreleaser/goreleaser-action | args: release --snapshot", "runs go"},
		{"goreleaser/goreleaser-action | args: 'release --snapshot=${{ inputs.test }}'", "runs go; publish"},
		{"goreleaser/goreleaser-action | args: check", ""},
		{"goreleaser/goreleaser-action | install-only: true, args: release", ""},
		{"goreleaser/goreleaser-action", ""},
		// They write to the repository.
		{"softprops/action-gh-release ncipollo/release-action svenstaro/upload-release-action marvinpinto/action-automatic-releases actions/create-release actions/upload-release-asset", "repository"},
		{"release-drafter/release-drafter googleapis/release-please-action google-github-actions/release-please-action shogo82148/actions-upload-release-asset taiki-e/create-gh-release-action", "repository"},
		{"taiki-e/upload-rust-binary-action tauri-apps/tauri-action", "runs cargo; repository"},
		{"peter-evans/create-pull-request stefanzweifel/git-auto-commit-action endbug/add-and-commit ad-m/github-push-action rickstaa/action-create-tag mathieudutour/github-tag-action", "repository"},
		{"anothrnick/github-tag-action joerick/update-vX.Y-tag-action tibdex/backport", "repository"},
		// They deploy.
		{"peaceiris/actions-gh-pages jamesives/github-pages-deploy-action crazy-max/ghaction-github-pages", "deploy; repository"},
		{"actions/deploy-pages cloudflare/pages-action azure/static-web-apps-deploy nwtgck/actions-netlify firebaseextended/action-hosting-deploy", "deploy"},
		{"cloudflare/wrangler-action amondnet/vercel-action", "runs npm; deploy"},
		{"google-github-actions/deploy-cloudrun azure/webapps-deploy azure/k8s-deploy aws-actions/amazon-ecs-deploy-task-definition akhileshns/heroku-deploy", "deploy"},
		{"appleboy/ssh-action appleboy/scp-action easingthemes/ssh-deploy burnett01/rsync-deployments", "deploy"},
		// They sign, or verify.
		{"actions/attest actions/attest-build-provenance actions/attest-sbom", "sign attests"},
		{"sigstore/gh-action-sigstore-python signpath/github-action-submit-signing-request azure/trusted-signing-action azure/artifact-signing-action dlemstra/code-sign-action", "sign"},
		{"slsa-framework/slsa-verifier", "sign verifies"},
		// They run other people's code.
		{"pypa/cibuildwheel pyo3/maturin-action messense/maturin-action hynek/build-and-inspect-python-package", "runs pypi"},
		{"cypress-io/github-action andresz1/size-limit-action borales/actions-yarn", "runs npm"},
		{"bahmutov/npm-install", "runs npm; cache bahmutov/npm-install rw"},
		{"bahmutov/npm-install | useCache: false", "runs npm"},
		{"pre-commit/action pre-commit-ci/lite-action j178/prek-action", "runs git"},
		{"actions-rs/cargo actions-rust-cross/actions-rust-cross houseabsolute/actions-rust-cross clechasseur/rs-cargo", "runs cargo"},
		{"gradle/actions/setup-gradle gradle/gradle-build-action | arguments: build, cache-disabled: true", "runs maven"},
		{"gradle/actions/dependency-submission", "runs maven"},
		{"gradle/actions/wrapper-validation", ""},
		{"github/codeql-action/autobuild", "runs make"},
		{"github/codeql-action/init", ""},
		{"pnpm/setup", "runs npm"},
		{"pnpm/setup | install: false", ""},
		{"pnpm/action-setup", ""},
		{"pnpm/action-setup | run_install: true", "runs npm"},
		{"pnpm/action-setup | run_install: false", ""},
		{"ruby/setup-ruby | bundler-cache: true", "runs gem; cache ruby/setup-ruby rw"},
		// They run a command of the workflow.
		{"nick-fields/retry nick-invision/retry wandalen/wretry.action | command: npm ci", "runs npm"},
		{"codspeedhq/action coactions/setup-xvfb gabrielbb/xvfb-action | run: cargo test", "runs cargo"},
		{"reactivecircus/android-emulator-runner | script: ./gradlew test", "runs maven"},
		// They keep a cache.
		{"actions/setup-node actions/setup-go | cache: false", ""},
		{"actions/setup-node | cache: npm", "cache actions/setup-node npm rw"},
		{"actions/setup-node actions/setup-python actions/setup-java actions/setup-dotnet ruby/setup-ruby pdm-project/setup-pdm", ""},
		{"actions/setup-python | cache: pip", "cache actions/setup-python pip rw"},
		{"actions/setup-java | cache: gradle", "cache actions/setup-java gradle rw"},
		{"actions/setup-dotnet | cache: true", "cache actions/setup-dotnet rw"},
		{"pdm-project/setup-pdm | cache: true", "cache pdm-project/setup-pdm rw"},
		{"pnpm/action-setup | cache: true", "cache pnpm/action-setup rw"},
		{"pnpm/setup | cache: true, install: false", "cache pnpm/setup rw"},
		{"actions/setup-go", "cache actions/setup-go rw"},
		{"actions/setup-go@v3", ""},
		{"actions/setup-go@v3 | cache: true", "cache actions/setup-go rw"},
		{"swatinem/rust-cache", "cache swatinem/rust-cache rw"},
		{"swatinem/rust-cache | save-if: false", "cache swatinem/rust-cache r"},
		{"swatinem/rust-cache | save-if: \"${{ github.ref == 'refs/heads/main' }}\"", "cache swatinem/rust-cache rw"},
		{"gradle/actions/setup-gradle", "cache gradle/actions/setup-gradle rw"},
		{"gradle/gradle-build-action", "cache gradle/gradle-build-action rw"},
		{"gradle/gradle-build-action gradle/actions/setup-gradle | cache-disabled: true", ""},
		{"mozilla-actions/sccache-action", "cache mozilla-actions/sccache-action rw"},
		{"hendrikmuhs/ccache-action", "cache hendrikmuhs/ccache-action rw"},
		{"hendrikmuhs/ccache-action | save: false", "cache hendrikmuhs/ccache-action r"},
		{"nix-community/cache-nix-action", "cache nix-community/cache-nix-action rw"},
		{"determinatesystems/magic-nix-cache-action", "cache determinatesystems/magic-nix-cache-action rw"},
		{"jdx/mise-action", "cache jdx/mise-action rw"},
		{"jdx/mise-action | cache: false", ""},
		{"astral-sh/setup-uv@v7", "cache astral-sh/setup-uv rw"},
		{"astral-sh/setup-uv@v4", ""},
		{"astral-sh/setup-uv@v4 | enable-cache: true", "cache astral-sh/setup-uv rw"},
		{"astral-sh/setup-uv@v7 | enable-cache: false", ""},
		{"astral-sh/setup-uv@v7 | enable-cache: auto, save-cache: false", "cache astral-sh/setup-uv r"},
		{"actions/cache/restore | key: x", "cache x r"},
		{"actions/cache | key: x, lookup-only: true", "cache x w"},
		// They mint a credential.
		{"docker/login-action redhat-actions/podman-login azure/docker-login | password: x", "session publish on disk"},
		{"docker/login-action | password: '${{ github.token }}'", ""},
		{"docker/login-action | password: '${{ secrets.GITHUB_TOKEN }}'", ""},
		{"aws-actions/amazon-ecr-login", "session publish on disk"},
		{"crazy-max/ghaction-import-gpg hashicorp/ghaction-import-gpg apple-actions/import-codesign-certs", "file sign on disk"},
		{"aws-actions/configure-aws-credentials | role-to-assume: role", "session deploy as role"},
		{"google-github-actions/auth | service_account: me", "session deploy on disk as me"},
		{"azure/login | client-id: me", "session deploy on disk as me"},
		{"azure/login | client-id: '${{ secrets.AZURE_CLIENT_ID }}'", "session deploy on disk"},
		{"hashicorp/vault-action | role: reader", "session deploy as reader"},
		{"azure/k8s-set-context azure/aks-set-context google-github-actions/get-gke-credentials", "file deploy on disk"},
		{"actions/create-github-app-token tibdex/github-app-token octo-sts/action open-security-tools/ost-simple-sts peter-murray/workflow-application-token-action", "app repository"},
		{"actions/create-github-app-token | permission-contents: read", ""},
		{"actions/create-github-app-token | permission-contents: read, permission-issues: write", "app repository"},
		{"webfactory/ssh-agent shimataro/ssh-key-action", "file deploy+repository"},
		// They build images.
		{"docker/build-push-action depot/build-push-action docker/bake-action depot/bake-action", ""},
		{"docker/build-push-action | push: true", "publish"},
		{"docker/build-push-action | push: false", ""},
		{"docker/build-push-action | push: \"${{ github.event_name == 'push' }}\"", "publish"},
		{"docker/build-push-action | outputs: 'type=image,push=true'", "publish"},
		{"docker/build-push-action | outputs: 'type=registry'", "publish"},
		{"docker/build-push-action | network: host", "runs oci unsandboxed"},
		{"docker/build-push-action | allow: 'security.insecure'", "runs oci unsandboxed"},
		{"docker/build-push-action | secrets: 'A=${{ secrets.NPM_TOKEN }}'", "runs oci"},
		{"docker/build-push-action | secrets: 'A=${{ secrets.CODECOV_TOKEN }}'", ""},
		{"docker/build-push-action | secrets: 'A=${{ secrets.GITHUB_TOKEN }}'", ""},
		{"docker/build-push-action | secrets: '${{ toJSON(secrets) }}'", "runs oci"},
		{"docker/build-push-action | secret-envs: 'A=${{ secrets.THING }}'", "runs oci"},
		{"docker/build-push-action | ssh: 'default=${{ secrets.SSH_KEY }}'", "runs oci"},
		{"docker/bake-action | cache-to: 'type=gha,mode=max'", "cache buildkit w"},
		// They take a tool of no fixed version.
		{"taiki-e/install-action | tool: 'a,b@latest'", "floating"},
		{"taiki-e/install-action | tool: a@1", ""},
		{"sigstore/cosign-installer | cosign-release: latest", "floating"},
		{"astral-sh/setup-uv@v4 | version: '>=0.5'", "floating"},
		{"actions/setup-go@v3 | version: latest", ""},
		{"golangci/golangci-lint-action | version: v2.1", ""},
	}
}

// TestRows holds each known action to what it does.
func TestRows(t *testing.T) {
	for _, row := range rows() {
		actions, with, _ := strings.Cut(row[0], " | ")
		for action := range strings.FieldsSeq(actions) {
			uses := action
			if !strings.Contains(uses, "@") {
				uses += "@v99"
			}
			d, err := Read(files("on: push\njobs: {a: {steps: [{uses: "+uses+", with: {"+with+"}}]}}"), "w.yml", Options{})
			if err != nil {
				t.Fatal(row[0], err)
			}
			if got := said(d.Jobs[0]); got != row[1] {
				t.Errorf("%s\n\tis said to do %q, not %q", row[0], got, row[1])
			}
		}
	}
}

// said is what the one step of a job does, and what it mints.
func said(j ci.Job) string {
	var all []string
	for _, e := range j.Steps[0].Events {
		switch {
		case e.Floating:
			all = append(all, "floating")
		case e.Tier == ci.Executes:
			all = append(all, strings.TrimSpace("runs "+e.Ecosystem+suffix(e.Unsandboxed, " unsandboxed")))
		}
	}
	var acts []string
	for _, a := range j.Steps[0].Acts {
		acts = append(acts, string(a.Class)+suffix(a.Attests, " attests")+suffix(a.Verifies, " verifies"))
	}
	slices.Sort(acts)
	all = append(all, acts...)
	for _, c := range j.Credentials {
		if c.Kind == ci.Secret {
			continue
		}
		var classes []string
		for _, k := range c.Classes {
			classes = append(classes, string(k))
		}
		all = append(all, fmt.Sprintf("%s %s%s%s", c.Kind, strings.Join(classes, "+"), suffix(c.OnDisk, " on disk"), suffix(c.Subject != "", " as "+c.Subject)))
	}
	for _, s := range j.Steps[0].Stores {
		all = append(all, fmt.Sprintf("%s %s %s%s", s.Kind, s.Name, suffix(s.Reads, "r"), suffix(s.Writes, "w")))
	}
	return strings.Join(all, "; ")
}

func suffix(ok bool, s string) string {
	if ok {
		return s
	}
	return ""
}

// TestRowsAreComplete: an action of the tables that no row names is one that no
// test holds.
func TestRowsAreComplete(t *testing.T) {
	var tested []string
	for _, row := range rows() {
		actions, _, _ := strings.Cut(strings.ToLower(row[0]), " | ")
		for a := range strings.FieldsSeq(actions) {
			name, _, _ := strings.Cut(a, "@")
			tested = append(tested, name)
		}
	}
	check := func(actions ...string) {
		for _, a := range actions {
			if !slices.Contains(tested, a) {
				t.Errorf("%s has no row", a)
			}
			if a != strings.ToLower(a) {
				t.Errorf("%s is not in lower case", a)
			}
		}
	}
	for _, d := range doers() {
		check(d.actions...)
	}
	for _, m := range minters() {
		check(m.actions...)
	}
	for _, r := range runners() {
		check(r.action)
	}
	for _, k := range keepers() {
		check(k.action)
	}
}

// TestMajor reads the version of an action by its tag, or by the comment behind
// its commit.
func TestMajor(t *testing.T) {
	const commit = "11bd71901bbe5b1630ceea73d27597364c9af683"
	for line, cached := range map[string]bool{
		"astral-sh/setup-uv@v6":                            true,
		"astral-sh/setup-uv@v4.2.1":                        false,
		"astral-sh/setup-uv@main":                          true,
		"astral-sh/setup-uv@" + commit:                     true,
		"astral-sh/setup-uv@" + commit + " # v4.1.0":       false,
		"astral-sh/setup-uv@" + commit + " # v5":           true,
		"'astral-sh/setup-uv@" + commit + "' # 3.0":        false,
		"astral-sh/setup-uv@" + commit + " # nothing told": true,
		"astral-sh/setup-uv@99999999999999999999":          true,
	} {
		d, err := Read(files("on: push\njobs:\n  a:\n    steps:\n      - uses: "+line+"\n"), "w.yml", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(d.Jobs[0].Steps[0].Stores) == 1; got != cached {
			t.Errorf("%s: cached %v", line, got)
		}
	}
}
