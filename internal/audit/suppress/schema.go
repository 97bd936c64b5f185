package suppress

import _ "embed" // the schema

//go:embed audit.schema.json
var schema string

// Schema returns the JSON Schema (draft-07) of the configuration, for editors.
// ParseConfig refuses more: a rule that does not exist, a pattern that is none.
func Schema() []byte { return []byte(schema) }
