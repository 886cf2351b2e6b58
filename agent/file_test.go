package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// answer is what the agent said to a request about files.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) json(t *testing.T) map[string]any {
	t.Helper()
	fields := map[string]any{}
	if err := json.Unmarshal(a.body, &fields); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	return fields
}

func (a *answer) want(t *testing.T, status int, code string) {
	t.Helper()
	if a.status != status || code != "" && !strings.Contains(string(a.body), `"code":"`+code+`"`) {
		t.Fatalf("%d %s instead of %d %s", a.status, a.body, status, code)
	}
}

// file makes a request below /v1/files; fields go into the query.
func file(t *testing.T, client *http.Client, method, name string, body io.Reader, fields ...string) *answer {
	t.Helper()
	query := url.Values{"user": {"root"}}
	for at := 0; at < len(fields); at += 2 {
		query.Set(fields[at], fields[at+1])
	}
	request, err := http.NewRequest(method, "http://guest/v1/files/"+name+"?"+query.Encode(), body)
	must(t, err)
	response, err := client.Do(request)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	return &answer{response.StatusCode, response.Header, text}
}

func order(t *testing.T, client *http.Client, name string, fields map[string]any) *answer {
	t.Helper()
	if fields["user"] == nil {
		fields["user"] = "root"
	}
	text, err := json.Marshal(fields)
	must(t, err)
	return file(t, client, http.MethodPost, name, bytes.NewReader(text))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

func TestFileGoesInAndOutUnchanged(t *testing.T) {
	g, client := session(t)
	data := make([]byte, 9<<20)
	_, _ = rand.Read(data)
	for _, name := range []string{"plain", "a\nb %41 #ü?", strings.Repeat("n", 255)} {
		at := g.dir + "/new/" + name
		put := file(t, client, "PUT", "content", bytes.NewReader(data), "path", at, "parents", "true")
		put.want(t, 200, "")
		if got := put.json(t); got["path"] != at || got["sizeBytes"] != float64(len(data)) || got["mode"] != "0644" {
			t.Fatalf("%v", got)
		}
		got := file(t, client, "GET", "content", nil, "path", at)
		if got.status != 200 || !bytes.Equal(got.body, data) || got.header.Get("X-File-Size") != fmt.Sprint(len(data)) || got.header.Get("X-File-Mode") != "0644" {
			t.Fatalf("%d %v", got.status, got.header)
		}
	}
	if left := names(t, g.dir+"/new"); len(left) != 3 {
		t.Fatalf("%q", left)
	}
}

func TestRangesOfAFile(t *testing.T) {
	g, client := session(t)
	at := g.dir + "/f"
	must(t, os.WriteFile(at, []byte("0123456789"), 0o600))
	for _, c := range []struct{ offset, length, want, start string }{
		{"0", "4", "0123", "0"}, {"7", "", "789", "7"}, {"7", "100", "789", "7"}, {"-3", "", "789", "7"}, {"-30", "", "0123456789", "0"}, {"", "", "0123456789", "0"}, {"", "2", "01", "0"},
	} {
		got := file(t, client, "GET", "content", nil, "path", at, "offset", c.offset, "length", c.length)
		if got.status != 200 || string(got.body) != c.want || got.header.Get("X-Content-Offset") != c.start {
			t.Errorf("%v: %d %s %v", c, got.status, got.body, got.header)
		}
	}
	for _, offset := range []string{"10", "99"} {
		got := file(t, client, "GET", "content", nil, "path", at, "offset", offset)
		got.want(t, 416, "EINVAL")
		if got.header.Get("X-File-Size") != "10" {
			t.Errorf("%v", got.header)
		}
	}
	file(t, client, "GET", "content", nil, "path", at, "offset", "x").want(t, 400, "EINVAL")
	if got := file(t, client, "GET", "content", nil, "path", "/proc/self/status"); !strings.Contains(string(got.body), "Name:") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestWhatCannotBeReadOrWritten(t *testing.T) {
	g, client := session(t)
	must(t, mkfifo(g.dir+"/fifo"))
	must(t, os.Symlink("loop", g.dir+"/loop"))
	must(t, os.WriteFile(g.dir+"/f", nil, 0o600))
	for path, want := range map[string]string{"/none": "404 ENOENT", "": "400 EISDIR", "/fifo": "400 EINVAL", "/f/x": "400 ENOTDIR", "/loop": "400 ELOOP", "/" + strings.Repeat("n", 256): "400 ENAMETOOLONG"} {
		got := file(t, client, "GET", "content", nil, "path", g.dir+path)
		if fields := got.json(t); fmt.Sprint(got.status, " ", fields["code"]) != want || fields["path"] == nil {
			t.Errorf("read %s: %d %v", path, got.status, fields)
		}
	}
	if got := file(t, client, "GET", "content", nil, "path", g.dir+"/none").json(t); got["error"] != "open "+g.dir+"/none: no such file or directory" {
		t.Errorf("%v", got)
	}
	for path, want := range map[string]string{"/none/x": "404 ENOENT", "": "400 EISDIR", "/fifo": "400 EINVAL", "/f/x": "400 ENOTDIR", "/loop": "400 ELOOP"} {
		got := file(t, client, "PUT", "content", strings.NewReader("x"), "path", g.dir+path)
		if fields := got.json(t); fmt.Sprint(got.status, " ", fields["code"]) != want {
			t.Errorf("write %s: %d %v", path, got.status, fields)
		}
	}
	for _, path := range []string{"relative", "", "/a\x00b"} {
		file(t, client, "GET", "content", nil, "path", path).want(t, 400, "EINVAL")
	}
	file(t, client, "GET", "content", nil, "path", "/dev/zero").want(t, 400, "EINVAL")
	file(t, client, "PUT", "content", nil, "path", "/dev/null").want(t, 400, "EINVAL")
	file(t, client, "GET", "nothing", nil, "path", "/").want(t, 404, "ENOENT")
}

func TestAReplacedFileKeepsItsMode(t *testing.T) {
	g, client := session(t)
	must(t, os.WriteFile(g.dir+"/real", []byte("a long old text"), 0o640))
	must(t, os.Mkdir(g.dir+"/d", 0o755))
	must(t, os.Symlink("../real", g.dir+"/d/link"))
	file(t, client, "PUT", "content", strings.NewReader("new"), "path", g.dir+"/d/link").want(t, 200, "")
	info, err := os.Lstat(g.dir + "/real")
	must(t, err)
	if read(t, g.dir+"/real") != "new" || info.Mode() != 0o640 {
		t.Fatalf("%v", info.Mode())
	}
	if link, err := os.Readlink(g.dir + "/d/link"); err != nil || link != "../real" {
		t.Fatal(link, err)
	}
	if got := file(t, client, "PUT", "content", strings.NewReader("x"), "path", g.dir+"/real", "mode", "4711").json(t); got["mode"] != "4711" {
		t.Fatalf("%v", got)
	}
	if info, err = os.Lstat(g.dir + "/real"); err != nil || info.Mode() != 0o711|os.ModeSetuid {
		t.Fatalf("%v", info.Mode())
	}
	must(t, os.Symlink("made", g.dir+"/dangling"))
	file(t, client, "PUT", "content", strings.NewReader("through"), "path", g.dir+"/dangling").want(t, 200, "")
	if read(t, g.dir+"/made") != "through" {
		t.Fatal("not written through a link to nothing")
	}
}

func TestABrokenBodyLeavesNothing(t *testing.T) {
	g, client := session(t)
	must(t, os.WriteFile(g.dir+"/f", []byte("old"), 0o600))
	before := len(names(t, g.dir))
	for range 5 {
		ctx, cancel := context.WithCancel(context.Background())
		reading, writing := io.Pipe()
		request, err := http.NewRequestWithContext(ctx, "PUT", "http://guest/v1/files/content?user=root&path="+url.QueryEscape(g.dir+"/f"), reading)
		must(t, err)
		done := make(chan struct{})
		go func() { _, _ = client.Do(request); close(done) }()
		_, err = writing.Write(make([]byte, 300<<10))
		must(t, err)
		eventually(t, "the temporary file", func() bool { return len(names(t, g.dir)) == before+1 })
		cancel()
		<-done
		eventually(t, "nothing is left", func() bool { return len(names(t, g.dir)) == before })
	}
	if read(t, g.dir+"/f") != "old" {
		t.Fatal("the old file is gone")
	}
}

func TestUploadIsContinued(t *testing.T) {
	g, client := session(t)
	at := g.dir + "/big"
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	part := func(offset, end int, total string) *answer {
		return file(t, client, "PUT", "content", bytes.NewReader(data[offset:end]), "path", at, "upload", "u-1", "offset", fmt.Sprint(offset), "total", total, "mode", "0600")
	}
	state := func() float64 {
		return file(t, client, "GET", "upload", nil, "path", at, "upload", "u-1").json(t)["sizeBytes"].(float64)
	}
	if state() != 0 {
		t.Fatal("begun before it began")
	}
	total := fmt.Sprint(len(data))
	part(0, 500_000, total).want(t, 200, "")
	if _, err := os.Stat(at); err == nil || state() != 500_000 {
		t.Fatal("there too early", state())
	}
	wrong := part(400_000, 500_000, total)
	wrong.want(t, 409, "EEXIST")
	if wrong.json(t)["sizeBytes"] != 500_000.0 {
		t.Fatalf("%s", wrong.body)
	}
	ctx, cancel := context.WithCancel(context.Background())
	reading, writing := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, "PUT", "http://guest/v1/files/content?user=root&upload=u-1&offset=500000&total="+total+"&path="+url.QueryEscape(at), reading)
	must(t, err)
	go func() { _, _ = client.Do(request) }()
	_, err = writing.Write(data[500_000:700_000])
	must(t, err)
	eventually(t, "the part", func() bool { return state() == 700_000 })
	part(700_000, 800_000, total).want(t, 409, "EBUSY")
	cancel()
	eventually(t, "the rest", func() bool { return part(700_000, len(data), total).status == 200 })
	if read(t, at) != string(data) || state() != 0 {
		t.Fatal("not what was sent")
	}
	for _, fields := range [][]string{{"upload", "../x", "total", "1"}, {"upload", "x", "offset", "-1", "total", "1"}, {"upload", "x", "offset", "2", "total", "1"}} {
		file(t, client, "PUT", "content", strings.NewReader("x"), append(fields, "path", at)...).want(t, 400, "EINVAL")
	}
}

func entries(t *testing.T, a *answer) []fileEntry {
	t.Helper()
	found := []fileEntry{}
	for _, line := range strings.Split(strings.TrimSpace(string(a.body)), "\n") {
		if line == "" {
			continue
		}
		entry := fileEntry{}
		must(t, json.Unmarshal([]byte(line), &entry))
		found = append(found, entry)
	}
	return found
}

func TestLists(t *testing.T) {
	g, client := session(t)
	root := g.dir + "/tree"
	must(t, os.MkdirAll(root+"/b/c", 0o750))
	must(t, os.WriteFile(root+"/a.txt", []byte("abc"), 0o604))
	must(t, os.WriteFile(root+"/b/c/new\nline \xff.txt", nil, 0o644))
	must(t, os.Symlink("/", root+"/link"))
	must(t, mkfifo(root+"/pipe"))
	list := entries(t, file(t, client, "GET", "list", nil, "path", root))
	brief := []string{}
	for _, entry := range list {
		brief = append(brief, fmt.Sprint(entry.Name, " ", entry.Type, " ", entry.Mode, " ", entry.IsDir))
	}
	if want := []string{"a.txt file 0604 false", "b directory 0750 true", "link symlink 0777 false", "pipe fifo 0600 false"}; !slices.Equal(brief, want) {
		t.Fatalf("%q", brief)
	}
	if list[0].Size != 3 || list[0].Path != root+"/a.txt" {
		t.Fatalf("%+v", list[0])
	}
	paths := func(fields ...string) []string {
		found := []string{}
		for _, entry := range entries(t, file(t, client, "GET", "list", nil, append(fields, "path", root)...)) {
			found = append(found, strings.TrimPrefix(entry.Path, root+"/"))
		}
		return found
	}
	if got := paths("recursive", "true"); !slices.Equal(got, []string{"a.txt", "b", "b/c", "b/c/new\nline \ufffd.txt", "link", "pipe"}) {
		t.Fatalf("%q", got)
	}
	if got := paths("recursive", "true", "pattern", "*.txt"); !slices.Equal(got, []string{"a.txt", "b/c/new\nline \ufffd.txt"}) {
		t.Fatalf("%q", got)
	}
	if got := paths("recursive", "true", "pattern", "b/*"); !slices.Equal(got, []string{"b/c"}) {
		t.Fatalf("%q", got)
	}
	if one := entries(t, file(t, client, "GET", "list", nil, "path", root+"/a.txt")); len(one) != 1 || one[0].Name != "a.txt" || one[0].Size != 3 {
		t.Fatalf("%+v", one)
	}
	file(t, client, "GET", "list", nil, "path", root+"/none").want(t, 404, "ENOENT")
	file(t, client, "GET", "list", nil, "path", root, "pattern", "[").want(t, 400, "EINVAL")
	must(t, os.Mkdir(root+"/many", 0o755))
	for i := range maxSorted + 700 {
		must(t, os.WriteFile(fmt.Sprintf("%s/many/%d", root, i), nil, 0o600))
	}
	if all := entries(t, file(t, client, "GET", "list", nil, "path", root+"/many")); len(all) != maxSorted+700 {
		t.Fatalf("%d entries", len(all))
	}
	got := order(t, client, "delete", map[string]any{"path": root + "/many", "recursive": true})
	if fields := got.json(t); fields["count"] != float64(maxSorted+701) || len(got.body) > maxReportBytes+1000 {
		t.Fatalf("%v, %d bytes", fields["count"], len(got.body))
	}
}

func TestDelete(t *testing.T) {
	g, client := session(t)
	root := g.dir + "/tree"
	must(t, os.MkdirAll(root+"/d/e", 0o755))
	must(t, os.WriteFile(root+"/d/f", nil, 0o600))
	must(t, os.WriteFile(g.dir+"/outside", nil, 0o600))
	must(t, os.Symlink(g.dir, root+"/d/link"))
	remove := func(path string, recursive bool) *answer {
		return order(t, client, "delete", map[string]any{"path": path, "recursive": recursive})
	}
	remove(root+"/d", false).want(t, 409, "ENOTEMPTY")
	remove(root+"/none", true).want(t, 404, "ENOENT")
	remove("/", true).want(t, 409, "EBUSY")
	if got := remove(root+"/d/e", false).json(t); got["count"] != 1.0 {
		t.Fatalf("%v", got)
	}
	if got := remove(root, true).json(t); got["count"] != 4.0 || got["deleted"].([]any)[3] != root {
		t.Fatalf("%v", got)
	}
	if _, err := os.Stat(g.dir + "/outside"); err != nil {
		t.Fatal("a link was followed")
	}
}

func TestRemoveIsNotLedOut(t *testing.T) {
	g, client := session(t)
	must(t, os.MkdirAll(g.dir+"/precious", 0o755))
	for i := range 50 {
		must(t, os.WriteFile(fmt.Sprintf("%s/precious/%d", g.dir, i), nil, 0o600))
	}
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Add(1)
	go func() {
		defer swapping.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.MkdirAll(g.dir+"/t/d", 0o755)
			_ = os.WriteFile(g.dir+"/t/d/1", nil, 0o600)
			_ = os.Rename(g.dir+"/t/d", g.dir+"/aside")
			_ = os.Symlink(g.dir+"/precious", g.dir+"/t/d")
			_ = os.Remove(g.dir + "/t/d")
			_ = os.RemoveAll(g.dir + "/aside")
		}
	}()
	for range 300 {
		order(t, client, "delete", map[string]any{"path": g.dir + "/t", "recursive": true})
		order(t, client, "chmod", map[string]any{"path": g.dir + "/t", "recursive": true, "mode": "0777"})
	}
	close(stop)
	swapping.Wait()
	info, err := os.Stat(g.dir + "/precious")
	must(t, err)
	if left := names(t, g.dir+"/precious"); len(left) != 50 || info.Mode().Perm() != 0o755 {
		t.Fatalf("%d files are left, %v", len(left), info.Mode())
	}
}

