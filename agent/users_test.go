package main

import (
	"slices"
	"strings"
	"testing"
)

func TestAccounts(t *testing.T) {
	root := writeTree(t, map[string]string{
		"/etc/passwd": "root:x:0:0::/root:/bin/sh\nbroken\nsprite:x:1000:1001:Sprite:/home/sprite:/bin/bash\nodd:x:minus:1::/:\nspriteling:x:1002:1002::/:\n",
		"/etc/group":  "root:x:0:\nsudo:x:27:other,sprite\nown:x:1001:sprite\nbad:x:x:sprite\nnear:x:30:spriteling\ndocker:x:999:sprite,root\n",
	})
	for name, want := range map[string]account{
		"sprite":  {"sprite", 1000, 1001, []uint32{1001, 27, 999}},
		"root":    {"root", 0, 0, []uint32{0, 999}},
		"nobody?": {"root", 0, 0, []uint32{0, 999}},
		"odd":     {"root", 0, 0, []uint32{0, 999}},
		"":        {"root", 0, 0, []uint32{0, 999}},
	} {
		got := findAccount(root, name)
		if got.name != want.name || got.uid != want.uid || got.gid != want.gid || !slices.Equal(got.groups, want.groups) {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestAccountsWithoutFiles(t *testing.T) {
	if got := findAccount(t.TempDir(), "sprite"); got.uid != 0 || got.name != "root" {
		t.Fatalf("%v", got)
	}
}

func TestHugePasswdIsBounded(t *testing.T) {
	root := writeTree(t, map[string]string{"/etc/passwd": strings.Repeat("x:x:1:1::/:\n", 200<<10) + "late:x:5:5::/:\n"})
	if got := findAccount(root, "late"); got.uid != 0 {
		t.Fatalf("read beyond the limit: %v", got)
	}
}
