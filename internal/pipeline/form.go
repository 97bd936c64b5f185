package pipeline

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// The types of this file are the file format: what the parser takes and what
// the JSON Schema allows both come from them.

type (
	aProject   = val[projectName, *projectName]
	aVersion   = val[formatVersion, *formatVersion]
	aPath      = val[pathText, *pathText]
	aSpan      = val[span, *span]
	aSize      = val[size, *size]
	aFlag      = val[yesNo, *yesNo]
	aCount     = val[count, *count]
	aZone      = val[zoneWord, *zoneWord]
	aStage     = val[stageName, *stageName]
	aCommand   = val[command, *command]
	aValue     = val[envValue, *envValue]
	anArtifact = val[artifactName, *artifactName]
	anIdentity = val[identityName, *identityName]
	aPerson    = val[person, *person]
	aGlob      = val[refGlob, *refGlob]
	aLocation  = val[location, *location]
	aPattern   = val[authority, *authority]
	aPackage   = val[packageGlob, *packageGlob]
	anAudience = val[audience, *audience]
	aProcesses = val[processes, *processes]

	stageTable    = table[stageName, *stageName, stageForm, *stageForm]
	identityTable = table[identityName, *identityName, identityForm, *identityForm]
	envTable      = table[envName, *envName, aValue, *aValue]
	outTable      = table[artifactName, *artifactName, aPath, *aPath]
	reportTable   = table[reportKind, *reportKind, aPath, *aPath]
)

// fileForm is a whole sallyport.yaml.
type fileForm struct {
	Version    aVersion                      `key:"version" need:"true" doc:"The version of this file format: 1."`
	Name       aProject                      `key:"name" need:"true" doc:"The project's name; it is part of every identity."`
	Gateway    gatewayForm                   `key:"gateway" doc:"The only road out: by package, not by host."`
	Stages     stageTable                    `key:"stages" need:"true" doc:"The stages, by name. A stage named like a zone takes that zone."`
	Identities identityTable                 `key:"identities" doc:"The credentials of privileged stages, by name."`
	Expect     list[expectForm, *expectForm] `key:"expect" doc:"Tests of the boundary itself."`
}

func (f *fileForm) read(r *report, n *yaml.Node) { readForm(r, n, f) }
func (f *fileForm) schema() object               { return formSchema(f) }

type gatewayForm struct {
	Npm many[npmForm, *npmForm] `key:"npm" doc:"One npm package or workspace root, or a list of them."`
	Go  many[goForm, *goForm]   `key:"go" doc:"One Go module or workspace, or a list of them."`
}

func (f *gatewayForm) read(r *report, n *yaml.Node) { readForm(r, n, f) }
func (f *gatewayForm) schema() object               { return formSchema(f) }

type npmForm struct {
	Dir      aPath                     `key:"dir" doc:"Where package.json is; the lockfile's folder if left out."`
	Lockfile aPath                     `key:"lockfile" doc:"package-lock.json or npm-shrinkwrap.json, from the project's root."`
	MinAge   aSpan                     `key:"min_age" doc:"How old a version must be, such as 3d."`
	OmitDev  aFlag                     `key:"omit_dev" doc:"Leave out development dependencies."`
	Internal list[aPackage, *aPackage] `key:"internal" doc:"Names that are your own, with * for any part: never taken from the default registry."`
	Accept   list[aPackage, *aPackage] `key:"accept" doc:"Names that look like well-known ones, and are meant."`
	at       mark
}

func (f *npmForm) read(r *report, n *yaml.Node) { f.at = place(n); readForm(r, n, f) }
func (f *npmForm) schema() object               { return formSchema(f) }

type goForm struct {
	Dir      aPath `key:"dir" doc:"Where go.mod or go.work is; the lockfile's folder if left out."`
	Lockfile aPath `key:"lockfile" doc:"go.sum or go.work.sum, from the project's root."`
	MinAge   aSpan `key:"min_age" doc:"How old a version must be, such as 3d."`
	at       mark
}

