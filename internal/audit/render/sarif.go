package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/finding"
)

// object is a JSON object of a foreign format.
type object = map[string]any

// mostRelated bounds the related locations of one result.
const mostRelated = 50

// SARIF writes SARIF 2.1.0 (OASIS): one result for each finding, the untrusted
// step as its location, the credential as a related one, the path as a code
// flow. A fingerprint does not change when lines move.
func SARIF(w io.Writer, r finding.Report, c Context) error {
	rules := usedRules(r)
	taxonomies, refs := taxonomiesOf(rules, c)
	run := object{
		"tool": object{"driver": driver(rules, refs, c)}, "columnKind": "unicodeCodePoints",
		"originalUriBaseIds": object{"%SRCROOT%": object{"description": object{"text": "the root of the repository"}}},
		"results":            sarifResults(r, rules, newSources(c)),
		"invocations":        []object{{"executionSuccessful": len(r.Errors) == 0, "toolExecutionNotifications": notifications(r)}},
	}
	if len(taxonomies) > 0 {
		run["taxonomies"] = taxonomies
	}
	return encode(w, object{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": []object{run}})
}

func sarifResults(r finding.Report, rules []finding.Rule, src *sources) []object {
	out := []object{}
	for _, f := range r.Findings {
		o := object{
			"ruleId": f.Rule, "level": levelOf(f.Severity), "locations": []object{sarifPlace(f, src)}, "properties": sarifProperties(f),
		}
		if i := slices.IndexFunc(rules, func(x finding.Rule) bool { return x.ID == f.Rule }); i >= 0 {
			o["ruleIndex"] = i
		}
		if f.Fingerprint != "" {
			o["partialFingerprints"] = object{"sallyport/v1": f.Fingerprint}
		}
		rel := related(f, src)
		o["message"] = object{"text": sarifMessage(f, len(rel) > 0)}
		if len(rel) > 0 {
			o["relatedLocations"] = rel
		}
		if len(f.Path) > 1 {
			o["codeFlows"] = []object{{"threadFlows": []object{{"locations": flow(f, src)}}}}
		}
		if f.Suppressed != "" {
			o["suppressions"] = []object{{"kind": suppression(f.SuppressedBy), "status": "accepted", "justification": short(f.Suppressed)}}
		}
		out = append(out, o)
	}
	return out
}

func sarifProperties(f finding.Finding) object {
	o := object{"severity": f.Severity, "confidence": f.Confidence}
	if f.Domain != "" {
		o["job"] = short(f.Domain)
	}
	if len(f.Crossing) > 0 {
		o["crossing"] = f.Crossing
	}
	return o
}

// suppression is SARIF's word for where a suppression stands.
func suppression(by string) string {
	if by == "comment" {
		return "inSource"
	}
	return "external"
}

// sarifMessage says what is wrong, and leads to the credential by a link: a
// viewer shows a related location only where the message names it.
func sarifMessage(f finding.Finding, linked bool) string {
	s := linkless(f.Title) + "."
	if k := f.Credential; linked && k != nil && f.Untrusted != nil && !strings.ContainsAny(k.Name, `[]()\`) {
		_, how, _ := strings.Cut(enters(*k), k.Name)
		s += fmt.Sprintf(" [%s](1)%s.", short(k.Name), linkless(how))
	}
	if len(f.Fix) > 0 {
		s += " Fix: " + linkless(f.Fix[0]) + "."
	}
	return s
}

// linkless is short text in which a viewer finds no link: [text](target) is
// SARIF's own form of one (3.11.6).
func linkless(s string) string {
	s = short(s)
	if !strings.Contains(s, "](") {
		return s
	}
	return strings.NewReplacer("[", `\[`, "]", `\]`).Replace(s)
}

// sarifPlace is the location of a result, with its job as a logical one.
func sarifPlace(f finding.Finding, src *sources) object {
	p := primary(f)
	p.line = max(p.line, 1) // a result without a line is shown nowhere
	o := location(p, "", src)
	if f.Domain != "" {
		o["logicalLocations"] = []object{{"name": short(f.Domain), "fullyQualifiedName": short(f.File + "/" + f.Domain)}}
	}
	return o
}

// related are the credentials, as far as none of them is the result's place.
func related(f finding.Finding, src *sources) []object {
	var all []finding.Credential
	if f.Credential != nil && f.Untrusted != nil {
		all = append(all, *f.Credential)
	}
	all = append(all, f.Others...)
	var out []object
	for i, k := range all[:min(len(all), mostRelated)] {
		o := location(spot{cmp.Or(k.File, f.File), k.Line, k.Name}, linkless(enters(k)), src)
		o["id"] = i + 1
		out = append(out, o)
	}
	return out
}

func flow(f finding.Finding, src *sources) []object {
	var out []object
	for _, s := range f.Path {
		out = append(out, object{"location": location(spot{cmp.Or(s.File, f.File), s.Line, ""}, linkless(s.Text), src)})
	}
	return out
}

// location is a line of a file; where the text is found in it, its columns.
func location(p spot, message string, src *sources) object {
	physical := object{"artifactLocation": object{"uri": uri(p.file), "uriBaseId": "%SRCROOT%"}}
	if p.line > 0 {
		physical["region"] = region(p, src)
	}
	o := object{"physicalLocation": physical}
	if message != "" {
		o["message"] = object{"text": message}
	}
	return o
}

func region(p spot, src *sources) object {
	o := object{"startLine": p.line}
	if l, ok := src.line(p.file, p.line); ok && p.text != "" {
		start, width := mark(l, p.text)
		o["startColumn"], o["endColumn"] = start+1, start+width+1
	}
	return o
}

// uri escapes a path as RFC 3986 wants it, relative to the repository.
func uri(file string) string {
	var b strings.Builder
	for _, c := range []byte(strings.TrimLeft(file, "/")) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func notifications(r finding.Report) []object {
	out := []object{}
	for _, m := range remarks(r) {
		level := "note"
		if m.Kind != "not analysed" {
			level = "warning"
		}
		o := object{"level": level, "message": object{"text": m.Kind + ": " + linkless(m.text())}}
		if m.File != "" {
			o["locations"] = []object{location(spot{m.File, m.Line, ""}, "", &sources{})}
		}
		out = append(out, o)
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
