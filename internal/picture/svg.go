package picture

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/boundary"
)

// SVG draws g as one self-contained SVG document, light or dark as the viewer
// is.
func SVG(g boundary.Graph, crossings []boundary.Crossing, o Options) []byte {
	c := canvas{plan: layout(newScene(g, crossings, o))}
	c.draw()
	return c.b.Bytes()
}

type canvas struct {
	*plan
	b bytes.Buffer
}

// put writes one element; %s of its arguments are escaped.
func (c *canvas) put(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = escape(s)
		}
	}
	fmt.Fprintf(&c.b, format+"\n", args...)
}

func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return ""
	}
	return b.String()
}

// style holds all colours. Nothing in the drawing has one of its own, so that
// dark is a matter of these few lines.
const style = `
  svg { --paper:#ffffff; --ink:#1c2430; --soft:#5d6877; --line:#c9d1db; --strip:#f5f7fa; --card:#ffffff;
        --taint:#b45309; --taintfill:#fff7e8; --hatch:#f3d9a4; --clean:#0f766e; --cleanfill:#effaf7; --bad:#c81e1e; --badfill:#fff1f0; --wall:#39465a; }
  @media (prefers-color-scheme: dark) {
    svg { --paper:#10151c; --ink:#e6ebf2; --soft:#98a5b5; --line:#35404e; --strip:#171e27; --card:#1c242f;
          --taint:#f0a63a; --taintfill:#2b2312; --hatch:#57431a; --clean:#4fd1b5; --cleanfill:#12292a; --bad:#ff7b72; --badfill:#3a1a1c; --wall:#a9b7c9; }
  }
  .paper { fill:#ffffff; fill:var(--paper) } .strip { fill:#f5f7fa; fill:var(--strip) }
  text { font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif; font-size:12px; fill:#1c2430; fill:var(--ink) }
  .title { font-size:21px; font-weight:650 } .sub, .mark, .note { fill:#5d6877; fill:var(--soft) } .zone { font-size:15px; font-weight:650; letter-spacing:.02em }
  .name { font-size:13.5px; font-weight:650 } .fact { font-family:ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace; font-size:10.6px }
  .mark { font-size:10.6px } .wirename { font-size:11px } .small { font-size:11px }
  .card { stroke-width:1.4 }
  .clean.card { fill:#effaf7; fill:var(--cleanfill); stroke:#0f766e; stroke:var(--clean) }
  .taint.card { fill:#fff7e8; fill:var(--taintfill); stroke:#b45309; stroke:var(--taint) }
  .bad.card { stroke:#c81e1e; stroke:var(--bad); stroke-width:2.6 }
  .hatch { stroke:#f3d9a4; stroke:var(--hatch); stroke-width:3 }
  .frame { fill:none; stroke:#5d6877; stroke:var(--soft); stroke-width:1.2; stroke-dasharray:2 3 }
  .wire { fill:none; stroke-width:1.5; stroke-linejoin:round }
  .wire.taint { stroke:#b45309; stroke:var(--taint) } .wire.clean { stroke:#0f766e; stroke:var(--clean) } .wire.bad { stroke:#c81e1e; stroke:var(--bad); stroke-width:2.4 }
  .byname { stroke-dasharray:5 4 }
  .tip.taint { fill:#b45309; fill:var(--taint) } .tip.clean { fill:#0f766e; fill:var(--clean) } .tip.bad { fill:#c81e1e; fill:var(--bad) }
  .wall { stroke:#39465a; stroke:var(--wall); stroke-width:6; stroke-linecap:butt } .jamb { stroke:#39465a; stroke:var(--wall); stroke-width:2.4 } .leaf { stroke:#39465a; stroke:var(--wall); stroke-width:3; stroke-linecap:round } .gap { fill:#ffffff; fill:var(--paper) }
  .badge { fill:#c81e1e; fill:var(--bad) } .badgetext { fill:#ffffff; fill:var(--paper); font-weight:700; font-size:11px }
  .badtext { fill:#c81e1e; fill:var(--bad); font-weight:650 } .badbox { fill:#fff1f0; fill:var(--badfill); stroke:#c81e1e; stroke:var(--bad) }
`

