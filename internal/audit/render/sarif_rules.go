package render

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// home is where the rules' pages are.
const home = "https://github.com/sallyport/sallyport"

// mostTags bounds the tags of a rule: GitHub refuses more.
const mostTags = 20

// semantic is a version that SARIF's semanticVersion takes (semver.org).
var semantic = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)$`)

// driver describes the audit, and the rules that the report uses.
func driver(rules []finding.Rule, refs []object, c Context) object {
	o := object{"name": "sallyport audit", "informationUri": home, "rules": sarifRules(rules, refs, c)}
	if c.Version != "" {
		o["version"] = short(c.Version)
	}
	if m := semantic.FindStringSubmatch(c.Version); m != nil {
		o["semanticVersion"] = m[1]
	}
	if len(refs) > 0 {
		o["supportedTaxonomies"] = refs
	}
	return o
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
			tags = append(tags, t.Taxonomy+"/"+t.ID)
			relations = append(relations, relation(t, refs))
		}
		about := "See " + page(rule.ID) + " for an example, the exact report, and what to do."
		o := object{
			"id": rule.ID, "name": camel(rule.Title), "shortDescription": object{"text": rule.Title + "."}, "fullDescription": object{"text": rule.Title + "."},
			"help": object{"text": about}, "helpUri": home + "/blob/main/" + page(rule.ID),
			"defaultConfiguration": object{"level": levelOf(rule.Severity)},
			"properties":           object{"tags": tags[:min(len(tags), mostTags)], "security-severity": score(rule.Severity), "precision": "high"},
		}
		if len(relations) > 0 {
			o["relationships"] = relations
		}
		out = append(out, o)
	}
	return out
}

func relation(t Taxon, refs []object) object {
	i := slices.IndexFunc(refs, func(o object) bool { return o["name"] == t.Taxonomy })
	return object{"target": object{"id": t.ID, "toolComponent": object{"name": t.Taxonomy, "index": i}}, "kinds": []string{"relevant"}}
}

// taxa are the controls of a rule, each once: SARIF refuses a tag twice.
func taxa(id finding.ID, c Context) []Taxon {
	if c.Taxa == nil {
		return nil
	}
	var all []Taxon
	for _, t := range c.Taxa(id) {
		if !slices.ContainsFunc(all, func(x Taxon) bool { return x.Taxonomy == t.Taxonomy && x.ID == t.ID }) {
			all = append(all, t)
		}
	}
	return all
}

// taxonomiesOf are the frameworks that the rules refer to, with the controls
// that are used.
func taxonomiesOf(rules []finding.Rule, c Context) (taxonomies, refs []object) {
	by := map[string][]Taxon{}
	var names []string
	for _, rule := range rules {
		for _, t := range taxa(rule.ID, c) {
			if !slices.ContainsFunc(by[t.Taxonomy], func(x Taxon) bool { return x.ID == t.ID }) {
				by[t.Taxonomy] = append(by[t.Taxonomy], t)
			}
			if !slices.Contains(names, t.Taxonomy) {
				names = append(names, t.Taxonomy)
			}
		}
	}
	slices.Sort(names)
	for i, n := range names {
		slices.SortFunc(by[n], func(a, b Taxon) int { return cmp.Compare(a.ID, b.ID) })
		var list []object
		for _, t := range by[n] {
			list = append(list, object{"id": t.ID, "shortDescription": object{"text": cmp.Or(t.Name, t.ID)}})
		}
		taxonomies = append(taxonomies, object{"name": n, "taxa": list})
		refs = append(refs, object{"name": n, "index": i})
	}
	return taxonomies, refs
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
	for _, w := range strings.FieldsFunc(title, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r)
	}) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}
