package credential

import "github.com/sallyport/sallyport/internal/audit/ci"

// row is the words that tell one class. A pattern is a word, a beginning with
// *, or words that follow each other with + between.
type row struct {
	class ci.Class
	words []string
}

// nameTable tells classes by words.
var nameTable = []row{
	{ci.Publish, []string{
		"NPM*", "NODE+AUTH", "YARN+NPM", "JSR", "PYPI*", "TEST+PYPI", "TWINE*", "FLIT", "POETRY", "CARGO*", "CRATES*", "CRATESIO",
		"GEM", "RUBYGEMS*", "FURY*", "GEMFURY", "CLOUDSMITH*", "PACKAGECLOUD", "DOCKER*", "DH", "QUAY*", "GHCR*", "GCR", "ECR", "HARBOR",
		"REGISTRY*", "CONTAINER", "MAVEN*", "SONATYPE*", "OSSRH*", "CENTRAL", "MVN", "NUGET*", "GRADLE+PUBLISH", "BINTRAY", "ARTIFACTORY*",
		"JFROG*", "NEXUS*", "PACKAGIST*", "HEX", "HACKAGE", "SNAP", "SNAPCRAFT*", "FLATHUB*", "AUR", "CHOCO*", "HOMEBREW*", "BREW*", "TAP",
		"WINGET*", "SCOOP*", "VSCE*", "OVSX*", "OPENVSX*", "OPEN+VSX", "VSCODE*", "MARKETPLACE", "PUB+DEV", "ANACONDA*", "CONDA*", "PREFIX+API",
		"HELM", "CHROME+*", "FIREFOX+*", "AMO", "WEB+EXT", "PLAY+STORE", "GOOGLE+PLAY", "SUPPLY+JSON", "APP+STORE", "APPSTORE*", "ASC",
		"FASTLANE*", "TESTFLIGHT", "RELEASE", "RELEASES", "RELEASER", "PUBLISH*", "CRAN", "OPAM", "LUAROCKS*", "TERRAFORM+REGISTRY", "GALAXY*",
		"CURSEFORGE*", "MODRINTH*", "STEAM*", "ITCH*", "BUTLER", "SDKMAN*", "JETBRAINS*", "INTELLIJ*",
	}},
	{ci.Sign, []string{
		"COSIGN*", "SIGSTORE*", "GPG*", "PGP*", "SIGN", "SIGNING*", "SIGNATURE", "SIGNER", "SIGNPATH*", "CODESIGN*", "CODE+SIGN*", "KEYSTORE*",
		"P12", "PFX", "CERT", "CERTS", "CERTIFICATE*", "CSC", "NOTARY*", "NOTARIZ*", "NOTARIS*", "APPLE*", "MACOS*", "OSX", "PROVISION*", "KEYCHAIN*",
		"AUTHENTICODE", "OSSLSIGN*", "MINISIGN*", "SIGNIFY", "KMS", "ESIGNER*", "DIGICERT*", "SSLCOM", "TRUSTED+SIGNING", "ANDROID+KEY*", "KEY+ALIAS",
		"TAURI+PRIVATE", "SPARKLE*", "ED25519", "RPM", "SIGNATORY", "MATCH+PASSWORD", "DEVELOPER+ID",
	}},
	{ci.Deploy, []string{
		"AWS*", "GCP*", "GCLOUD*", "GOOGLE+CREDENTIALS", "GOOGLE+APPLICATION", "GOOGLE+SERVICE", "GCS", "GKE", "WORKLOAD+IDENTITY", "AZURE*", "AZ", "ARM+CLIENT",
		"KUBE*", "K8S*", "SSH*", "DEPLOY", "DEPLOYMENT", "DEPLOYER", "VERCEL*", "NOW+TOKEN", "NETLIFY*", "CLOUDFLARE*", "CF", "HEROKU*", "FLY", "FLYIO", "RENDER",
		"RAILWAY*", "FIREBASE*", "SURGE*", "DIGITALOCEAN*", "DO+*", "HCLOUD*", "HETZNER*", "LINODE*", "VULTR*", "TF", "TERRAFORM*", "PULUMI*", "VAULT*",
		"ANSIBLE*", "FTP*", "SFTP*", "S3*", "R2", "SPACES", "SUPABASE*", "DATABASE*", "DB", "POSTGRES*", "MYSQL*", "MONGO*", "WRANGLER*",
		"SERVERLESS*", "OPENSHIFT*", "RSYNC*", "PROD", "PRODUCTION", "STAGING", "EXPO*", "EAS", "CDN", "FASTLY*", "ALGOLIA*", "ALIYUN*", "ALIBABA*", "TENCENT*", "OCI+CLI",
	}},
	{ci.Repository, []string{
		"GH", "GHA", "GITHUB*", "PAT", "BOT", "GIT", "GITLAB*", "GITEA*", "FORGEJO*", "CODEBERG*", "BITBUCKET*", "DEPLOY+KEY", "PUSH", "CHANGESETS*", "RENOVATE*", "REPO*",
		"APP+PRIVATE", "APP+KEY", "APP+PEM", "CROWDIN*", "WEBLATE*", "BACKPORT*", "MERGE*", "COMMIT*", "HOMEBREW*", "TAP",
	}},
}