func (c *canvas) draw() {
	below := c.laneEnd + 20
	legend, list := 44, c.crossingsTall()
	if n := min(len(c.demands()), maxDemands+1); n > 0 {
		legend += 10 + n*lineStep
	}
	c.height = below + legend + list + margin
	c.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`, c.width, c.height, c.width, c.height)
	c.put(`<title id="t">%s</title>`, c.heading())
	c.put(`<desc id="d">%s</desc>`, c.summary())
	c.b.WriteString("<style>" + style + "</style>\n")
	c.b.WriteString(`<defs><pattern id="h" width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line class="hatch" x1="0" y1="0" x2="0" y2="9"/></pattern></defs>` + "\n")
	c.put(`<rect class="paper" width="%d" height="%d"/>`, c.width, c.height)
	c.put(`<text class="title" x="%d" y="%d">%s</text>`, margin, margin+20, c.heading())
	c.put(`<text class="sub" x="%d" y="%d">%s</text>`, margin, margin+42, c.summary())
	for i := range c.zones {
		c.strip(i)
	}
	c.frames()
	c.drawWall()
	for _, l := range c.lanes {
		c.lane(l)
	}
	for _, z := range c.zones {
		for _, b := range z.boxes {
			c.box(b)
		}
	}
	c.legend(below)
	c.crossings(below + legend)
	c.b.WriteString("</svg>\n")
}

func (c *canvas) heading() string {
	if c.title == "" {
		return "The boundary"
	}
	return c.title + ": the boundary"
}

func (c *canvas) summary() string {
	n := 0
	for _, z := range c.zones {
		n += len(z.boxes)
	}
	what := "no crossing: untrusted code and release authority never meet"
	switch len(c.cross) {
	case 0:
	case 1:
		what = "1 crossing: untrusted code meets authority"
	default:
		what = fmt.Sprintf("%d crossings: untrusted code meets authority", len(c.cross))
	}
	return fmt.Sprintf("%d nodes, %d flows, %s", n, len(c.wires), what)
}

func (c *canvas) strip(i int) {
	z, col := c.zones[i], c.columns[i]
	top := margin + titleTall
	c.put(`<rect class="strip" x="%d" y="%d" width="%d" height="%d" rx="10"/>`, col.x, top, col.width, c.laneEnd-top)
	c.put(`<text class="zone" x="%d" y="%d">%s</text>`, col.boxX, top+24, z.name)
	c.put(`<text class="note small" x="%d" y="%d">%s</text>`, col.boxX, top+42, z.note)
}

// frames draws a line around boxes of one column that share a domain.
func (c *canvas) frames() {
	for _, z := range c.zones {
		for i := 0; i < len(z.boxes); {
			k := i + 1
			for z.boxes[i].domain != "" && k < len(z.boxes) && z.boxes[k].domain == z.boxes[i].domain {
				k++
			}
			if k > i+1 {
				first, last := c.places[z.boxes[i]], c.places[z.boxes[k-1]]
				c.put(`<rect class="frame" x="%d" y="%d" width="%d" height="%d" rx="11"/>`, first.x-6, first.y-9, boxWidth+12, last.y+last.tall-first.y+18)
			}
			i = k
		}
	}
}

func (c *canvas) box(b *box) {
	at := c.places[b]
	class := "clean card"
	if b.tainted {
		class = "taint card"
	}
	if len(b.broken) > 0 {
		class += " bad"
	}
	c.put(`<g>`)
	c.put(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="7"/>`, class, at.x, at.y, boxWidth, at.tall)
	if b.tainted {
		c.put(`<path d="M%d %dv%da6 6 0 0 0 6 6h6v-%dh-6a6 6 0 0 0 -6 6z" fill="url(#h)"/>`, at.x+1, at.y+7, at.tall-14, at.tall-2)
	}
	c.put(`<text class="name" x="%d" y="%d">%s</text>`, at.x+22, at.y+21, b.title)
	for i, l := range b.lines {
		y := at.y + boxHead + 10 + i*lineStep
		c.put(`<text class="mark" x="%d" y="%d">%s</text>`, at.x+22, y, l.mark)
		c.put(`<text class="fact" x="%d" y="%d">%s</text>`, at.x+22+markWidth(l.mark), y, l.text)
	}
	c.badges(b.broken, at.x+boxWidth-6, at.y-9)
	c.put(`</g>`)
}

