package script

import (
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
)

// use is one row of the table of acts: commands, and what they use a credential
// for. All rows that match a command count once per class.
type use struct {
	sub string
	// any are operands of which one must be there, wherever it stands.
	any        string
	with, sans string
	class      ci.Class
	attests    bool
	verifies   bool
	object     objectPlace
}

// objectPlace says where a command names what it acts on.
type objectPlace uint8

const (
	untold objectPlace = iota
	first              // the first operand after the subcommands
	last               // the last operand
	host               // the host of an address such as user@host:path
	bucket             // the operand with ://
	tagged             // -t or --tag
	repo               // --repo or -R
)

// uses are the commands that use a credential, or verify something.
var uses = map[string][]use{
	"npm":              {{sub: "publish|unpublish|deprecate|stage", class: ci.Publish, object: first}, {sub: "dist-tag|dist-tags add|rm", class: ci.Publish, object: first}, {sub: "owner|access add|rm|grant|set", class: ci.Publish}, {sub: "audit signatures", verifies: true}},
	"pnpm":             {{sub: "publish", class: ci.Publish, object: first}, {sub: "-r|recursive publish", class: ci.Publish}, {sub: "stage|unpublish|deprecate", class: ci.Publish}, {sub: "dist-tag|dist-tags add|rm", class: ci.Publish, object: first}},
	"yarn":             {{sub: "publish", class: ci.Publish}, {sub: "npm publish|tag", class: ci.Publish}, {sub: "workspaces foreach", with: "publish", class: ci.Publish}},
	"bun":              {{sub: "publish", class: ci.Publish}},
	"deno":             {{sub: "publish|deploy", class: ci.Publish}},
	"jsr":              {{sub: "publish", class: ci.Publish}},
	"lerna":            {{sub: "publish", class: ci.Publish}, {sub: "version", sans: "--no-push", class: ci.Repository}},
	"nx":               {{sub: "release", sans: "--skip-publish --dry-run -d", class: ci.Publish}},
	"changeset":        {{sub: "publish", class: ci.Publish}},
	"cli":              {{sub: "publish", class: ci.Publish}}, // @changesets/cli
	"semantic-release": {{sans: "--dry-run -d", class: ci.Publish}, {sans: "--dry-run -d", class: ci.Repository}},
	"release-it":       {{sans: "--dry-run", class: ci.Publish}, {sans: "--dry-run", class: ci.Repository}},
	"np":               {{class: ci.Publish}},
	"vsce":             {{sub: "publish", class: ci.Publish}},
	"ovsx":             {{sub: "publish", class: ci.Publish}},
	"electron-builder": {{with: "--publish -p", class: ci.Publish}},
	"electron-forge":   {{sub: "publish", class: ci.Publish}},

	"twine":    {{sub: "upload", class: ci.Publish, object: repo}},
	"uv":       {{sub: "publish", class: ci.Publish}},
	"poetry":   {{sub: "publish", sans: "--dry-run", class: ci.Publish}},
	"flit":     {{sub: "publish", class: ci.Publish}},
	"hatch":    {{sub: "publish", class: ci.Publish}},
	"pdm":      {{sub: "publish", class: ci.Publish}},
	"maturin":  {{sub: "publish|upload", class: ci.Publish}},
	"anaconda": {{sub: "upload", class: ci.Publish}},

	"cargo":              {{sub: "publish", sans: "--dry-run", class: ci.Publish}, {sub: "release", sans: "--no-publish --dry-run", class: ci.Publish}, {sub: "workspaces publish", class: ci.Publish}, {sub: "yank", class: ci.Publish}},
	"release-plz":        {{sub: "release", class: ci.Publish}, {sub: "release-pr", class: ci.Repository}},
	"cargo-release":      {{class: ci.Publish}},
	"wasm-pack":          {{sub: "publish", class: ci.Publish}},
	"gem":                {{sub: "push|yank", class: ci.Publish, object: first}},
	"rake":               {{sub: "release", class: ci.Publish}, {sub: "release:*", class: ci.Publish}},
	"pod":                {{sub: "trunk push", class: ci.Publish}},
	"mix":                {{sub: "hex.publish", class: ci.Publish}},
	"dart":               {{sub: "pub publish", sans: "--dry-run -n", class: ci.Publish}},
	"flutter":            {{sub: "pub publish", sans: "--dry-run -n", class: ci.Publish}},
	"cabal":              {{sub: "upload", class: ci.Publish}},
	"mvn":                {{any: "deploy|release:perform|jgitflow:*", class: ci.Publish}, {any: "gpg:*", class: ci.Sign}},
	"gradle":             {{any: "publish*|upload*|closeAndRelease*", class: ci.Publish}, {any: "sign*", class: ci.Sign}},
	"sbt":                {{sub: "publish*|ci-release|+publish*|release*", class: ci.Publish}},
	"jreleaser":          {{sub: "full-release|release|deploy|upload|publish", class: ci.Publish}},
	"dotnet":             {{sub: "nuget push|delete", class: ci.Publish, object: first}, {sub: "nuget sign", class: ci.Sign}, {sub: "sign", class: ci.Sign}},
	"nuget":              {{sub: "push", class: ci.Publish, object: first}, {sub: "sign", class: ci.Sign}},
	"goreleaser":         {{sub: "release", sans: "--snapshot --skip-publish --skip=publish --skip=publish,sign", class: ci.Publish}, {sub: "publish|announce|continue", class: ci.Publish}},
	"snapcraft":          {{sub: "upload|push|release|upload-metadata", class: ci.Publish, object: first}},
	"charmcraft":         {{sub: "upload|release", class: ci.Publish}},
	"Publish-Module":     {{class: ci.Publish}},
	"Publish-PSResource": {{class: ci.Publish}},
	"luarocks":           {{sub: "upload", class: ci.Publish}},
	"jfrog":              {{sub: "rt", class: ci.Publish}},
	"jf":                 {{sub: "rt|docker u|upload|push|bp", class: ci.Publish}},
	"cloudsmith":         {{sub: "push", class: ci.Publish}},
	"package_cloud":      {{sub: "push", class: ci.Publish}},
	"fastlane":           {{any: "deliver|pilot|supply|upload*|release|beta|deploy", class: ci.Publish}, {any: "match|sigh|cert", class: ci.Sign}},

	"docker":   {{sub: "push", class: ci.Publish, object: first}, {sub: "image push", class: ci.Publish, object: first}, {sub: "compose push", class: ci.Publish}, {sub: "buildx build|bake|b", with: "--push", class: ci.Publish, object: tagged}, {sub: "build", with: "--push", class: ci.Publish, object: tagged}, {sub: "manifest push", class: ci.Publish, object: last}, {sub: "buildx imagetools create", class: ci.Publish, object: tagged}, {sub: "trust sign", class: ci.Sign, object: first}},
	"buildah":  {{sub: "push", class: ci.Publish, object: last}, {sub: "manifest push", class: ci.Publish, object: last}},
	"crane":    {{sub: "push", class: ci.Publish, object: last}, {sub: "copy|cp|tag|append|mutate|index", class: ci.Publish, object: last}},
	"regctl":   {{sub: "image|index|artifact copy|put|mod|create", class: ci.Publish, object: last}},
	"oras":     {{sub: "push|copy|cp|tag|attach", class: ci.Publish, object: first}},
	"skopeo":   {{sub: "copy|sync", class: ci.Publish, object: last}},
	"ko":       {{sub: "build|publish|resolve|apply", sans: "--local -L --push=false", class: ci.Publish}},
	"jib":      {{sub: "build", class: ci.Publish}},
	"executor": {{with: "--destination -d", sans: "--no-push", class: ci.Publish}},
	"imgpkg":   {{sub: "push|copy", class: ci.Publish}},
	"helm":     {{sub: "push|cm-push", class: ci.Publish, object: last}, {sub: "upgrade|install|uninstall|rollback", class: ci.Deploy, object: first}, {sub: "package", with: "--sign", class: ci.Sign}},
	"cr":       {{sub: "upload|index", class: ci.Publish}},
	"flux":     {{sub: "push", class: ci.Publish}, {sub: "bootstrap|reconcile", class: ci.Deploy}},

	"cosign":                    {{sub: "sign|sign-blob", class: ci.Sign, object: last}, {sub: "attest|attest-blob", class: ci.Sign, attests: true, object: last}, {sub: "verify|verify-blob|verify-attestation|verify-blob-attestation", verifies: true}, {sub: "attach|copy|upload", class: ci.Publish}},
	"gitsign":                   {{class: ci.Sign}},
	"gpg":                       {{with: "--sign --detach-sign --clearsign --clear-sign -b -s -sb -ab -abs --sign-key", class: ci.Sign, object: last}, {with: "--verify", verifies: true}},
	"gpg2":                      {{with: "--sign --detach-sign --clearsign --clear-sign -b -s -sb -ab", class: ci.Sign, object: last}, {with: "--verify", verifies: true}},
	"codesign":                  {{with: "-s --sign -fs", sans: "--verify -v", class: ci.Sign, object: last}},
	"productsign":               {{class: ci.Sign, object: last}},
	"xcrun":                     {{sub: "notarytool|altool|stapler", class: ci.Sign}},
	"rcodesign":                 {{sub: "sign|notary-submit|notarize", class: ci.Sign}},
	"gon":                       {{class: ci.Sign}},
	"quill":                     {{sub: "sign-and-notarize|sign|notarize", class: ci.Sign}},
	"osslsigncode":              {{sub: "sign", class: ci.Sign}},
	"signtool":                  {{sub: "sign", class: ci.Sign}},
	"azuresigntool":             {{sub: "sign", class: ci.Sign}},
	"AzureSignTool":             {{sub: "sign", class: ci.Sign}},
	"jarsigner":                 {{sans: "-verify", class: ci.Sign}, {with: "-verify", verifies: true}},
	"apksigner":                 {{sub: "sign", class: ci.Sign}, {sub: "verify", verifies: true}},
	"minisign":                  {{with: "-S -Sm", class: ci.Sign}, {with: "-V -Vm", verifies: true}},
	"signify":                   {{with: "-S", class: ci.Sign}, {with: "-V", verifies: true}},
	"rpmsign":                   {{with: "--addsign --resign", class: ci.Sign}},
	"rpm":                       {{with: "--addsign --resign", class: ci.Sign}},
	"debsign":                   {{class: ci.Sign}},
	"dpkg-sig":                  {{with: "--sign -s", class: ci.Sign}},
	"notation":                  {{sub: "sign", class: ci.Sign}, {sub: "verify", verifies: true}},
	"witness":                   {{sub: "run|sign", class: ci.Sign, attests: true}},
	"in-toto-run":               {{class: ci.Sign, attests: true}},
	"slsa-verifier":             {{sub: "verify-*", verifies: true}},
	"sha256sum":                 {{with: "-c --check", verifies: true}},
	"sha512sum":                 {{with: "-c --check", verifies: true}},
	"shasum":                    {{with: "-c --check", verifies: true}},
	"Sign-File":                 {{class: ci.Sign}},
	"Set-AuthenticodeSignature": {{class: ci.Sign}},

	"aws":              {{sub: "s3 cp|sync|mv|rm", class: ci.Deploy, object: bucket}, {sub: "cloudformation deploy|create-stack|update-stack|execute-change-set", class: ci.Deploy}, {sub: "ecs|lambda|eks|elasticbeanstalk|codedeploy|cloudfront|apprunner|amplify|ssm|ec2|autoscaling update*|create*|deploy*|publish*|put*|invoke|send*|register*|start*|delete*", class: ci.Deploy}, {sub: "s3api put*|copy*|delete*", class: ci.Deploy}, {sub: "kms sign", class: ci.Sign}, {sub: "signer *", class: ci.Sign}, {sub: "codeartifact|ecr|ecr-public put*|delete*|batch-delete*", class: ci.Publish}},
	"gcloud":           {{sub: "run|functions|app|compute|container|deploy|builds|beta|alpha deploy|services|submit|instances|clusters|releases|run|jobs", class: ci.Deploy}, {sub: "storage cp|rsync|mv|rm", class: ci.Deploy, object: bucket}, {sub: "artifacts", class: ci.Publish}, {sub: "kms", class: ci.Sign}},
	"gsutil":           {{sub: "cp|rsync|mv|rm", class: ci.Deploy, object: bucket}, {with: "-m", class: ci.Deploy, object: bucket}},
	"az":               {{sub: "webapp|functionapp|deployment|containerapp|aks|storage|group|container|vm|staticwebapp|bicep|ml *", class: ci.Deploy}, {sub: "acr build|import", class: ci.Publish}, {sub: "artifacts", class: ci.Publish}},
	"azcopy":           {{sub: "copy|cp|sync", class: ci.Deploy}},
	"kubectl":          {{sub: "apply|create|replace|set|rollout|delete|patch|scale|run|annotate|label", class: ci.Deploy}},
	"oc":               {{sub: "apply|create|replace|set|rollout|delete|patch|scale", class: ci.Deploy}},
	"kustomize":        {},
	"helmfile":         {{sub: "apply|sync|destroy", class: ci.Deploy}},
	"argocd":           {{sub: "app sync|set|create", class: ci.Deploy}},
	"kapp":             {{sub: "deploy", class: ci.Deploy}},
	"terraform":        {{sub: "apply|destroy|import", class: ci.Deploy}},
	"terragrunt":       {{sub: "apply|destroy|run-all", class: ci.Deploy}},
	"pulumi":           {{sub: "up|update|destroy", class: ci.Deploy}},
	"cdk":              {{sub: "deploy|destroy|bootstrap", class: ci.Deploy}},
	"cdktf":            {{sub: "deploy|destroy", class: ci.Deploy}},
	"sam":              {{sub: "deploy|publish|sync", class: ci.Deploy}},
	"eb":               {{sub: "deploy", class: ci.Deploy}},
	"copilot":          {{sub: "deploy", class: ci.Deploy}, {sub: "svc|job|env deploy", class: ci.Deploy}},
	"cf":               {{sub: "push", class: ci.Deploy, object: first}},
	"serverless":       {{sub: "deploy|remove", class: ci.Deploy}},
	"sls":              {{sub: "deploy|remove", class: ci.Deploy}},
	"sst":              {{sub: "deploy|remove", class: ci.Deploy}},
	"vercel":           {{sub: "deploy|promote", class: ci.Deploy}, {with: "--prod --token", class: ci.Deploy}},
	"netlify":          {{sub: "deploy", class: ci.Deploy}},
	"wrangler":         {{sub: "deploy|publish|versions", class: ci.Deploy}, {sub: "pages deploy|publish", class: ci.Deploy}},
	"firebase":         {{sub: "deploy|hosting:*|appdistribution:*", class: ci.Deploy}},
	"fly":              {{sub: "deploy", class: ci.Deploy}},
	"heroku":           {{sub: "container:push|container:release|builds:create|deploy:*", class: ci.Deploy}},
	"railway":          {{sub: "up", class: ci.Deploy}},
	"doctl":            {{sub: "apps|kubernetes|compute *", class: ci.Deploy}},
	"surge":            {{class: ci.Deploy}},
	"gh-pages":         {{class: ci.Repository}},
	"ansible-playbook": {{class: ci.Deploy, object: first}},
	"ansible":          {{class: ci.Deploy}},
	"nomad":            {{sub: "job|run *", class: ci.Deploy}},
	"cap":              {{sub: "* deploy*", class: ci.Deploy}},
	"kamal":            {{sub: "deploy|redeploy|rollback", class: ci.Deploy}},
	"ssh":              {{class: ci.Deploy, object: host}},
	"sftp":             {{class: ci.Deploy, object: host}},
	"lftp":             {{class: ci.Deploy}},
	"scp":              {{class: ci.Deploy, object: host}},
	"rsync":            {{class: ci.Deploy, object: host}},
	"rclone":           {{sub: "copy|sync|move|copyto", class: ci.Deploy, object: last}},
	"s3cmd":            {{sub: "put|sync|cp", class: ci.Deploy, object: bucket}},
	"mc":               {{sub: "cp|mirror|put", class: ci.Deploy, object: last}},
	"butler":           {{sub: "push", class: ci.Publish}},

	"git":              {{sub: "push", sans: "--dry-run -n", class: ci.Repository, object: first}, {sub: "tag", with: "-s --sign", class: ci.Sign}, {sub: "commit", with: "-S --gpg-sign", class: ci.Sign}, {sub: "verify-tag|verify-commit", verifies: true}},
	"hub":              {{sub: "release create|edit", class: ci.Publish}, {sub: "pull-request|push", class: ci.Repository}},
	"glab":             {{sub: "release create|upload", class: ci.Publish}, {sub: "mr create|merge|approve", class: ci.Repository}},
	"release-cli":      {{sub: "create", class: ci.Publish}},
	"gh":               {{sub: "release create|upload|edit|delete", class: ci.Publish, object: first}, {sub: "pr create|merge|edit|review|close", class: ci.Repository}, {sub: "attestation|at verify", verifies: true}, {sub: "workflow run", class: ci.Repository}, {sub: "repo edit|sync|delete|deploy-key", class: ci.Repository}, {sub: "secret|variable set|delete", class: ci.Repository}, {sub: "cache delete", class: ci.Repository}},
	"standard-version": {},
}

