package secrets

// Rules returns the built-in rules. Sizes and alphabets follow the providers'
// published token formats.
func Rules() []Rule {
	var all []Rule
	for _, group := range [][]Rule{keyRules(), cloudRules(), forgeRules(), packageRules(), serviceRules(), toolRules(), generalRules()} {
		all = append(all, group...)
	}
	return all
}

// token is a rule for a credential that begins with a prefix of its own.
func token(id, description, keyword, pattern string) Rule {
	return Rule{ID: id, Description: description, Keywords: []string{keyword}, Pattern: pattern, Entropy: 3, Check: "token", Distinct: true}
}

func keyRules() []Rule {
	return []Rule{
		{ID: "private-key", Description: "private key with its body (PEM, OpenSSH, PGP, cosign)", Keywords: []string{"-----BEGIN "},
			Pattern: `-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----`, Check: "key", Distinct: true, Fixture: true},
		token("age-key", "age identity", "AGE-SECRET-KEY-", `AGE-SECRET-KEY-(?:PQ-)?1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58,}`),
		{ID: "putty-key", Description: "PuTTY private key", Keywords: []string{"Private-Lines:"},
			Pattern: `Private-Lines: \d+\s+([A-Za-z0-9+/=]{40,})`, Entropy: 4, Distinct: true},
		{ID: "note-key", Description: "signed note private key", Keywords: []string{"PRIVATE+KEY+"},
			Pattern: `PRIVATE\+KEY\+[^\s+"]{1,100}\+[0-9a-f]{8}\+([A-Za-z0-9+/=]{40,})`, Entropy: 3.5, Distinct: true},
		{ID: "minisign-key", Description: "minisign secret key", Keywords: []string{"RWRTY0Iy"},
			Pattern: `RWRTY0Iy[A-Za-z0-9+/=]{190,}`, Distinct: true},
		{ID: "wireguard-key", Description: "WireGuard private key", Keywords: []string{"PrivateKey"},
			Pattern: `(?i)PrivateKey\s*=\s*([A-Za-z0-9+/]{43}=)(?:\s|\z)`, Entropy: 4, Check: "random"},
		{ID: "jwt", Description: "JSON Web Token that has not expired", Keywords: []string{"eyJ"},
			Pattern: `eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}`, Check: "jwt"},
		{ID: "kubeconfig-key", Description: "client key in a kubeconfig", Keywords: []string{"client-key-data:"},
			Pattern: `client-key-data:\s*"?(LS0t[A-Za-z0-9+/=]{100,})`, Entropy: 4, Distinct: true},
	}
}

func cloudRules() []Rule {
	return []Rule{
		{ID: "aws-access-key", Description: "AWS access key id", Keywords: []string{"AKIA", "ASIA", "ABIA", "ACCA"},
			Pattern: `(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}`, Entropy: 3, Check: "aws-id", Distinct: true},
		{ID: "aws-secret-key", Description: "AWS secret access key", Keywords: []string{"secret_access_key", "secretaccesskey", "aws_secret", "secret-access-key"},
			Pattern: `(?i)(?:aws_secret|secret)_?-?(?:access)?_?-?(?:key)?["'\\]{0,3}\s{0,3}(?:=>|:=|[:=])\s{0,3}["'\\]{0,3}([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|\z)`, Entropy: 4, Check: "random"},
		token("aws-session-token", "AWS session token", "IQoJb3JpZ2lu", `IQoJb3JpZ2lu[A-Za-z0-9+/=]{100,}`),
		token("aws-bedrock-key", "AWS Bedrock key", "ABSKQmVkcm9ja0FQSUtleS", `ABSKQmVkcm9ja0FQSUtleS[A-Za-z0-9+/=]{60,}`),
		token("gcp-api-key", "Google API key", "AIza", `AIza[0-9A-Za-z_-]{35}`),
		token("gcp-oauth-secret", "Google OAuth client secret", "GOCSPX-", `GOCSPX-[A-Za-z0-9_-]{28}`),
		token("gcp-access-token", "Google OAuth access token", "ya29.", `ya29\.[0-9A-Za-z_-]{60,}`),
		{ID: "gcp-service-account", Description: "Google service account key", Keywords: []string{"private_key_id"},
			Pattern: `private_key_id\\?"\s{0,3}:\s{0,3}\\?"([0-9a-f]{40})`, Entropy: 3, Check: "random"},
		{ID: "azure-storage-key", Description: "Azure storage or service bus key", Keywords: []string{"AccountKey=", "SharedAccessKey="},
			Pattern: `(?i)(?:Account|SharedAccess)Key=([A-Za-z0-9+/]{42,86}={1,2})`, Entropy: 4.2, Check: "random", Distinct: true},
		{ID: "azure-client-secret", Description: "Azure AD client secret", Keywords: []string{"Q~"},
			Pattern: `(?:\A|[^A-Za-z0-9_~.-])([A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34})(?:[^A-Za-z0-9_~.-]|\z)`, Before: 5, Entropy: 4, Check: "random"},
		{ID: "azure-sas", Description: "Azure shared access signature", Keywords: []string{"&sig=", "?sig="},
			Pattern: `[?&]sig=([A-Za-z0-9%+/]{40,}(?:%3D|=))`, Entropy: 4, Check: "random"},
		token("alibaba-key", "Alibaba access key", "LTAI5t", `LTAI5t[A-Za-z0-9]{18}`),
		token("digitalocean-token", "DigitalOcean token", "_v1_", `_v1_[a-f0-9]{64}`).before(3, `(do[opr]_v1_[a-f0-9]{64})`),
		token("databricks-token", "Databricks token", "dapi", `dapi[0-9a-f]{32}(?:-\d)?`).checked("random"),
		token("heroku-key", "Heroku API key", "HRKU-AA", `HRKU-AA[0-9A-Za-z_-]{58}`),
		token("fly-token", "Fly.io token", "FlyV1 fm", `FlyV1 fm\d[a-z]?_[A-Za-z0-9+/=,_-]{100,}`),
		token("cloudflare-ca-key", "Cloudflare origin CA key", "v1.0-", `v1\.0-[a-f0-9]{24}-[a-f0-9]{146}`),
		token("planetscale-token", "PlanetScale token or password", "pscale_", `pscale_(?:tkn|pw|oauth)_[A-Za-z0-9=._-]{32,}`),
		token("supabase-token", "Supabase token", "sbp_", `sbp_[a-f0-9]{40}`),
	}
}