func TestRenameCopyChmodChown(t *testing.T) {
	needRoot(t)
	g, client := session(t)
	root := g.dir + "/tree"
	must(t, os.MkdirAll(root+"/d/e", 0o755))
	must(t, os.WriteFile(root+"/d/f", []byte("text"), 0o750))
	must(t, os.Symlink("f", root+"/d/link"))
	sparse, err := os.Create(root + "/d/e/sparse")
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 64<<20)
	must(t, err)
	must(t, sparse.Close())
	old := time.Unix(1_000_000_000, 123_000_000)
	must(t, os.Chtimes(root+"/d/f", old, old))

	copy := func(fields map[string]any) *answer { return order(t, client, "copy", fields) }
	copy(map[string]any{"source": root + "/d", "dest": root + "/x"}).want(t, 400, "EISDIR")
	copy(map[string]any{"source": root + "/d", "dest": root + "/d/e/x", "recursive": true}).want(t, 400, "EINVAL")
	copy(map[string]any{"source": root + "/d", "dest": root + "/d", "recursive": true}).want(t, 400, "EINVAL")
	copy(map[string]any{"source": root + "/d/f", "dest": root + "/d/f"}).want(t, 400, "EINVAL")
	copy(map[string]any{"source": root + "/none", "dest": root + "/x"}).want(t, 404, "ENOENT")
	got := copy(map[string]any{"source": root + "/d", "dest": root + "/x", "recursive": true, "preserveAttrs": true})
	got.want(t, 200, "")
	if fields := got.json(t); fields["count"] != 5.0 || fields["totalBytes"].(float64) > 1<<20 {
		t.Fatalf("%v", fields)
	}
	info, err := os.Stat(root + "/x/f")
	must(t, err)
	if !info.ModTime().Equal(old) || info.Mode() != 0o750 || read(t, root+"/x/f") != "text" {
		t.Fatalf("%v %v", info.ModTime(), info.Mode())
	}
	if link, _ := os.Readlink(root + "/x/link"); link != "f" {
		t.Fatal(link)
	}
	info, err = os.Stat(root + "/x/e/sparse")
	must(t, err)
	if info.Size() != 64<<20+3 || info.Sys().(*syscall.Stat_t).Blocks > 4096 {
		t.Fatalf("%d bytes in %d blocks", info.Size(), info.Sys().(*syscall.Stat_t).Blocks)
	}

	rename := func(source, dest string) *answer {
		return order(t, client, "rename", map[string]any{"source": source, "dest": dest})
	}
	rename(root+"/x", root+"/y").want(t, 200, "")
	rename(root+"/x", root+"/y").want(t, 404, "ENOENT")
	rename(root+"/y", root+"/y/z").want(t, 400, "EINVAL")
	rename(root+"/y", root+"/d").want(t, 409, "ENOTEMPTY")
	rename(root+"/y/f", root+"/none/f").want(t, 404, "ENOENT")

	changed := order(t, client, "chmod", map[string]any{"path": root + "/y", "mode": "0600", "recursive": true})
	changed.want(t, 200, "")
	if fields := changed.json(t); fields["count"] != 4.0 {
		t.Fatalf("%v", fields)
	}
	if info, _ := os.Stat(root + "/y"); info.Mode().Perm() != 0o600 {
		t.Fatalf("%v", info.Mode())
	}
	order(t, client, "chmod", map[string]any{"path": root + "/y", "mode": "9"}).want(t, 400, "EINVAL")

	owner := map[string]any{"path": root + "/d/f", "uid": os.Getuid(), "gid": os.Getgid()}
	changed = order(t, client, "chown", owner)
	changed.want(t, 200, "")
	if first := changed.json(t)["affected"].([]any)[0].(map[string]any); first["uid"] != float64(os.Getuid()) || first["path"] != root+"/d/f" {
		t.Fatalf("%v", first)
	}
	order(t, client, "chown", map[string]any{"path": root + "/d/f", "uid": "no-such-user"}).want(t, 400, "EINVAL")
	order(t, client, "chown", map[string]any{"path": root + "/d", "uid": "nobody", "recursive": true}).want(t, 200, "")
	if info, _ := os.Lstat(root + "/d/link"); info.Sys().(*syscall.Stat_t).Uid != 65534 {
		t.Fatal("the link kept its owner")
	}
}