func markWidth(mark string) int {
	return map[string]int{"runs": 29, "holds": 36, "reaches": 47, "in": 15}[mark]
}

// badges are the ids of broken rules, to the left of x.
func (c *canvas) badges(rules []string, x, y int) {
	for _, r := range slices.Backward(rules) {
		x -= 36
		c.put(`<rect class="badge" x="%d" y="%d" width="33" height="18" rx="9"/>`, x, y)
		c.put(`<text class="badgetext" x="%d" y="%d" text-anchor="middle">%s</text>`, x+16, y+13, r)
	}
}

func (c *canvas) lane(l lane) {
	class := tone(l.tainted, len(l.broken) > 0)
	dash := ""
	if !l.byDigest {
		dash = " byname"
	}
	edge := c.columns[l.from.column].boxX + boxWidth
	corner := c.wall != 0 && l.startX < c.wall
	c.put(`<path class="wire %s%s" d="M%d %dH%dV%d"/>`, class, dash, edge, l.startY, l.startX, l.y)
	x, lifted := l.startX, false
	for _, s := range l.stops {
		if corner && s.x > c.wall && x < c.wall {
			c.put(`<path class="wire %s%s" d="M%d %dH%d"/>`, class, dash, x, l.y, c.wall)
			lifted = c.door(l, s)
			x = c.wall
		}
		class := tone(l.tainted && !lifted, len(s.broken) > 0)
		c.put(`<path class="wire %s%s" d="M%d %dH%dV%dH%d"/>`, class, dash, x, l.y, s.x, s.y, s.boxX-6)
		c.put(`<path class="tip %s" d="M%d %dl-8 -4v8z"/>`, class, s.boxX-1, s.y)
		if len(s.broken) > 0 {
			c.badges(s.broken, s.x-4, l.y-9)
		}
		x = max(x, s.x)
	}
	c.put(`<text class="wirename" x="%d" y="%d" text-anchor="end">%s</text>`, edge-2, l.y+4, l.label())
}

func tone(tainted, broken bool) string {
	switch {
	case broken:
		return "bad"
	case tainted:
		return "taint"
	}
	return "clean"
}

// drawWall draws what stands between what is judged and who releases it.
func (c *canvas) drawWall() {
	if c.wall == 0 {
		return
	}
	top := margin + titleTall
	c.put(`<text class="zone" x="%d" y="%d" text-anchor="middle">gate</text>`, c.wall, top+24)
	want := ""
	for _, g := range c.gates {
		if d := demand(g); want == "" || want == d {
			want = d
		} else {
			want = "see below"
		}
	}
	if want == "" {
		want = "none"
	}
	for i, part := range strings.SplitAfter(want, " + ") {
		c.put(`<text class="note small" x="%d" y="%d" text-anchor="middle">%s</text>`, c.wall, top+42+i*15, strings.TrimSpace(part))
	}
	c.put(`<line class="wall" x1="%d" y1="%d" x2="%d" y2="%d"/>`, c.wall, top+headTall+14, c.wall, c.laneEnd)
}

// door draws how a wire passes the wall, and tells whether its taint is lifted.
func (c *canvas) door(l lane, s stop) bool {
	if !s.lifted {
		if l.tainted || len(s.broken) > 0 {
			c.put(`<path class="wire bad" d="M%d %dl14 14m0 -14l-14 14"/>`, c.wall-7, l.y-7)
		}
		return false
	}
	c.put(`<rect class="gap" x="%d" y="%d" width="8" height="%d"/>`, c.wall-4, l.y-doorTall/2, doorTall)
	c.put(`<path class="jamb" d="M%d %dh16M%d %dh16"/>`, c.wall-8, l.y-doorTall/2, c.wall-8, l.y+doorTall/2)
	c.put(`<path class="leaf" d="M%d %dl24 -14"/>`, c.wall+1, l.y-doorTall/2+2)
	return true
}