func forgeRules() []Rule {
	return []Rule{
		{ID: "github-token", Description: "GitHub token", Keywords: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"},
			Pattern: `gh[pousr]_[A-Za-z0-9]{36,251}`, Entropy: 3.2, Check: "token", Distinct: true},
		token("github-fine-grained-token", "GitHub fine-grained token", "github_pat_", `github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}`),
		{ID: "gitlab-token", Description: "GitLab token", Keywords: []string{"glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glsoat-", "gloas-", "glagent-", "glimt-", "glffct-", "glft-"},
			Pattern: `gl(?:pat|dt|rt|cbt|ptt|soat|oas|agent|imt|ffct|ft)-[A-Za-z0-9_.-]{20,}`, Entropy: 3.3, Check: "token", Distinct: true},
		token("bitbucket-token", "Bitbucket app password", "ATBB", `ATBB[A-Za-z0-9]{24}[A-F0-9]{8}`),
		token("atlassian-token", "Atlassian API token", "ATATT3xFfGF0", `ATATT3xFfGF0[A-Za-z0-9_=-]{100,}`),
		token("buildkite-token", "Buildkite token", "bkua_", `bkua_[a-z0-9]{40}`),
		token("circleci-token", "CircleCI token", "CCIPAT_", `CCIPAT_[A-Za-z0-9]{22}_[a-f0-9]{40}`),
		{ID: "sonar-token", Description: "SonarQube token", Keywords: []string{"sqp_", "sqa_", "squ_"},
			Pattern: `sq[pua]_[a-f0-9]{40}`, Entropy: 3, Check: "token", Distinct: true},
		token("docker-token", "Docker Hub token", "dckr_", `dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}`),
		{ID: "docker-auth", Description: "registry login in a Docker configuration", Keywords: []string{`"auth"`},
			Pattern: `"auth"\s{0,8}:\s{0,8}"([A-Za-z0-9+/]{16,}={0,2})"`, Check: "basic"},
	}
}

func packageRules() []Rule {
	return []Rule{
		token("npm-token", "npm token", "npm_", `npm_[A-Za-z0-9]{36}`).checked("random"),
		{ID: "npmrc-auth", Description: "registry login in an .npmrc", Keywords: []string{":_authToken", ":_password", "_auth="},
			Pattern: `:?_(?:authToken|password|auth)\s{0,3}=\s{0,3}["']?([A-Za-z0-9+/=_.-]{16,})`, Entropy: 3.2, Check: "random"},
		token("pypi-token", "PyPI token", "pypi-AgE", `pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,}`),
		token("rubygems-key", "RubyGems key", "rubygems_", `rubygems_[a-f0-9]{48}`),
		token("nuget-key", "NuGet key", "oy2", `oy2[a-z0-9]{43}`).checked("random"),
		token("clojars-token", "Clojars token", "CLOJARS_", `CLOJARS_[a-z0-9]{60}`),
		token("crates-token", "crates.io token", "cio", `cio[A-Za-z0-9]{32}(?:[^A-Za-z0-9]|\z)`).checked("random").fuzzy(),
		token("artifactory-key", "Artifactory key", "AKCp", `AKCp[A-Za-z0-9]{69,}`),
		token("artifactory-token", "Artifactory reference token", "cmVmdGtu", `cmVmdGtu[A-Za-z0-9]{56}`),
	}
}

