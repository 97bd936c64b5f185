package sandbox

import (
	"fmt"
	"strings"
)

// Error names what is missing and the command that says more.
func (e *NotIsolated) Error() string {
	var why []string
	for _, l := range e.Missing {
		why = append(why, l.Primitive+": "+l.Why)
	}
	for _, p := range e.Probes {
		why = append(why, fmt.Sprintf("probe %s: wanted %s, got %s", p.Name, p.Wanted, p.Got))
	}
	return fmt.Sprintf("isolation is %s, %s is required (%s); see: sallyport doctor", e.Got, e.Wanted, strings.Join(why, "; "))
}