func TestFilesAreTouchedAsTheirUser(t *testing.T) {
	needRoot(t)
	g, client := session(t)
	must(t, os.Chmod(g.dir, 0o755))
	must(t, os.Mkdir(g.dir+"/closed", 0o700))
	must(t, os.Mkdir(g.dir+"/open", 0o777))
	must(t, os.Chmod(g.dir+"/open", 0o777))
	must(t, os.WriteFile(g.dir+"/secret", []byte("x"), 0o600))
	must(t, os.WriteFile(g.dir+"/open/shared", []byte("x"), 0o666))
	must(t, os.Chmod(g.dir+"/open/shared", 0o4666))
	must(t, os.WriteFile(g.dir+"/open/roots", []byte("x"), 0o644))
	nobody := []string{"user", "nobody"}
	get := func(path string) *answer {
		return file(t, client, "GET", "content", nil, append(nobody, "path", g.dir+path)...)
	}
	put := func(path string, more ...string) *answer {
		return file(t, client, "PUT", "content", strings.NewReader("new"), append(append(nobody, "path", g.dir+path), more...)...)
	}
	for range 3 { // the thread is the agent's own again each time
		get("/secret").want(t, 403, "EACCES")
		put("/closed/f").want(t, 403, "EACCES")
		put("/open/roots").want(t, 403, "EACCES")
		file(t, client, "GET", "list", nil, append(nobody, "path", g.dir+"/closed")...).want(t, 403, "EACCES")
		file(t, client, "GET", "archive", nil, append(nobody, "path", g.dir)...).want(t, 403, "EACCES")
		order(t, client, "chmod", map[string]any{"user": "nobody", "path": g.dir + "/open/roots", "mode": "0777"}).want(t, 403, "EPERM")
		order(t, client, "chown", map[string]any{"user": "nobody", "path": g.dir + "/open/roots", "uid": "nobody"}).want(t, 403, "EPERM")
		order(t, client, "copy", map[string]any{"user": "nobody", "source": g.dir + "/secret", "dest": g.dir + "/open/copy"}).want(t, 403, "EACCES")
		file(t, client, "GET", "content", nil, "path", g.dir+"/secret").want(t, 200, "")
	}
	put("/open/new", "mode", "0640").want(t, 200, "")
	info, err := os.Stat(g.dir + "/open/new")
	must(t, err)
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 65534 || owner.Gid != 65534 || info.Mode() != 0o640 {
		t.Fatalf("%d:%d %v", owner.Uid, owner.Gid, info.Mode())
	}
	// Whoever may write a file keeps its owner, not its special bits, and may not choose its mode.
	put("/open/shared", "mode", "4755").want(t, 403, "EPERM")
	put("/open/shared").want(t, 200, "")
	info, err = os.Stat(g.dir + "/open/shared")
	must(t, err)
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 0 || info.Mode() != 0o666 || read(t, g.dir+"/open/shared") != "new" {
		t.Fatalf("%d %v", owner.Uid, info.Mode())
	}
	listed := entries(t, file(t, client, "GET", "list", nil, append(nobody, "path", g.dir, "recursive", "true", "pattern", "closed")...))
	if len(listed) != 1 || listed[0].Error != "EACCES" {
		t.Fatalf("%+v", listed)
	}
	if left := names(t, g.dir+"/open"); len(left) != 3 {
		t.Fatalf("%q", left)
	}
}

