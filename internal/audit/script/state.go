package script

// state is what earlier steps of the job did.
type state struct{}

// Read tells what one piece of shell text does, after all that was read before.
func (r *Reader) Read(s Source) Facts { return Facts{} }

// Variables returns the environment variables that a text refers to.
func Variables(s Source) []string { return nil }
