package pipeline

import (
	"bytes"
	"encoding/json"
)

// SchemaID is the $id of the JSON Schema.
const SchemaID = "https://github.com/sallyport/sallyport/spec/sallyport-v1.schema.json"

// Schema returns the JSON Schema (draft-07) of sallyport.yaml, made from the
// same types as the parser. What Load takes, the schema takes; what a schema
// cannot say, such as an order of zones, only Load refuses.
func Schema() []byte {
	return schemaText((&fileForm{}).schema(), SchemaID, FileName, "The stages of a project, what each may do, and what it hands on.")
}

func schemaText(s object, id, title, about string) []byte {
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["$id"], s["title"], s["description"] = id, title, about
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		panic("schema is not JSON: " + err.Error()) // maps, lists and texts always are
	}
	return b.Bytes()
}
