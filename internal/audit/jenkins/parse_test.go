package jenkins

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// Texts of every kind of quotes, and where a byte of each is written.
func TestLiteral(t *testing.T) {
	for _, c := range []struct {
		src, value string
		offset, at int
	}{
		{`'a\nb'`, "a\nb", 2, 4},
		{`'it\'s'`, "it's", 3, 5},
		{`"\$X ${env.Y} z"`, "$X ${Y} z", 8, 14},
		{`"$a.b.c!"`, "${a_b_c}!", 8, 7},
		{`"$(pwd) $"`, "$(pwd) $", 7, 8},
		{`"${f("}")}x"`, "${_expression}x", 14, 10},
		{"'''a\n  'b' \\\\'''", "a\n  'b' \\", 4, 7},
		{"\"\"\"a\\\n\"b\" ${x}\"\"\"", `a"b" ${x}`, 1, 6},
		{"'''a\r\nb'''", "a\nb", 2, 6},
		{`/a\/b \d/`, `a/b \d`, 2, 4},
		{"$/a 'b' \\c/$", `a 'b' \c`, 1, 3},
		{"'never ends\n", "never ends", 1, 2},
	} {
		tokens, _ := lex(c.src)
		l := tokens[0].lit
		if l == nil || l.value != c.value {
			t.Errorf("%s is read as %+v", c.src, l)
			continue
		}
		if got := l.at(c.offset); got != c.at {
			t.Errorf("%s: byte %d is written at %d, not %d", c.src, c.offset, got, c.at)
		}
	}
}

// shape is a call in a short form.
func shape(c *call) string {
	s := c.name
	if c.name == "=" {
		s = c.target + "="
	}
	for _, a := range c.args {
		s += "<" + a.key
		for _, p := range a.parts {
			switch {
			case p.lit != nil:
				s += "'" + p.lit.value + "'"
			case p.call != nil:
				s += " " + shape(p.call)
			default:
				s += " " + p.name
			}
		}
		s += ">"
	}
	if c.block {
		s += "{"
		for _, b := range c.body {
			s += shape(b) + ";"
		}
		s += "}"
	}
	return s
}

func TestParse(t *testing.T) {
	for src, want := range map[string]string{
		"sh 'a'":                   "sh<'a'>",
		"sh(script: 'a', x: true)": "sh<script'a'><x true>",
		"sh label: 'a',\n  script: 'b'\necho 'c'":            "sh<label'a'><script'b'>;echo<'c'>",
		"sh 'a' +\n  b\nc()":                                 "sh<'a' + b>;c",
		"sh 'a'\n  + 'b'":                                    "sh<'a' +'b'>",
		"stage('x') { sh 'a' } // sh 'b'":                    "stage<'x'>{sh<'a'>;}",
		"def x = sh(script: 'a').trim()":                     "x=< sh<script'a'> .trim>",
		"String x = 'a'":                                     "x=<'a'>",
		"def f(String a) { sh a }":                           "f< String a>{sh< a>;}",
		"docker.image('x').inside('y') { }":                  "docker.image<'x'>;.inside<'y'>{}",
		"parallel a: { sh 'b' }, c: { }":                     "parallel<a {{sh<'b'>;}><c {{}>",
		"x = [a: 'b', 'c': [d]]":                             "x=< [<a'b'><c [< d>>>",
		"if (a) { b() } else if (c) { d() } else { e() }":    "if< a>{b;};else< if< c>{d;}>;else{e;}",
		"try { a() } catch (x) { b() }":                      "try{a;};catch< x>{b;}",
		"m.each { k, v -> sh k }":                            "m.each{k;v;sh< k>;}",
		"x[0] = 'a'":                                         "x=<'a'>",
		"agent any\nstages { }":                              "agent< any>;stages{}",
		"a { b } }\nc 'd'":                                   "a{b;};c<'d'>",
		"/* sh 'a' */ b 'c'":                                 "b<'c'>",
		"x = y / 2\nsh 'a' // /":                             "x=< y / 2>;sh<'a'>",
		"x ==~ /sh 'a'/":                                     "x",
		"switch (x) {\ncase 'y': sh 'a'\ndefault: sh 'b'\n}": "switch< x>{sh<'a'>;default;sh<'b'>;}",
		"@Library('a') _\nb()":                               "@Library<'a'>;_;b",
		"timeout time: 5, unit: 'M'":                         "timeout<time 5><unit'M'>",
	} {
		all, over := parse(src)
		var got []string
		for _, c := range all {
			got = append(got, shape(c))
		}
		if g := strings.Join(got, ";"); g != want || over {
			t.Errorf("%s\nis read as %s\nnot       %s", src, g, want)
		}
	}
}

// A hostile file costs little and says that it was not read.
func TestLimits(t *testing.T) {
	calls := strings.Builder{}
	for i := range 20 {
		fmt.Fprintf(&calls, "def f%d() { f%d(); f%d() }\n", i, i+1, i+1)
	}
	for name, text := range map[string]string{
		"deep braces":      strings.Repeat("a {", 100_000),
		"deep lists":       "x = " + strings.Repeat("[", 100_000),
		"deep brackets":    "x = " + strings.Repeat("(a(", 50_000),
		"many words":       strings.Repeat("a b\n", 150_000),
		"functions":        calls.String() + "def f20() { f0() }\nnode { f0() }",
		"holes":            `node { sh "` + strings.Repeat("${", 100_000) + `" }`,
		"a long script":    "def f() { sh '''\n" + strings.Repeat("echo "+strings.Repeat("x", 100)+"\n", 1500) + "''' }\nnode { " + strings.Repeat("f();", 100) + " }",
		"stages":           "pipeline { agent any; stages { " + strings.Repeat("stage('a') { steps { sh 'b' } }\n", 2000) + " } }",
		"quotes":           strings.Repeat(`"'`, 100_000),
		"nested functions": "def f() { f() }\nnode { f() }",
	} {
		start := time.Now()
		d, err := Read(fstest.MapFS{"Jenkinsfile": {Data: []byte(text)}}, "Jenkinsfile", Options{})
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		} else if took > time.Second {
			t.Logf("%s took %s", name, took)
		}
		if err == nil && len(d.Gaps) == 0 {
			t.Errorf("%s was read without a gap", name)
		}
	}
	if _, err := Read(fstest.MapFS{"Jenkinsfile": {Data: make([]byte, 3<<20)}}, "Jenkinsfile", Options{}); err == nil {
		t.Error("a file that is too large was read")
	}
	if _, err := Read(nil, "Jenkinsfile", Options{}); err == nil {
		t.Error("no files were read")
	}
}
