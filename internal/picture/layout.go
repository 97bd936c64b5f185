package picture

import "slices"

// Sizes, in pixels of the drawing.
const (
	margin    = 28
	boxWidth  = 232
	lineStep  = 17
	boxHead   = 34
	boxGap    = 26
	gutter    = 14 // from a column's side to its first line
	pitch     = 9  // between lines of one gutter
	titleTall = 62
	headTall  = 58
	laneStep  = 27
	wallWide  = 118
	doorTall  = 28
)

// plan is where everything is drawn.
type plan struct {
	*scene
	width, height int
	boxTop        int // of the first box of each column
	laneTop       int // of the first wire
	laneEnd       int
	columns       []column
	places        map[*box]place
	lanes         []lane
	wall          int // x of the gate's middle; 0: nothing is guarded
	wallColumn    int // the first column behind it
}

// column is one zone's strip.
type column struct {
	x, width int // the strip
	boxX     int
	in, out  int // lines in the left and the right gutter
}

// place is a box on the drawing. Wires enter at its left and leave at its right.
type place struct {
	x, y, tall int
	ins, outs  int // how many wires
	nextIn     int
	nextOut    int
}

// lane is one wire: up from its start, along, and up to each end.
type lane struct {
	*wire
	y              int
	startX, startY int
	stops          []stop
}

type stop struct {
	end
	x, y, boxX int
}

func layout(s *scene) *plan {
	p := &plan{scene: s, places: map[*box]place{}, boxTop: margin + titleTall + headTall, wallColumn: -1}
	p.count()
	p.strips()
	p.stack()
	p.route()
	p.width = margin
	if n := len(p.columns); n > 0 {
		p.width = p.columns[n-1].x + p.columns[n-1].width
	}
	p.width = max(p.width+margin, 1080)
	return p
}

// count finds how many lines each gutter and each box has to bear.
func (p *plan) count() {
	p.columns = make([]column, len(p.zones))
	for _, w := range p.wires {
		from := p.places[w.from]
		from.outs++
		p.places[w.from] = from
		p.columns[w.from.column].out++
		for _, e := range w.ends {
			to := p.places[e.to]
			to.ins++
			p.places[e.to] = to
			p.columns[e.to.column].in++
		}
	}
}

// strips gives each column its place, and the wall its own before release.
func (p *plan) strips() {
	x := margin
	for i, z := range p.zones {
		if z.zone.Privileged() && p.wall == 0 && i > 0 {
			p.wall, p.wallColumn = x+wallWide/2, i
			x += wallWide
		}
		c := &p.columns[i]
		left, right := gutter+max(1, c.in)*pitch, gutter+max(1, c.out)*pitch
		c.x, c.boxX = x, x+left
		c.width = left + boxWidth + right
		x += c.width + 10
	}
}

// stack puts the boxes of each column below each other.
func (p *plan) stack() {
	low := p.boxTop
	for i, z := range p.zones {
		y := p.boxTop
		for _, b := range z.boxes {
			at := p.places[b]
			rows := max(len(b.lines)*lineStep+8, max(at.ins, at.outs)*pitch+6)
			at.x, at.y, at.tall = p.columns[i].boxX, y, boxHead+rows
			p.places[b] = at
			y += at.tall + boxGap
		}
		low = max(low, y)
	}
	p.laneTop = low + 14
}

// route gives each wire its lane, and each of its lines a place in the gutters.
func (p *plan) route() {
	outs, ins := make([]int, len(p.columns)), make([]int, len(p.columns))
	y := p.laneTop
	for _, w := range p.wires {
		if p.wall != 0 && w.from.column < p.wallColumn && w.far() >= p.wallColumn {
			y += doorTall / 2
		}
		from := p.places[w.from]
		l := lane{wire: w, y: y, startX: p.columns[w.from.column].boxX + boxWidth + gutter/2 + outs[w.from.column]*pitch, startY: p.port(&from.nextOut, from, from.outs)}
		p.places[w.from] = from
		outs[w.from.column]++
		for _, e := range w.ends {
			to := p.places[e.to]
			c := p.columns[e.to.column]
			l.stops = append(l.stops, stop{e, c.boxX - gutter - ins[e.to.column]*pitch, p.port(&to.nextIn, to, to.ins), c.boxX})
			p.places[e.to] = to
			ins[e.to.column]++
		}
		slices.SortStableFunc(l.stops, func(a, b stop) int { return a.x - b.x })
		p.lanes = append(p.lanes, l)
		y += laneStep
		if p.wall != 0 && w.from.column < p.wallColumn && w.far() >= p.wallColumn {
			y += doorTall / 2
		}
	}
	p.laneEnd = y
}

// port is the height at which the next wire meets a box, from below upward, so
// that wires that come first do not cut those that come after.
func (p *plan) port(next *int, at place, all int) int {
	y := at.y + boxHead + 6 + (all-1-*next)*pitch
	*next++
	return y
}
