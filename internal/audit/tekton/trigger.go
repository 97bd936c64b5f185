package tekton

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/audit/ci"
	"github.com/sallyport/sallyport/internal/audit/tree"
)

const annotations = "pipelinesascode.tekton.dev/"

// triggersOf reads the annotations of Pipelines as Code. A run without any is
// started by something that the file does not tell: then there are none, which
// stands for whatever could be.
func triggersOf(n tree.Node) []ci.Trigger {
	notes := n.Get("metadata", "annotations")
	var all []ci.Trigger
	add := func(event string, at tree.Node) {
		trust := ci.Maintainer
		if event == "pull_request" {
			trust = ci.Contributor
		}
		if !slices.ContainsFunc(all, func(t ci.Trigger) bool { return t.Event == event }) {
			all = append(all, ci.Trigger{Event: event, Trust: trust, Where: at.Place()})
		}
	}
	if e := notes.Get(annotations + "on-event"); e.Exists() {
		for part := range strings.SplitSeq(strings.Trim(strings.TrimSpace(e.Text()), "[]"), ",") {
			add(eventName(strings.Trim(strings.TrimSpace(part), `"'`)), e)
		}
	}
	if e := notes.Get(annotations + "on-cel-expression"); e.Exists() {
		for _, event := range celEvents(e.Text()) {
			add(event, e)
		}
	}
	// Only who may start a run for a pull request can do so by a comment.
	if e := notes.Get(annotations + "on-comment"); e.Exists() {
		add("pull_request", e)
	}
	return all
}

// eventName is the kind of event: labels and closing are of a pull request.
func eventName(s string) string {
	if strings.HasPrefix(s, "pull_request") || strings.HasPrefix(s, "merge_request") {
		return "pull_request"
	}
	return s
}

// celEvents are the events that an expression asks for by name; where it asks
// for none, it may be any.
func celEvents(text string) []string {
	squeezed := strings.Join(strings.Fields(strings.ReplaceAll(text, `'`, `"`)), "")
	var all []string
	for _, event := range []string{"push", "pull_request", "incoming"} {
		if strings.Contains(squeezed, `event=="`+event+`"`) || strings.Contains(squeezed, `event_type=="`+event+`"`) {
			all = append(all, event)
		}
	}
	if len(all) == 0 {
		return []string{"push", "pull_request"}
	}
	return all
}

// join adds triggers that are not there yet.
func join(all, more []ci.Trigger) []ci.Trigger {
	for _, t := range more {
		if !slices.ContainsFunc(all, func(o ci.Trigger) bool { return o.Event == t.Event }) {
			all = append(all, t)
		}
	}
	return all
}
