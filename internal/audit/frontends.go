package audit

// frontends are the CI systems that can be read.
func frontends() []frontend { return nil }