func TestArchiveThereAndBack(t *testing.T) {
	g, client := session(t)
	root := g.dir + "/tree"
	must(t, os.MkdirAll(root+"/d/locked", 0o755))
	must(t, os.WriteFile(root+"/d/f", []byte("text"), 0o640))
	must(t, os.WriteFile(root+"/d/locked/"+strings.Repeat("long", 60), make([]byte, 1<<20), 0o600))
	must(t, os.Symlink("/etc/passwd", root+"/d/link"))
	must(t, mkfifo(root+"/pipe"))
	old := time.Unix(1_000_000_000, 0)
	must(t, os.Chtimes(root+"/d/f", old, old))
	must(t, os.Chmod(root+"/d/locked", 0o555))
	must(t, os.Chtimes(root+"/d/locked", old, old))
	sent := file(t, client, "GET", "archive", nil, "path", root)
	sent.want(t, 200, "")
	if sent.header.Get("X-Archive-Entries") != "7" || sent.header.Get("X-Archive-Bytes") != fmt.Sprint(4+1<<20) {
		t.Fatalf("%v", sent.header)
	}
	got := file(t, client, "PUT", "archive", bytes.NewReader(sent.body), "path", g.dir+"/back/again", "parents", "true")
	got.want(t, 200, "")
	if fields := got.json(t); fields["count"] != 7.0 || fields["totalBytes"] != float64(4+1<<20) {
		t.Fatalf("%v", fields)
	}
	if again := file(t, client, "GET", "archive", nil, "path", g.dir+"/back/again"); !bytes.Equal(stripRoot(t, again.body), stripRoot(t, sent.body)) {
		t.Fatal("it came back different")
	}
	one := file(t, client, "GET", "archive", nil, "path", root+"/d/f")
	header, err := tar.NewReader(bytes.NewReader(one.body)).Next()
	must(t, err)
	if header.Name != "f" || header.Size != 4 {
		t.Fatalf("%+v", header)
	}
	file(t, client, "PUT", "archive", bytes.NewReader(sent.body[:len(sent.body)/2]), "path", g.dir+"/back").want(t, 400, "EINVAL")
	file(t, client, "PUT", "archive", bytes.NewReader(sent.body), "path", g.dir+"/none").want(t, 404, "ENOENT")
}