func (f *goForm) read(r *report, n *yaml.Node) { f.at = place(n); readForm(r, n, f) }
func (f *goForm) schema() object               { return formSchema(f) }

type stageForm struct {
	Zone    aZone                           `key:"zone" doc:"The zone, where the stage's name does not say it."`
	From    list[aStage, *aStage]           `key:"from" doc:"The stages that this one takes from: of the same or an earlier zone."`
	Run     list[aCommand, *aCommand]       `key:"run" doc:"Commands, each given to sh -c in the zone, in order, until one fails."`
	Env     envTable                        `key:"env" doc:"Environment variables of the commands. They are recorded: no secrets."`
	Dir     aPath                           `key:"dir" doc:"Where the commands run, from the project's root."`
	Keep    list[aPath, *aPath]             `key:"keep" doc:"Paths that are handed on, from the project's root, or $GOMODCACHE."`
	Out     outTable                        `key:"out" doc:"Artifacts: name and path. A folder becomes one tar archive."`
	Reports reportTable                     `key:"reports" doc:"Test reports: kind and glob."`
	Limits  limitsForm                      `key:"limits" doc:"Bounds of the stage; each has a default."`
	Check   list[checkForm, *checkForm]     `key:"check" doc:"What the verify zone checks."`
	When    whenForm                        `key:"when" doc:"The refs for which the stage runs."`
	Approve approveForm                     `key:"approve" doc:"Who has to agree, for the very digests."`
	Publish list[publishForm, *publishForm] `key:"publish" doc:"Where the release goes."`
	stood   map[string]mark
	at      mark
}

func (f *stageForm) read(r *report, n *yaml.Node) {
	f.at = place(n)
	f.stood = readForm(r, n, f)
}
func (f *stageForm) schema() object { return formSchema(f) }

type limitsForm struct {
	Time   aSpan      `key:"time" doc:"Wall time, such as 20m."`
	Memory aSize      `key:"memory" doc:"All processes together, such as 2GiB."`
	Disk   aSize      `key:"disk" doc:"What is written, such as 10GiB."`
	PIDs   aProcesses `key:"pids" doc:"Processes and threads."`
}

func (f *limitsForm) read(r *report, n *yaml.Node) { readForm(r, n, f) }
func (f *limitsForm) schema() object               { return formSchema(f) }

type whenForm struct {
	Tag    aGlob `key:"tag" doc:"A tag, with * for any part of it."`
	Branch aGlob `key:"branch" doc:"A branch, with * for any part of it."`
	at     mark
}

func (f *whenForm) read(r *report, n *yaml.Node) {
	f.at = place(n)
	if readForm(r, n, f); n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		r.add("E-YAML-VALUE", f.at, "leave the key out if the stage always runs", "when says nothing")
	}
}

func (f *whenForm) schema() object {
	s := formSchema(f)
	s["minProperties"] = 1
	return s
}

type approveForm struct {
	By        list[aPerson, *aPerson] `key:"by" need:"true" doc:"People or groups."`
	Count     aCount                  `key:"count" need:"true" doc:"How many of them."`
	NotAuthor aFlag                   `key:"not_author" doc:"The author of the change does not count."`
	Expires   aSpan                   `key:"expires" doc:"How long an approval holds."`
}

func (f *approveForm) read(r *report, n *yaml.Node) { readForm(r, n, f) }
func (f *approveForm) schema() object               { return formSchema(f) }

type publishForm struct {
	OCI  aLocation  `key:"oci" need:"true" doc:"A repository such as registry.example/shop, or a folder such as ./layout."`
	What anArtifact `key:"what" need:"true" doc:"The artifact's name."`
	As   anIdentity `key:"as" doc:"The identity that pushes; a folder needs none."`
	at   mark
}

func (f *publishForm) read(r *report, n *yaml.Node) { f.at = place(n); readForm(r, n, f) }
func (f *publishForm) schema() object               { return formSchema(f) }

