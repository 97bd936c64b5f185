package pipeline

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// stage turns one stage form into a Stage and checks all that can be said of it
// alone.
func (l *loader) stage(row *row[stageName, stageForm]) Stage {
	f := &row.item
	s := Stage{Name: row.name, Zone: l.zone(row), Line: row.at.line}
	for _, v := range f.From.items {
		s.From = append(s.From, string(v.V.word))
	}
	for _, v := range f.Run.items {
		s.Run = append(s.Run, string(v.V.word))
	}
	if f.Dir.set {
		s.Dir = l.path(f.Dir)
	}
	for _, v := range f.Keep.items {
		kept := l.keep(v)
		if slices.Contains(s.Keep, kept) && kept != "" {
			l.add("E-PATH", v.at, "", "%q stands here a second time", kept)
		}
		s.Keep = append(s.Keep, kept)
	}
	s.Out = l.places(f.Out.rows)
	s.Reports = l.reports(f.Reports.rows)
	s.Env = l.env(f.Env.rows)
	s.Limits = Limits{Time: f.Limits.Time.V.d, Memory: f.Limits.Memory.V.bytes, Disk: f.Limits.Disk.V.bytes, PIDs: f.Limits.PIDs.V.n}
	for _, c := range f.Check.items {
		s.Check = append(s.Check, Check{Name: c.name, Arg: c.arg, Line: c.at.line})
	}
	if _, ok := f.stood["when"]; ok {
		s.When = &When{Tag: string(f.When.Tag.V.word), Branch: string(f.When.Branch.V.word)}
	}
	s.Approve = l.approve(f)
	for _, v := range f.Publish.items {
		s.Publish = append(s.Publish, l.publish(&v))
	}
	l.fitsZone(&s, row)
	return s
}

// zone is the zone of a stage: its name's, or the one that zone says.
func (l *loader) zone(row *row[stageName, stageForm]) boundary.Zone {
	named, err := boundary.ParseZone(row.name)
	said := row.item.Zone
	switch {
	case err == nil && said.set && said.V.zone != named:
		l.add("E-STAGE-ZONE", said.at, "leave zone out, or give the stage another name", "stage %q is named like a zone and takes that one, not %s", row.name, said.V.zone)
		return named
	case err == nil:
		return named
	case !said.set:
		l.add("E-STAGE-ZONE", row.at, zoneHint(row.name), "stage %q is not named like a zone and does not say its zone", row.name)
	}
	return said.V.zone
}

func zoneHint(name string) string {
	var names []string
	for _, z := range boundary.Zones() {
		names = append(names, z.String())
	}
	if n := nearest(name, names); n != "" {
		return "did you mean \"" + n + "\"? Otherwise add zone:, one of " + strings.Join(names, ", ")
	}
	return "add zone:, one of " + strings.Join(names, ", ")
}

// keep checks a path that is handed on. The path . is whatever the stage
// changed in the project.
func (l *loader) keep(v aPath) string {
	if string(v.V.word) == GoModCache {
		return GoModCache
	}
	return l.path(v)
}

func (l *loader) places(rows []row[artifactName, aPath]) map[string]string {
	if len(rows) == 0 {
		return nil
	}
	out := make(map[string]string, len(rows))
	for _, row := range rows {
		out[row.name] = l.path(row.item)
	}
	return out
}

func (l *loader) reports(rows []row[reportKind, aPath]) map[string]string {
	if len(rows) == 0 {
		return nil
	}
	out := make(map[string]string, len(rows))
	for _, row := range rows {
		glob := l.path(row.item)
		if _, err := path.Match(glob, ""); err != nil {
			l.add("E-PATH", row.item.at, "", "%q is no pattern: %s", clip(glob), err)
		}
		out[row.name] = glob
	}
	return out
}