// stripRoot is an archive as text, without the time of its root.
func stripRoot(t *testing.T, archive []byte) []byte {
	t.Helper()
	text := bytes.Buffer{}
	for from := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := from.Next()
		if err == io.EOF {
			return text.Bytes()
		}
		must(t, err)
		if header.Name == "./" || header.Typeflag == tar.TypeDir && header.Mode != 0o555 {
			header.ModTime = time.Time{}
		}
		fmt.Fprintln(&text, header.Name, header.Typeflag, header.Size, header.Linkname, header.Mode, header.Typeflag != tar.TypeSymlink && header.Typeflag != tar.TypeFifo && header.ModTime.Unix() > 0)
		_, err = io.Copy(&text, from)
		must(t, err)
	}
}

func TestArchivesDoNotLeadOut(t *testing.T) {
	g, client := session(t)
	must(t, os.Mkdir(g.dir+"/in", 0o755))
	must(t, os.Mkdir(g.dir+"/out", 0o755))
	must(t, os.WriteFile(g.dir+"/out/secret", []byte("s"), 0o600))
	for name, headers := range map[string][]tar.Header{
		"dots":                {{Name: "../out/x", Typeflag: tar.TypeReg}},
		"inner dots":          {{Name: "a/../../out/x", Typeflag: tar.TypeReg}},
		"link":                {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: g.dir + "/out"}, {Name: "l/x", Typeflag: tar.TypeReg}},
		"relative link":       {{Name: "r", Typeflag: tar.TypeSymlink, Linkname: "../out"}, {Name: "r/x", Typeflag: tar.TypeReg}},
		"directory in a link": {{Name: "r2", Typeflag: tar.TypeSymlink, Linkname: "../out"}, {Name: "r2/x/", Typeflag: tar.TypeDir, Mode: 0o755}},
		"hard link":           {{Name: "h", Typeflag: tar.TypeLink, Linkname: "../out/secret"}},
		"hard link in a link": {{Name: "r3", Typeflag: tar.TypeSymlink, Linkname: "../out"}, {Name: "h2", Typeflag: tar.TypeLink, Linkname: "r3/secret"}},
		"device":              {{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
	} {
		archive := bytes.Buffer{}
		out := tar.NewWriter(&archive)
		for _, header := range headers {
			must(t, out.WriteHeader(&header))
		}
		must(t, out.Close())
		if got := file(t, client, "PUT", "archive", &archive, "path", g.dir+"/in"); got.status != 400 && got.status != 403 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if left := names(t, g.dir+"/out"); len(left) != 1 {
			t.Errorf("%s: %q", name, left)
		}
	}
	// A link's own place is replaced, not what it leads to; one that stays inside is followed.
	must(t, os.Symlink(g.dir+"/out/secret", g.dir+"/in/f"))
	must(t, os.Mkdir(g.dir+"/in/real", 0o755))
	must(t, os.Symlink("real", g.dir+"/in/alias"))
	archive := bytes.Buffer{}
	out := tar.NewWriter(&archive)
	must(t, out.WriteHeader(&tar.Header{Name: "/f", Typeflag: tar.TypeReg, Mode: 0o600}))
	must(t, out.WriteHeader(&tar.Header{Name: "alias/g", Typeflag: tar.TypeReg, Mode: 0o600}))
	must(t, out.Close())
	file(t, client, "PUT", "archive", &archive, "path", g.dir+"/in").want(t, 200, "")
	if info, err := os.Lstat(g.dir + "/in/f"); err != nil || !info.Mode().IsRegular() || read(t, g.dir+"/out/secret") != "s" {
		t.Error("written through a link")
	}
	if _, err := os.Stat(g.dir + "/in/real/g"); err != nil {
		t.Error(err)
	}
}

func FuzzUnpack(f *testing.F) {
	archive := bytes.Buffer{}
	out := tar.NewWriter(&archive)
	_ = out.WriteHeader(&tar.Header{Name: "d/f", Typeflag: tar.TypeReg, Size: 3, Mode: 0o644})
	_, _ = out.Write([]byte("abc"))
	_ = out.WriteHeader(&tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../x"})
	_ = out.WriteHeader(&tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "d/f"})
	_ = out.Close()
	f.Add(archive.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		above := t.TempDir()
		must(t, os.Mkdir(above+"/in", 0o755))
		root, err := openAt(atFdcwd, above+"/in", syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		must(t, err)
		defer syscall.Close(root)
		u := &unpacker{actor: &fileActor{asSelf: true}, full: above + "/in", root: root}
		_ = u.all(tar.NewReader(bytes.NewReader(data)))
		if left := names(t, above); len(left) != 1 {
			t.Fatalf("%q", left)
		}
		_ = filepath.WalkDir(above, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
	})
}

// watching is a subscription under test.
type watching struct {
	t     *testing.T
	lines *bufio.Scanner
}

func watch(t *testing.T, client *http.Client, fields map[string]any) *watching {
	t.Helper()
	fields["user"] = "root"
	text, err := json.Marshal(fields)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, "POST", "http://guest/v1/files/watch", bytes.NewReader(text))
	must(t, err)
	response, err := client.Do(request)
	must(t, err)
	w := &watching{t, bufio.NewScanner(response.Body)}
	if first := w.next(); response.StatusCode != 200 || first.Type != "subscribed" {
		t.Fatalf("%d %+v", response.StatusCode, first)
	}
	return w
}

func (w *watching) next() watchLine {
	w.t.Helper()
	line := watchLine{}
	if !w.lines.Scan() {
		w.t.Fatal("the watch ended", w.lines.Err())
	}
	must(w.t, json.Unmarshal(w.lines.Bytes(), &line))
	return line
}

// until reads events up to one, and returns all as text.
func (w *watching) until(last string) []string {
	w.t.Helper()
	seen := []string{}
	for !slices.Contains(seen, last) {
		line := w.next()
		seen = append(seen, strings.TrimSpace(line.Type[:min(1, len(line.Type))]+":"+line.Event+" "+filepath.Base(line.Path)))
	}
	return seen
}

func TestWatch(t *testing.T) {
	g, client := session(t)
	root := g.dir + "/w"
	must(t, os.MkdirAll(root+"/a/b", 0o755))
	w := watch(t, client, map[string]any{"paths": []string{root}, "recursive": true})
	must(t, os.WriteFile(root+"/a/b/f", []byte("1"), 0o600))
	w.until("e:write f")
	must(t, os.Chmod(root+"/a/b/f", 0o640))
	w.until("e:chmod f")
	must(t, os.Rename(root+"/a/b/f", root+"/a/g"))
	if seen := w.until("e:create g"); !slices.Contains(seen, "e:rename f") {
		t.Fatalf("%q", seen)
	}
	must(t, os.Remove(root+"/a/g"))
	w.until("e:remove g")
	// A tree made at once is reported whole.
	must(t, os.MkdirAll(root+"/n/m/o", 0o755))
	must(t, os.WriteFile(root+"/n/m/o/deep", nil, 0o600))
	if seen := w.until("e:create deep"); !slices.Contains(seen, "e:create m") || !slices.Contains(seen, "e:create o") {
		t.Fatalf("%q", seen)
	}
	must(t, os.WriteFile(root+"/n/m/o/deep", []byte("x"), 0o600))
	w.until("e:write deep")
	// What is moved is watched under its new name, and only under that.
	must(t, os.Rename(root+"/n", root+"/p"))
	w.until("e:create deep")
	must(t, os.WriteFile(root+"/p/m/late", nil, 0o600))
	for line := w.next(); ; line = w.next() {
		if strings.HasPrefix(line.Path, root+"/n/m") {
			t.Fatalf("%+v", line)
		}
		if line.Path == root+"/p/m/late" {
			break
		}
	}
	must(t, os.RemoveAll(root))
	for line := w.next(); line.Type != "error"; line = w.next() {
	}
	order(t, client, "watch", map[string]any{"paths": []string{}}).want(t, 400, "EINVAL")
	if status := order(t, client, "watch", map[string]any{"paths": []string{root}}); status.status != 404 {
		t.Fatalf("%d", status.status)
	}
}

func TestAWatchThatIsNotReadTellsItsLoss(t *testing.T) {
	g, client := session(t)
	must(t, os.Mkdir(g.dir+"/w", 0o755))
	w := watch(t, client, map[string]any{"paths": []string{g.dir + "/w"}, "recursive": true})
	// More than the kernel keeps for a reader that does not come (fs.inotify.max_queued_events, 16384).
	must(t, syscall.Kill(g.pid, syscall.SIGSTOP))
	for i := range 20_000 {
		name := fmt.Sprintf("%s/w/%d", g.dir, i%100)
		must(t, os.WriteFile(name, nil, 0o600))
		must(t, os.Remove(name))
	}
	must(t, os.Mkdir(g.dir+"/w/last", 0o755))
	must(t, syscall.Kill(g.pid, syscall.SIGCONT))
	for line := w.next(); line.Type != "overflow"; line = w.next() {
	}
	// What was made meanwhile is watched from then on.
	eventually(t, "an event", func() bool {
		must(t, os.WriteFile(g.dir+"/w/last/f", nil, 0o600))
		return w.next().Path == g.dir+"/w/last/f"
	})
}

func TestABodyInPiecesEndsWithAnEmptyOne(t *testing.T) {
	whole := "\x00\x00\x00\x03abc\x00\x00\x00\x02de\x00\x00\x00\x00"
	for cut := range len(whole) + 1 {
		got, err := io.ReadAll(&pieces{from: strings.NewReader(whole[:cut])})
		if (err == nil) != (cut == len(whole)) || err == nil && string(got) != "abcde" {
			t.Fatalf("cut at %d: %q %v", cut, got, err)
		}
	}
}
