// Package boundary is the model that Sallyport enforces and audits with: zones,
// identities, authorities, taint, flows and gates, and the rules SP1 to SP9.
// It is pure values and functions; it does no I/O.
package boundary
