// Package boundary is the model that Sallyport enforces and audits with: zones,
// identities, authorities, taint, flows and gates, and the rules SP1 to SP9.
// It is pure values and functions; it does no I/O.
//
// It promises that [Check] finds every crossing of the graph that it is given,
// and that the same graph gives the same answer in the same words. It does not
// promise that the graph is true: that is the part of who draws it, the
// pipeline package for our own runs and the audit for other people's CI.
//
// # Glossary
//
// These words mean one thing each, in code, flags, documents and log lines.
//
//	zone        a level of trust; the seven have a fixed order
//	stage       one step of a pipeline; a node of the graph
//	domain      what is not isolated from each other: one sandbox, one CI job
//	identity    the name that a stage, or a credential that it holds, is known by
//	authority   what an identity may do: sign:KEY, publish:REPO, reach:HOST, ...
//	taint       code that nobody here verified runs there, or made this
//	flow        something that one node hands to another, by digest or by name
//	route       a way to the network
//	gateway     the only route of a tainted zone: packages, checked and recorded
//	gate        what lifts a taint, for one digest: a verdict and approvals
//	verdict     the gate's yes about one digest
//	approval    a person's yes about one digest
//	crossing    a path by which taint meets authority; a broken rule
//	rule        SP1 to SP9
//	run         one passage of a source through a pipeline
//	source      what is built
//	material    a dependency, as the gateway recorded it
//	artifact    a candidate for release, known by its digest
//	receipt     what the probe saw from inside a zone before the payload
//	denial      one refusal, explained
//	evidence    what was observed during one run
//	policy      which evidence is enough
//	promotion   an artifact's way into a release repository
//	ledger      the tamper-evident log of all crossings of the boundary
package boundary
