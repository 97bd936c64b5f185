package boundary

// Reach is where taint comes in one graph, for those who show it.
type Reach struct{ x *index }

// Spread follows the taint of g. Of a graph that cannot be judged it tells
// that everything is tainted.
func Spread(g Graph) Reach {
	if g.Validate() != nil {
		return Reach{}
	}
	return Reach{newIndex(g)}
}

// Runs tells whether code that nobody here verified runs in a node.
func (r Reach) Runs(node string) bool {
	i, ok := r.place(node)
	return !ok || r.x.tainted(i)
}

// Carries tells whether what a node hands on may be of a tainted stage.
func (r Reach) Carries(node string) bool {
	i, ok := r.place(node)
	return !ok || r.x.carries(i)
}

// Lifted tells whether a gate clears what a flow of the graph brings.
func (r Reach) Lifted(f Flow) bool {
	_, from := r.place(f.From)
	_, to := r.place(f.To)
	return from && to && r.x.lifted(f)
}

func (r Reach) place(node string) (int, bool) {
	if r.x == nil {
		return 0, false
	}
	i, ok := r.x.at[node]
	return i, ok
}

// FlowID names a flow as crossings do in What.
func FlowID(f Flow) string { return f.id() }