func serviceRules() []Rule {
	return []Rule{
		{ID: "slack-token", Description: "Slack token", Keywords: []string{"xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxe.", "xoxo-", "xoxr-", "xoxs-", "xapp-"},
			Pattern: `(?:xox[abeoprs]|xoxe\.xox[bp]|xapp)-[A-Za-z0-9-]{20,}`, Entropy: 3, Check: "token", Distinct: true},
		token("slack-webhook", "Slack webhook", "hooks.slack.com/", `hooks\.slack\.com/(?:services|workflows|triggers)/[A-Z0-9]{8,}/[A-Z0-9]{8,}/[A-Za-z0-9]{18,}`),
		{ID: "stripe-key", Description: "Stripe secret or restricted key", Keywords: []string{"sk_live_", "rk_live_", "sk_test_", "rk_test_", "sk_org_"},
			Pattern: `[sr]k_(?:live|test|org)_[A-Za-z0-9]{16,247}`, Entropy: 3.2, Check: "token", Distinct: true},
		token("stripe-webhook-secret", "Stripe webhook secret", "whsec_", `whsec_[A-Za-z0-9+/=]{32,}`),
		{ID: "twilio-key", Description: "Twilio key or token", Keywords: []string{"twilio"},
			Pattern: `(?i:twilio)[^\n]{0,80}?(?:\b(SK[0-9a-f]{32})\b|[:=]\s{0,3}["']?([0-9a-f]{32})\b)`, Entropy: 3, Check: "random"},
		token("sendgrid-key", "SendGrid key", "SG.", `SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}`),
		{ID: "mailgun-key", Description: "Mailgun key", Keywords: []string{"mailgun"},
			Pattern: `(?i:mailgun)[^\n]{0,80}?\b(key-[0-9a-f]{32})\b`, Entropy: 3},
		{ID: "mailchimp-key", Description: "Mailchimp key", Keywords: []string{"mailchimp"},
			Pattern: `(?i:mailchimp)[^\n]{0,80}?\b([0-9a-f]{32}-us\d{1,2})\b`, Entropy: 3},
		{ID: "telegram-token", Description: "Telegram bot token", Keywords: []string{":AA"},
			Pattern: `(?:\A|[^0-9A-Za-z])(\d{8,10}:AA[A-Za-z0-9_-]{33})(?:[^A-Za-z0-9_-]|\z)`, Before: 11, Entropy: 4, Check: "random"},
		token("discord-webhook", "Discord webhook", "/api/webhooks/", `/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{60,}`),
		{ID: "discord-token", Description: "Discord bot token", Keywords: []string{"discord"},
			Pattern: `(?i:discord)[^\n]{0,80}?\b([MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38})`, Entropy: 4, Check: "random"},
		token("openai-key", "OpenAI key", "T3BlbkFJ", ``).before(170, `(sk-(?:[a-z]{4,12}-)?[A-Za-z0-9_-]{20,150}T3BlbkFJ[A-Za-z0-9_-]{20,150})`),
		token("anthropic-key", "Anthropic key", "sk-ant-", `sk-ant-(?:api|admin|oat|ort)\d\d-[A-Za-z0-9_-]{80,}`),
		token("huggingface-token", "Hugging Face token", "hf_", `hf_[A-Za-z]{34}(?:[^A-Za-z0-9_]|\z)`).checked("letters").fuzzy(),
		token("groq-key", "Groq key", "gsk_", `gsk_[A-Za-z0-9]{52}`),
		token("replicate-token", "Replicate token", "r8_", `r8_[A-Za-z0-9]{37}`).checked("random"),
		{ID: "shopify-token", Description: "Shopify token", Keywords: []string{"shpat_", "shpca_", "shppa_", "shpss_"},
			Pattern: `shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}`, Entropy: 3, Check: "token", Distinct: true},
		{ID: "square-token", Description: "Square token", Keywords: []string{"sq0atp-", "sq0csp-", "sq0idp-"},
			Pattern: `sq0(?:atp-[A-Za-z0-9_-]{22}|csp-[A-Za-z0-9_-]{43})`, Entropy: 3.3, Check: "token", Distinct: true},
		token("braintree-token", "Braintree access token", "access_token$production$", `access_token\$production\$[a-z0-9]{16}\$[a-f0-9]{32}`),
		token("figma-token", "Figma token", "figd_", `figd_[A-Za-z0-9_-]{40}`),
		token("linear-key", "Linear key", "lin_api_", `lin_api_[A-Za-z0-9]{40}`),
		token("notion-token", "Notion token", "ntn_", `ntn_[A-Za-z0-9]{46}`).checked("random"),
		token("postman-key", "Postman key", "PMAK-", `PMAK-[a-f0-9]{24}-[a-f0-9]{34}`),
		token("mapbox-token", "Mapbox secret token", "sk.eyJ", `sk\.eyJ[A-Za-z0-9_-]{50,}\.[A-Za-z0-9_-]{20,}`),
		token("easypost-key", "EasyPost key", "EZAK", `EZ[AT]K[A-Za-z0-9]{54}`),
		{ID: "onepassword-token", Description: "1Password service account token", Keywords: []string{"ops_eyJ"},
			Pattern: `ops_eyJ[A-Za-z0-9+/=_-]{200,}`, Distinct: true},
	}
}