// acts says what a command uses a credential for.
func (w *walk) acts(c *call, operands []int) {
	for i := range uses[c.name] {
		u := &uses[c.name][i]
		n := c.matches(u.sub, operands)
		if n < 0 || u.any != "" && !c.asks(u.any, operands) || u.with != "" && !c.marked(u.with) || u.sans != "" && c.has(u.sans) {
			continue
		}
		if oneOf(c.name, "scp|rsync|sftp") && hostOf(c) == "" {
			continue
		}
		if w.r.watchAct != nil {
			w.r.watchAct(c.name, i)
		}
		w.act(c, ci.Act{Class: u.class, Attests: u.attests, Verifies: u.verifies, Object: u.object.of(c, n)})
	}
	if c.name == "gh" && c.operand(0) == "api" && writes(c) {
		w.act(c, ci.Act{Class: ci.Repository, Object: c.operand(1)})
	}
	if (c.name == "goreleaser") && c.operand(0) == "release" && !c.has("--snapshot --skip-publish") && !strings.Contains(c.value("--skip"), "sign") {
		w.signs(c)
	}
}

// asks tells whether one of the operands is one of those of a pattern: a goal of
// maven, a task of gradle by its last name.
func (c *call) asks(list string, operands []int) bool {
	for _, i := range operands {
		s := c.args[i].text
		if c.name == "gradle" {
			s = s[strings.LastIndexByte(s, ':')+1:]
		}
		if s != "publishToMavenLocal" && alike(s, list) {
			return true
		}
	}
	return false
}

