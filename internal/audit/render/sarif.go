package render

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// object is a JSON object of a foreign format.
type object = map[string]any

// SARIF writes SARIF 2.1.0 (OASIS): one result for each finding, the untrusted
// step as its location, the credential as a related one, the path as a code
// flow.
func SARIF(w io.Writer, r finding.Report, c Context) error {
	rules := usedRules(r)
	taxonomies, refs := taxonomiesOf(rules, c)
	driver := object{
		"name": "sallyport audit", "semanticVersion": semantic(c.Version), "informationUri": "https://github.com/sallyport/sallyport", "rules": sarifRules(rules, refs, c),
	}
	if len(refs) > 0 {
		driver["supportedTaxonomies"] = refs
	}
	run := object{
		"tool": object{"driver": driver}, "columnKind": "unicodeCodePoints",
		"originalUriBaseIds": object{"%SRCROOT%": object{"description": object{"text": "the root of the repository"}}},
		"results":            sarifResults(r, rules, newSources(c)),
		"invocations":        []object{{"executionSuccessful": len(r.Errors) == 0, "toolExecutionNotifications": notifications(r)}},
	}
	if len(taxonomies) > 0 {
		run["taxonomies"] = taxonomies
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(object{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": []object{run},
	})
}

// semantic is a version that SARIF's semanticVersion takes, or 0.0.0.
func semantic(v string) string {
	v = strings.TrimPrefix(v, "v")
	if strings.Count(v, ".") != 2 {
		return "0.0.0"
	}
	return v
}

func usedRules(r finding.Report) []finding.Rule {
	var used []finding.Rule
	for _, rule := range finding.Rules() {
		if slices.ContainsFunc(r.Findings, func(f finding.Finding) bool { return f.Rule == rule.ID }) {
			used = append(used, rule)
		}
	}
	return used
}

func sarifRules(rules []finding.Rule, refs []object, c Context) []object {
	out := []object{}
	for _, rule := range rules {
		tags := []string{"security", "supply-chain"}
		var relations []object
		for _, t := range taxa(rule.ID, c) {
			tags = append(tags, t.ID)
			relations = append(relations, object{
				"target": object{"id": t.ID, "toolComponent": object{"name": t.Taxonomy, "index": indexOf(refs, t.Taxonomy)}}, "kinds": []string{"relevant"},
			})
		}
		o := object{
			"id": rule.ID, "name": camel(rule.Title), "shortDescription": object{"text": rule.Title + "."},
			"fullDescription":      object{"text": rule.Title + "."},
			"help":                 object{"text": "See " + page(rule.ID) + " for an example, the exact report, and what to do."},
			"defaultConfiguration": object{"level": levelOf(rule.Severity)},
			"properties":           object{"tags": tags, "security-severity": score(rule.Severity), "precision": "high"},
		}
		if len(relations) > 0 {
			o["relationships"] = relations
		}
		out = append(out, o)
	}
	return out
}

func taxa(id finding.ID, c Context) []Taxon {
	if c.Taxa == nil {
		return nil
	}
	return c.Taxa(id)
}

// taxonomiesOf are the frameworks that the rules refer to, with the controls
// that are used.
func taxonomiesOf(rules []finding.Rule, c Context) (taxonomies, refs []object) {
	var names []string
	by := map[string][]object{}
	seen := map[string]bool{}
	for _, rule := range rules {
		for _, t := range taxa(rule.ID, c) {
			if by[t.Taxonomy] == nil {
				names = append(names, t.Taxonomy)
			}
			if key := t.Taxonomy + " " + t.ID; !seen[key] {
				seen[key] = true
				by[t.Taxonomy] = append(by[t.Taxonomy], object{"id": t.ID, "shortDescription": object{"text": cmp.Or(t.Name, t.ID)}})
			}
		}
	}
	slices.Sort(names)
	for i, n := range names {
		taxonomies = append(taxonomies, object{"name": n, "taxa": by[n]})
		refs = append(refs, object{"name": n, "index": i})
	}
	return taxonomies, refs
}

func indexOf(refs []object, name string) int {
	return slices.IndexFunc(refs, func(o object) bool { return o["name"] == name })
}

func sarifResults(r finding.Report, rules []finding.Rule, src *sources) []object {
	out := []object{}
	for _, f := range r.Findings {
		at := slices.IndexFunc(rules, func(x finding.Rule) bool { return x.ID == f.Rule })
		o := object{
			"ruleId": f.Rule, "ruleIndex": at, "level": levelOf(f.Severity), "message": object{"text": sarifMessage(f)},
			"locations":           []object{primary(f, src)},
			"partialFingerprints": object{"sallyport/v1": f.Fingerprint},
			"properties":          object{"confidence": f.Confidence, "severity": f.Severity, "job": f.Domain, "crossing": f.Crossing},
		}
		if rel := related(f, src); len(rel) > 0 {
			o["relatedLocations"] = rel
		}
		if len(f.Path) > 1 {
			o["codeFlows"] = []object{{"threadFlows": []object{{"locations": flow(f, src)}}}}
		}
		if f.Suppressed != "" {
			o["suppressions"] = []object{{"kind": "external", "justification": f.Suppressed}}
		}
		out = append(out, o)
	}
	return out
}

func sarifMessage(f finding.Finding) string {
	s := f.Title
	if len(f.Fix) > 0 {
		s += ". Fix: " + f.Fix[0] + "."
	}
	return s
}

func primary(f finding.Finding, src *sources) object {
	file, line, text := f.File, f.Line, ""
	if f.Untrusted != nil {
		file, line, text = cmp.Or(f.Untrusted.File, f.File), f.Untrusted.Line, f.Untrusted.Text
	}
	return location(file, line, text, "", src)
}

func related(f finding.Finding, src *sources) []object {
	var out []object
	add := func(k finding.Credential) {
		o := location(cmp.Or(k.File, f.File), k.Line, k.Name, k.Name+" enters by the "+k.Enters, src)
		o["id"] = len(out) + 1
		out = append(out, o)
	}
	if f.Credential != nil {
		add(*f.Credential)
	}
	for _, k := range f.Others {
		add(k)
	}
	return out
}

func flow(f finding.Finding, src *sources) []object {
	var out []object
	for _, s := range f.Path {
		out = append(out, object{"location": location(cmp.Or(s.File, f.File), s.Line, "", s.Text, src)})
	}
	return out
}

// location is a line of a file; where the text is found in it, its columns.
func location(file string, line int, text, message string, src *sources) object {
	region := object{"startLine": max(line, 1)}
	if l, ok := src.line(file, line); ok && text != "" {
		start, width := mark(l, text)
		region["startColumn"], region["endColumn"] = start+1, start+width+1
	}
	o := object{"physicalLocation": object{"artifactLocation": object{"uri": uri(file), "uriBaseId": "%SRCROOT%"}, "region": region}}
	if message != "" {
		o["message"] = object{"text": message}
	}
	return o
}

// uri escapes a path as RFC 3986 wants it.
func uri(file string) string {
	var b strings.Builder
	for _, c := range []byte(file) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		const hex = "0123456789ABCDEF"
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

func notifications(r finding.Report) []object {
	out := []object{}
	for _, g := range append(slices.Clone(r.Errors), r.Gaps...) {
		out = append(out, object{
			"level": "note", "message": object{"text": "not analysed: " + g.What + ": " + g.Why}, "locations": []object{location(g.File, g.Line, "", "", &sources{})},
		})
	}
	return out
}

func levelOf(s finding.Severity) string {
	switch s {
	case finding.Critical, finding.High:
		return "error"
	case finding.Medium:
		return "warning"
	}
	return "note"
}

// score is what code scanning sorts by.
func score(s finding.Severity) string {
	switch s {
	case finding.Critical:
		return "9.5"
	case finding.High:
		return "8.0"
	case finding.Medium:
		return "5.5"
	}
	return "2.0"
}

// camel makes a name of a title: DependencyCodeCanPublish.
func camel(title string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(title, func(r rune) bool { return r == ' ' || r == '\'' || r == ',' || r == '-' }) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}