// ownedEnv are variables that the sandbox and the gateway set: they decide what
// a zone reaches and where it writes.
func ownedEnv() []string {
	return []string{"HOME", "PATH", "TMPDIR", "PWD", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOVCS", "GOMODCACHE", "GOENV", "GOCACHE", "GOPATH"}
}

func ownedPrefixes() []string {
	return []string{"SALLYPORT_", "LD_", "npm_config_", "NPM_CONFIG_"}
}

func (l *loader) env(rows []row[envName, aValue]) map[string]string {
	if len(rows) == 0 {
		return nil
	}
	out := make(map[string]string, len(rows))
	for _, row := range rows {
		owned := slices.Contains(ownedEnv(), row.name) ||
			slices.ContainsFunc(ownedPrefixes(), func(p string) bool { return strings.HasPrefix(row.name, p) })
		if owned {
			l.add("E-ENV", row.at, "give it to the one command that needs it: "+row.name+"=... command", "the zone sets %s itself", row.name)
		}
		out[row.name] = string(row.item.V.word)
	}
	return out
}

func (l *loader) approve(f *stageForm) *Approve {
	if _, ok := f.stood["approve"]; !ok {
		return nil
	}
	a := &Approve{Count: f.Approve.Count.V.n, NotAuthor: f.Approve.NotAuthor.V.on, Expires: f.Approve.Expires.V.d}
	for _, v := range f.Approve.By.items {
		a.By = append(a.By, string(v.V.word))
	}
	return a
}

// publish checks one place to publish to: a repository without tag or digest,
// since the digest is the artifact's own, or a folder.
func (l *loader) publish(f *publishForm) Publish {
	p := Publish{OCI: string(f.OCI.V.word), What: string(f.What.V.word), As: string(f.As.V.word), Line: f.at.line}
	folder := strings.HasPrefix(p.OCI, "./")
	host, repository, ok := strings.Cut(p.OCI, "/")
	switch {
	case folder:
		if _, ok := inside(strings.TrimPrefix(p.OCI, "./")); !ok {
			l.add("E-PUBLISH", f.OCI.at, "", "%q is not a folder inside the project", clip(p.OCI))
		}
	case !ok || repository == "" || strings.Contains(p.OCI, "//") || strings.ContainsAny(repository, ":@") || strings.HasPrefix(host, "."):
		l.add("E-PUBLISH", f.OCI.at, "write host/repository, without scheme, tag or digest: the digest is the artifact's own", "%q is not a repository", clip(p.OCI))
	case p.As == "":
		l.add("E-PUBLISH", f.at, "add as: and the name of an identity", "pushing to %s needs an identity", clip(p.OCI))
	}
	if _, known := l.identities()[p.As]; p.As != "" && !known {
		l.add("E-IDENTITY", f.As.at, didYouMean(p.As, slices.Sorted(maps.Keys(l.identities()))), "there is no identity %q", p.As)
	}
	return p
}

// zoneKeys is what a stage may say, by zone. Commands of the project run in the
// first four alone; the others run Sallyport's own code.
func zoneKeys(z boundary.Zone) []string {
	common := []string{"zone", "from", "limits"}
	commands := append(common, "run", "env", "dir")
	switch z {
	case boundary.Fetch, boundary.Generate:
		return append(commands, "keep")
	case boundary.Build:
		return append(commands, "keep", "out")
	case boundary.Test:
		return append(commands, "reports")
	case boundary.Verify:
		return append(common, "check")
	case boundary.Release:
		return append(common, "when", "approve", "publish")
	}
	return common
}

func (l *loader) fitsZone(s *Stage, row *row[stageName, stageForm]) {
	if s.Zone == 0 {
		return
	}
	if s.Zone == boundary.Deploy {
		l.add("E-ZONE-DEPLOY", row.at, "end with release; deploy from its repository by digest", "version 1 of the file has no deploy stages")
		return
	}
	may := zoneKeys(s.Zone)
	for _, key := range slices.Sorted(maps.Keys(row.item.stood)) {
		if slices.Contains(may, key) {
			continue
		}
		code, why := "E-STAGE-KEY", "a "+s.Zone.String()+" stage has no "+key
		if key == "run" || key == "env" || key == "dir" {
			code, why = "E-STAGE-COMMAND", s.Zone.String()+" runs no command of the project: "+boundary.SP5.Text()+" (SP5)"
		}
		l.add(code, row.item.stood[key], keyHint(key), "%s", why)
	}
	if s.Zone <= boundary.Test && len(s.Run) == 0 {
		l.add("E-STAGE-EMPTY", row.at, "add run:, or remove the stage", "stage %q has nothing to run", s.Name)
	}
}

func keyHint(key string) string {
	var zones []string
	for _, z := range boundary.Zones() {
		if slices.Contains(zoneKeys(z), key) {
			zones = append(zones, z.String())
		}
	}
	return key + " stands in " + strings.Join(zones, ", ")
}