// marked is has, but takes words that are no flags, too.
func (c *call) marked(words string) bool {
	if c.has(words) {
		return true
	}
	if words[0] == '-' {
		return false
	}
	for _, a := range c.args {
		if strings.Contains(a.text, words) {
			return true
		}
	}
	return false
}

// signs says that goreleaser signs, where its configuration has signs.
func (w *walk) signs(c *call) {
	for _, d := range w.goreleaser(c) {
		for _, key := range []string{"signs", "docker_signs", "binary_signs", "notarize"} {
			if d.Get(key).Exists() {
				w.act(c, ci.Act{Class: ci.Sign, Object: key + " of the goreleaser configuration"})
				return
			}
		}
	}
}

// writes tells whether gh api changes something.
func writes(c *call) bool {
	method := strings.ToUpper(c.value("-X --method"))
	if method != "" {
		return method != "GET" && method != "HEAD"
	}
	return c.operand(1) != "graphql" && c.has("-f -F --field --raw-field --input")
}

// act adds an act. The same of the same command is said once.
func (w *walk) act(c *call, a ci.Act) {
	a.Text, a.Where, a.Tool = c.text, c.place, c.name
	if name := program(c.path); oneOf(name, "podman|nerdctl|finch|tofu") {
		a.Tool = name
	}
	for _, b := range w.facts.Acts {
		if b == a {
			return
		}
	}
	w.facts.Acts = append(w.facts.Acts, a)
}

