package pipeline

// Level is how far a file came before it was refused.
type Level string

// The levels. The JSON Schema sees files that are past LevelText, and refuses
// what LevelShape names; of LevelMeaning it knows nothing.
const (
	LevelText    Level = "text"    // the characters, and YAML itself
	LevelShape   Level = "shape"   // keys, types and values
	LevelMeaning Level = "meaning" // stages and how they fit together
	LevelProject Level = "project" // what Detect found
)

// Code is one code of an Error, and what it means. Codes are never reused.
type Code struct {
	Code  string `json:"code"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// Codes lists every code that Load and Detect give.
func Codes() []Code {
	return []Code{
		{"E-YAML-EMPTY", LevelText, "the file says nothing"},
		{"E-YAML-SIZE", LevelText, "the file is larger than 1 MiB"},
		{"E-YAML-ENCODING", LevelText, "the file is not UTF-8, or starts with a byte order mark"},
		{"E-YAML-TAB", LevelText, "a tab"},
		{"E-YAML-CHARACTER", LevelText, "a character that does not show as itself: control, zero width, direction"},
		{"E-YAML-SYNTAX", LevelText, "not YAML"},
		{"E-YAML-DOCUMENTS", LevelText, "more than one document"},
		{"E-YAML-DIRECTIVE", LevelText, "a %YAML or %TAG directive"},
		{"E-YAML-ANCHOR", LevelText, "an anchor"},
		{"E-YAML-ALIAS", LevelText, "an alias"},
		{"E-YAML-MERGE", LevelText, "a merge key"},
		{"E-YAML-TAG", LevelText, "a tag"},
		{"E-YAML-DUPLICATE-KEY", LevelText, "a key twice in one mapping"},
		{"E-YAML-DEPTH", LevelText, "too many levels"},
		{"E-YAML-KEY", LevelText, "a key that is no word"},
		{"E-YAML-UNKNOWN-KEY", LevelShape, "a key that the format does not have there"},
		{"E-YAML-MISSING-KEY", LevelShape, "a key that has to be there"},
		{"E-YAML-TYPE", LevelShape, "a list where a word belongs, and the like"},
		{"E-YAML-VALUE", LevelShape, "a value that the key does not take"},
		{"E-STAGE-ZONE", LevelMeaning, "a stage without a zone, or with two"},
		{"E-STAGE-FROM", LevelMeaning, "from names a stage that is not there, or twice, or nothing"},
		{"E-STAGE-CYCLE", LevelMeaning, "stages take from each other in a circle"},
		{"E-STAGE-ORDER", LevelMeaning, "a stage takes from one of a later zone"},
		{"E-STAGE-KEY", LevelMeaning, "a key that stages of this zone do not have"},
		{"E-STAGE-COMMAND", LevelMeaning, "a command of the project in verify or release"},
		{"E-STAGE-EMPTY", LevelMeaning, "a stage with nothing to run"},
		{"E-VERIFY-SKIPPED", LevelMeaning, "a release that no verify stage comes before"},
		{"E-ZONE-DEPLOY", LevelMeaning, "a deploy stage, which version 1 does not have"},
		{"E-PATH", LevelMeaning, "a path that is absolute, leaves the project, or is not written plainly"},
		{"E-PATH-CONFLICT", LevelMeaning, "one path handed on by two stages that know nothing of each other"},
		{"E-ARTIFACT", LevelMeaning, "an artifact that does not exist, or twice"},
		{"E-IDENTITY", LevelMeaning, "an identity that does not exist"},
		{"E-PUBLISH", LevelMeaning, "a place that nothing can be published to"},
		{"E-GATEWAY", LevelMeaning, "an entry of the gateway that names no lockfile that can be read"},
		{"E-ENV", LevelMeaning, "a variable that the zone sets itself"},
		{"E-EXPECT", LevelMeaning, "an expectation about an authority that there is not"},
		{"E-PROJECT-NONE", LevelProject, "no project that can be detected"},
		{"E-PROJECT-FILE", LevelProject, "a manifest that cannot be read"},
		{"E-PROJECT-LIMIT", LevelProject, "a directory that is too large to look through"},
		{"E-MORE", LevelText, "there are more errors than are told"},
	}
}