func toolRules() []Rule {
	return []Rule{
		{ID: "vault-token", Description: "HashiCorp Vault token", Keywords: []string{"hvs.", "hvb.", "hvr."},
			Pattern: `hv[sbr]\.[A-Za-z0-9_-]{24,}`, Entropy: 3.8, Check: "random", Distinct: true},
		token("terraform-token", "Terraform Cloud token", ".atlasv1.", ``).before(14, `([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,})`),
		token("pulumi-token", "Pulumi token", "pul-", `pul-[a-f0-9]{40}`),
		token("doppler-token", "Doppler token", "dp.", `dp\.(?:pt|ct|sa|scim|audit|st\.[a-z0-9_-]{2,35})\.[A-Za-z0-9]{40,44}`),
		{ID: "grafana-token", Description: "Grafana token", Keywords: []string{"glsa_", "glc_eyJ"},
			Pattern: `glsa_[A-Za-z0-9]{32}_[a-fA-F0-9]{8}|glc_eyJ[A-Za-z0-9+/=]{40,}`, Entropy: 3.3, Check: "token", Distinct: true},
		token("newrelic-key", "New Relic key", "NRAK-", `NRAK-[A-Z0-9]{27}`),
		{ID: "sentry-token", Description: "Sentry token", Keywords: []string{"sntrys_", "sntryu_"},
			Pattern: `sntryu_[a-f0-9]{64}|sntrys_eyJ[A-Za-z0-9+/=_-]{80,}`, Entropy: 3, Check: "token", Distinct: true},
		{ID: "dynatrace-token", Description: "Dynatrace token", Keywords: []string{"dt0c01."},
			Pattern: `dt0c01\.[A-Z2-7]{24}\.[A-Z2-7]{64}`, Entropy: 3.5, Distinct: true},
		{ID: "tailscale-key", Description: "Tailscale key", Keywords: []string{"tskey-"},
			Pattern: `tskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{6,}-[A-Za-z0-9]{20,}`, Entropy: 3.3, Check: "token", Distinct: true},
	}
}

func generalRules() []Rule {
	return []Rule{
		{ID: "url-password", Description: "password in a URL", Keywords: []string{"://"},
			Pattern: `://[A-Za-z0-9._%+~-]{1,100}:([^\s/@:"'<>` + "`" + `\x00-\x1f\x7f-\xff\\]{8,200})@[A-Za-z0-9.-]{3,}`, Entropy: 2.8, Check: "url"},
		{ID: "authorization-header", Description: "credential in an Authorization header", Keywords: []string{"authorization"},
			Pattern: `(?i)authorization["'\\]{0,3}\s{0,3}[:=,]\s{0,3}["'` + "`" + `\\]{0,3}(?:bearer|token|basic)\s{1,3}([A-Za-z0-9._~+/=-]{20,})`, Entropy: 3.8, Check: "random"},
		{ID: "assigned-secret", Description: "random-looking value assigned to a secret's name",
			Keywords: []string{"password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "api-key", "access_key", "accesskey", "auth_key", "authkey", "credential", "encryption_key", "signing_key"},
			Pattern:  `(?i)[a-z0-9_.-]{5,48}["'\]\\]{0,3}\s{0,3}(?:=>|:=|[:=])\s{0,3}["'` + "`" + `\\]{0,3}([A-Za-z0-9+/_.~=!@#$%^&*-]{20,160})`, Entropy: 3.3, Check: "assigned"},
	}
}

// before lets the match begin n bytes before the keyword.
func (r Rule) before(n int, pattern string) Rule {
	r.Before, r.Pattern = n, pattern
	return r
}

func (r Rule) checked(name string) Rule {
	r.Check = name
	return r
}

// fuzzy marks a shape that could occur by chance inside encoded data.
func (r Rule) fuzzy() Rule {
	r.Distinct = false
	return r
}