// lowTable is the words of services that cannot change what users get.
var lowTable = []string{
	"CODECOV*", "COVERALLS*", "COVERAGE", "SONAR*", "SONARCLOUD", "SLACK*", "DISCORD*", "TELEGRAM*", "MASTODON*", "TWITTER*", "BLUESKY*", "MATRIX*",
	"TEAMS+WEBHOOK", "ZULIP*", "SNYK*", "CODSPEED*", "FOSSA*", "ANALYTICS", "SENTRY*", "DATADOG*", "DD+API", "HONEYCOMB*", "BUILDPULSE*", "ARGOS*", "CHROMATIC*",
	"PERCY*", "LHCI*", "CODACY*", "CODECLIMATE*", "CC+TEST", "DEEPSOURCE*", "BENCHER*", "LAUNCHABLE*", "SCARF*", "WHITESOURCE*", "MEND", "SEMGREP*",
	"STEPSECURITY*", "TOKEI", "NEWRELIC*", "NEW+RELIC", "GITTER*", "IRC", "MAILGUN*", "SENDGRID*", "SMTP*", "MAIL*", "GITGUARDIAN*", "SOCKET+SECURITY",
}

// publicTable is the last words of names that hold no secret.
var publicTable = []string{
	"ID", "IDS", "USER", "USERNAME", "USERNAMES", "EMAIL", "NAME", "URL", "URI", "HOST", "HOSTNAME", "REGION", "ACCOUNT", "ORG", "ORGANIZATION", "PROJECT",
	"BUCKET", "DOMAIN", "REPOSITORY", "REPO", "TENANT", "SUBSCRIPTION", "ENDPOINT", "SERVER", "PORT", "TEAM", "VERSION", "ROLE", "ARN", "PROVIDER", "FINGERPRINT", "ZONE",
}

// sensitiveTable is the words of names that hold a secret.
var sensitiveTable = []string{
	"TOKEN*", "KEY", "KEYS", "SECRET*", "PASSWORD*", "PASS", "PASSWD", "PASSPHRASE*", "PWD", "CREDENTIAL*", "CREDS", "AUTH", "PAT", "CERT", "CERTS", "CERTIFICATE*", "P12", "PFX",
	"KEYSTORE*", "KUBECONFIG*", "APIKEY*", "PRIVATE", "PEM", "JKS", "DSN",
}

// federation is a kind of secret that a short-lived identity can replace.
type federation struct {
	words   []string
	instead string
}

// federationTable is what short-lived identities can replace.
var federationTable = []federation{
	{[]string{"NPM*", "NODE+AUTH"}, "npm trusted publishing"},
	{[]string{"PYPI*", "TWINE*"}, "PyPI trusted publishing"},
	{[]string{"CARGO*", "CRATES*"}, "crates.io trusted publishing"},
	{[]string{"GEM", "RUBYGEMS*"}, "RubyGems trusted publishing"},
	{[]string{"NUGET*"}, "NuGet trusted publishing"},
	{[]string{"AWS*"}, "a role assumed with an OIDC token"},
	{[]string{"GCP*", "GCLOUD*", "GOOGLE+CREDENTIALS", "GOOGLE+APPLICATION", "GCR", "GKE", "GCS"}, "workload identity federation"},
	{[]string{"AZURE*", "ARM+CLIENT"}, "a federated credential of the app registration"},
	{[]string{"VAULT*"}, "JWT authentication of Vault"},
	{[]string{"COSIGN*"}, "keyless signing with an OIDC token"},
}