type identityForm struct {
	Audience anAudience `key:"audience" need:"true" doc:"Who takes the credential."`
	TTL      aSpan      `key:"ttl" need:"true" doc:"How long it lives at most; it is revoked at its stage's end."`
	at       mark
}

func (f *identityForm) read(r *report, n *yaml.Node) { f.at = place(n); readForm(r, n, f) }
func (f *identityForm) schema() object               { return formSchema(f) }

type expectForm struct {
	Zone   aZone    `key:"zone" need:"true" doc:"The zone that the expectation is about."`
	Cannot aPattern `key:"cannot" doc:"An authority that no stage of the zone may have, such as reach:*."`
	Can    aPattern `key:"can" doc:"An authority that some stage of the zone has."`
	at     mark
}

func (f *expectForm) read(r *report, n *yaml.Node) {
	f.at = place(n)
	before := len(r.errs)
	readForm(r, n, f)
	if len(r.errs) == before && f.Cannot.set == f.Can.set {
		r.add("E-YAML-VALUE", f.at, "", "an expectation says either cannot or can")
	}
}

func (f *expectForm) schema() object {
	s := formSchema(f)
	s["oneOf"] = []any{object{"required": []any{"cannot"}}, object{"required": []any{"can"}}}
	return s
}

// checkForm is a check of the verify zone: a word, or one word with an argument.
type checkForm struct {
	name, arg string
	at, argAt mark
}

// plainChecks stand alone; they know no argument.
func plainChecks() []string { return []string{"materials", "tests", "receipts", "secrets", "sbom"} }

// checkNames are all checks. rebuild takes an artifact, or none for all of
// them; vulnerabilities a severity, or none for high.
func checkNames() []string { return append(plainChecks(), "rebuild", "vulnerabilities") }

func severities() []string { return []string{"low", "medium", "high", "critical"} }

func (c *checkForm) read(r *report, n *yaml.Node) {
	c.at, c.argAt = place(n), place(n)
	word := n
	if n.Kind == yaml.MappingNode {
		if len(n.Content) != 2 {
			r.add("E-YAML-VALUE", c.at, "write each check by itself: [{ rebuild: server }, sbom]", "a check is a word, or a mapping of one key")
			return
		}
		word = n.Content[0]
		c.at, c.argAt = place(word), place(n.Content[1])
		before := len(r.errs)
		var arg val[checkArg, *checkArg]
		if arg.read(r, n.Content[1]); len(r.errs) > before {
			return
		}
		c.arg = n.Content[1].Value
	} else if got := kindOf(n); got != wantString {
		r.add("E-YAML-TYPE", c.at, "", "here stands %s; wanted is a check: a word, or a mapping of one key", got)
		return
	}
	c.name = word.Value
	c.known(r)
}

// known refuses checks that there are not, and arguments where none belong.
func (c *checkForm) known(r *report) {
	switch {
	case !slices.Contains(checkNames(), c.name):
		r.add("E-YAML-VALUE", c.at, didYouMean(c.name, checkNames()), "there is no check %q", clip(c.name))
	case c.arg != "" && slices.Contains(plainChecks(), c.name):
		r.add("E-YAML-VALUE", c.argAt, fmt.Sprintf("write %s alone", c.name), "the check %s takes no argument", c.name)
	case c.arg != "" && c.name == "vulnerabilities" && !slices.Contains(severities(), c.arg):
		r.add("E-YAML-VALUE", c.argAt, didYouMean(c.arg, severities()), "%q is no severity", c.arg)
	}
}

func (c *checkForm) schema() object {
	one := func(key string, value object) object {
		return object{"type": "object", "additionalProperties": false, "required": []any{key}, "properties": object{key: value}}
	}
	return object{"anyOf": []any{
		object{"type": "string", "enum": anySlice(checkNames())},
		one("rebuild", textSchema(artifactPattern, 127)),
		one("vulnerabilities", object{"type": "string", "enum": anySlice(severities())}),
	}}
}

func anySlice(s []string) []any {
	out := make([]any, len(s))
	for i, v := range s {
		out[i] = v
	}
	return out
}
