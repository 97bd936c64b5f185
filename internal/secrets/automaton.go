package secrets

import "sort"

// keywordMax bounds what of a keyword or value goes into the automaton; the rest
// is compared at a hit. It keeps the table small enough for the cache.
const keywordMax = 8

type hitKind uint8

const (
	hitRule hitKind = iota
	hitValue
	hitGzip
)

// target is what a keyword leads to.
type target struct {
	kind   hitKind
	index  int
	length int // of the keyword
}

// automaton finds all keywords in one pass, in any case (Aho-Corasick, as a
// dense table over classes of bytes). States that end a keyword have the highest
// numbers, so that the inner loop needs one comparison.
type automaton struct {
	class   [256]uint32
	width   uint32
	next    []uint32 // state*width + class -> state*width
	outputs uint32   // first state*width that ends a keyword
	targets [][]target
	longest int
}

type node struct {
	next map[byte]*node
	fail *node
	out  []target
	id   uint32
}

type builder struct {
	root    *node
	longest int
}

func fold(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func (b *builder) add(word string, t target) {
	if b.root == nil {
		b.root = &node{}
	}
	n := b.root
	for i := range len(word) {
		c := fold(word[i])
		if n.next == nil {
			n.next = map[byte]*node{}
		}
		if n.next[c] == nil {
			n.next[c] = &node{}
		}
		n = n.next[c]
	}
	n.out = append(n.out, t)
	b.longest = max(b.longest, len(word))
}

func (b *builder) compile() *automaton {
	order := b.link()
	sort.SliceStable(order, func(i, j int) bool { return len(order[i].out) == 0 && len(order[j].out) > 0 })
	a := &automaton{longest: b.longest}
	a.classify(order)
	quiet := 0
	for i, n := range order {
		n.id = uint32(i)
		if len(n.out) == 0 {
			quiet++
		}
	}
	a.outputs = uint32(quiet) * a.width
	a.next = make([]uint32, len(order)*int(a.width))
	a.targets = make([][]target, len(order)-quiet)
	for i, n := range order {
		if len(n.out) > 0 {
			a.targets[i-quiet] = n.out
		}
		a.fill(n)
	}
	return a
}

// link sets the fail links breadth first and returns the nodes in that order.
func (b *builder) link() []*node {
	if b.root == nil {
		b.root = &node{}
	}
	order := []*node{b.root}
	for i := 0; i < len(order); i++ {
		n := order[i]
		for c, child := range sorted(n.next) {
			child.fail = b.root
			for f := n.fail; f != nil; f = f.fail {
				if g := f.next[c]; g != nil {
					child.fail = g
					break
				}
			}
			child.out = append(child.out, child.fail.out...)
			order = append(order, child)
		}
	}
	return order
}

func sorted(m map[byte]*node) func(func(byte, *node) bool) {
	keys := make([]int, 0, len(m))
	for c := range m {
		keys = append(keys, int(c))
	}
	sort.Ints(keys)
	return func(yield func(byte, *node) bool) {
		for _, c := range keys {
			if !yield(byte(c), m[byte(c)]) {
				return
			}
		}
	}
}

// classify gives each byte that some keyword holds a class of its own; all other
// bytes share class 0.
func (a *automaton) classify(order []*node) {
	a.width = 1
	for _, n := range order {
		for c := range sorted(n.next) {
			if a.class[c] == 0 {
				a.class[c] = a.width
				a.width++
			}
		}
	}
	for c := byte('A'); c <= 'Z'; c++ {
		a.class[c] = a.class[fold(c)]
	}
}

func (a *automaton) fill(n *node) {
	row := a.next[n.id*a.width:]
	for c := range 256 {
		if byte(c) != fold(byte(c)) {
			continue
		}
		for f := n; f != nil; f = f.fail {
			if g := f.next[byte(c)]; g != nil {
				row[a.class[c]] = g.id * a.width
				break
			}
		}
	}
}

// scan calls hit for each keyword in data; end is the index after its last byte.
func (a *automaton) scan(data []byte, hit func(t target, end int)) {
	state := uint32(0)
	next, class, outputs := a.next, &a.class, a.outputs
	for i, c := range data {
		state = next[state+class[c]]
		if state < outputs {
			continue
		}
		for _, t := range a.targets[(state-outputs)/a.width] {
			hit(t, i+1)
		}
	}
}
