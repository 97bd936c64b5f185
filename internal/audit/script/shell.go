package script

import "mvdan.cc/sh/v3/syntax"

// parse reads shell text.
func parse(lang syntax.LangVariant) *syntax.Parser { return syntax.NewParser(syntax.Variant(lang)) }