// legend explains the signs, and what the gates want.
func (c *canvas) legend(y int) {
	x := margin
	item := func(draw func(x, y int), text string) {
		draw(x, y)
		c.put(`<text class="small" x="%d" y="%d">%s</text>`, x+34, y+12, text)
		x += 34 + len(text)*13/2 + 24
	}
	item(func(x, y int) {
		c.put(`<rect class="taint card" x="%d" y="%d" width="26" height="16" rx="4"/><rect x="%d" y="%d" width="10" height="14" fill="url(#h)"/>`, x, y, x+1, y+1)
	}, "runs code that nobody here verified")
	item(func(x, y int) {
		c.put(`<rect class="clean card" x="%d" y="%d" width="26" height="16" rx="4"/>`, x, y)
	}, "runs pinned code only")
	item(func(x, y int) { c.put(`<path class="wire taint" d="M%d %dh26"/>`, x, y+8) }, "carries the taint on")
	item(func(x, y int) { c.put(`<path class="wire taint byname" d="M%d %dh26"/>`, x, y+8) }, "by name, not by digest")
	item(func(x, y int) { c.put(`<path class="wire clean" d="M%d %dh26"/>`, x, y+8) }, "clean, or cleared by a gate")
	if len(c.cross) > 0 {
		c.put(`<rect class="badge" x="%d" y="%d" width="33" height="18" rx="9"/><text class="badgetext" x="%d" y="%d" text-anchor="middle">SP1</text>`, x, y-1, x+16, y+12)
		c.put(`<text class="small" x="%d" y="%d">a rule that is broken</text>`, x+41, y+12)
	}
	for i, text := range c.demands() {
		if i == maxDemands {
			c.put(`<text class="small" x="%d" y="%d">and %d more gates</text>`, margin, y+38+i*lineStep, len(c.demands())-i)
			break
		}
		c.put(`<text class="small" x="%d" y="%d">%s</text>`, margin, y+38+i*lineStep, text)
	}
}

const maxDemands = 4

// demands words the gates, one for each digest.
func (c *canvas) demands() []string {
	var out []string
	for _, g := range c.gates {
		out = add(out, fmt.Sprintf("gate: %s passes with %s, for that very digest", show(string(g.Subject), 60), demand(g)))
	}
	return out
}

const maxListed = 12

func (c *canvas) crossingsTall() int {
	tall := 0
	for i, x := range c.cross {
		if i == maxListed {
			return tall + 30
		}
		tall += 34 + len(x.Path)*lineStep + 12
	}
	return tall
}

// crossings lists the broken rules with their paths, below the picture.
func (c *canvas) crossings(y int) {
	for i, x := range c.cross {
		if i == maxListed {
			c.put(`<text class="small" x="%d" y="%d">and %d more crossings</text>`, margin, y+16, len(c.cross)-i)
			return
		}
		tall := 34 + len(x.Path)*lineStep
		c.put(`<rect class="badbox" x="%d" y="%d" width="%d" height="%d" rx="7"/>`, margin, y, c.width-2*margin, tall)
		c.put(`<text class="badtext" x="%d" y="%d">%s</text>`, margin+14, y+20, strings.TrimSpace(string(x.Rule)+"  "+show(x.Text, 140)))
		for k, s := range x.Path {
			where := ""
			if p := s.Where.String(); p != "" {
				where = show(p, 60)
			}
			c.put(`<text class="small" x="%d" y="%d">%d. %s<tspan class="note" dx="10">%s</tspan></text>`, margin+14, y+38+k*lineStep, k+1, show(s.Text, 140), where)
		}
		y += tall + 12
	}
}