// of returns what a command acts on, "" where it is not told.
func (t objectPlace) of(c *call, n int) string {
	switch t {
	case first:
		return oneLine(c.operand(n))
	case last:
		if all := len(c.operands()); all > n {
			return oneLine(c.operand(all - 1))
		}
	case host:
		return hostOf(c)
	case tagged:
		return oneLine(c.value("-t --tag"))
	case repo:
		return oneLine(c.value("--repository-url --repository -r"))
	case bucket:
		found := ""
		for _, i := range c.operands() {
			if s := c.args[i].text; strings.Contains(s, "://") {
				found = s
			}
		}
		return oneLine(found)
	}
	return ""
}

// hostOf returns the other machine that a command names, or "".
func hostOf(c *call) string {
	if c.name == "ssh" {
		c.valued = "-i -p -o -l -F -J -L -R -D -c -m -b -E -W -S -w -Q -I -B -e -O"
		return oneLine(c.operand(0))
	}
	c.valued = "-e --rsh -i -P -o -F -J --exclude --include --exclude-from --rsync-path --password-file --port -l -c -S"
	for _, i := range c.operands() {
		s := c.args[i].text
		if strings.HasPrefix(s, "rsync://") {
			return oneLine(s)
		}
		h, _, ok := strings.Cut(s, ":")
		if ok && len(h) > 1 && !strings.ContainsAny(h, "/\\ ") {
			return oneLine(h)
		}
	}
	if c.name == "sftp" {
		return oneLine(c.operand(0))
	}
	return ""
}
