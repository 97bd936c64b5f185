package joblog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestWishOf(t *testing.T) {
	for line, want := range map[string]Wish{
		"sh: 1: cannot create .git/hooks/x: Read-only file system":                {WishWrite, ".git/hooks/x"},
		"bash: line 1: .git/config: Read-only file system":                        {WishWrite, ".git/config"},
		"touch: cannot touch '.github/workflows/a b.yml': Read-only file system":  {WishWrite, ".github/workflows/a b.yml"},
		"error: could not lock config file .git/config: Read-only file system":    {WishWrite, ".git/config"},
		"Error: EROFS: read-only file system, open '/p/.git/hooks/x'":             {WishWrite, "/p/.git/hooks/x"},
		"OSError: [Errno 30] Read-only file system: '/p/.git/x'":                  {WishWrite, "/p/.git/x"},
		"open .git/x: read-only file system":                                      {WishWrite, ".git/x"},
		"cat: /etc/deploy.key: No such file or directory":                         {WishFile, "/etc/deploy.key"},
		"Error: ENOENT: no such file or directory, open '/opt/tool/../tool/conf'": {WishFile, "/opt/tool/conf"},
		"stat /opt/x: no such file or directory":                                  {WishFile, "/opt/x"},
		"cat: missing.txt: No such file or directory":                             {},
		"the file system is a read-only file system":                              {},
		"all is well": {},
		"go: a.example/b@v1.0.0: module lookup disabled by GOPROXY=off":                                  {WishPackage, "a.example/b@v1.0.0"},
		"npm error request to http://x failed: cache mode is 'only-if-cached' but no cached response is": {WishPackage, "a package that is not in npm's cache"},
		`	"Error": "m.example/x@v1.0.0: module lookup disabled by GOPROXY=off"`:                          {WishPackage, "m.example/x@v1.0.0"},
		"npm error code ENOTCACHED":                                                                          {WishPackage, "a package that is not in npm's cache"},
		": module lookup disabled by GOPROXY=off":                                                            {},
		strings.Repeat("x", 3000) + ": Read-only file system":                                                {},
		"cat: '/" + strings.Repeat("x", 3000) + "': No such file or directory":                               {},
		"ls: cannot access '/opt/a': No such file or directory, and '/opt/b': No such file or directory too": {WishFile, "/opt/b"},
	} {
		if got, ok := WishOf(line); got != want || ok != (want != Wish{}) {
			t.Errorf("%.80q: %+v, want %+v", line, got, want)
		}
	}
}

// What passes an Ear is not changed, however it is cut, and memory is bounded.
func TestEar(t *testing.T) {
	var ear Ear
	var out bytes.Buffer
	text := "x\n" + strings.Repeat("y", 1<<20) + "\ncat: /opt/a: No such file or directory\ncat: /opt/a: No such file or directory\n"
	for i := range 2 * maxWishes {
		text += fmt.Sprintf("cat: /opt/%d: No such file or directory\n", i)
	}
	s := ear.Stream(&out)
	for i := 0; i < len(text); i += 7 {
		if _, err := s.Write([]byte(text[i:min(i+7, len(text))])); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != text {
		t.Error("the text was changed")
	}
	got := ear.Wishes()
	if len(got) != maxWishes || got[maxWishes-1].Target != fmt.Sprintf("/opt/%d", 2*maxWishes-1) {
		t.Errorf("%v", got)
	}
	if c := cap(s.(*heard).rest); c > 2*maxWishLine {
		t.Errorf("%d bytes are kept", c)
	}
}
