package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Fuzzing of what the host, the disk and programs of the sprite say. The seeds run with every test; go test -fuzz NAME goes on from there.

// scriptedMachine applies nothing and remembers what it was told.
type scriptedMachine struct{ events []*resumeEvent }

func (m *scriptedMachine) resume(event *resumeEvent) error {
	m.events = append(m.events, event)
	return nil
}

func (m *scriptedMachine) quiesce() error { return errors.New("full") }

func (m *scriptedMachine) powerOff(time.Duration) error { return nil }

func FuzzControlLines(f *testing.F) {
	resume, _ := json.Marshal(func() map[string]any {
		request := resumeRequest()
		request["id"] = "1"
		return request
	}())
	for _, seed := range []string{"", "\n", `{"id":"1","op":"hello","versions":[1]}`, `{"id":"1","op":"hello","versions":["x"]}`, `{"id":1}`, string(resume), strings.Replace(string(resume), "box-1", "a\\nb", 1),
		`{"id":"1","op":"open","nonce":"00112233445566778899aabbccddeeff"}`, `{"id":"1","op":"open","nonce":"zz"}`, `{"id":"1","op":"quiesce"}`, `{"id":"1","op":"poweroff","deadlineMs":9223372036854775807}`,
		`{"id":"1","op":"poweroff","deadlineMs":-1}`, "half\",\"op\":\"hello\"}\n{\"id\":\"2\",\"op\":\"quiesce\"}", "[[[[", "\x00\xff"} {
		f.Add([]byte(seed))
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(f.TempDir(), "data"), Net: "unix"})
	must(f, err)
	f.Cleanup(func() { _ = listener.Close() })
	data := newDataPort(unixLink{listener}, http.NotFoundHandler())
	f.Fuzz(func(t *testing.T, said []byte) {
		machine := &scriptedMachine{}
		port := newControlPort(data, machine, newServices(nil, &devices{}, t.TempDir()), newCallDesk())
		host, guest := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = port.serve(guest) // ends with its host
		}()
		must(t, host.SetDeadline(time.Now().Add(patience)))
		const last = "the last"
		go func() {
			_, _ = io.WriteString(host, string(said)+"\n"+`{"id":"`+last+`","op":"hello","versions":[1]}`+"\n")
		}() // what is not written is missed below
		for lines := bufio.NewReader(host); ; {
			line, err := lines.ReadBytes('\n')
			must(t, err)
			answer := map[string]any{}
			must(t, json.Unmarshal(line, &answer))
			if answer["id"] == last {
				break
			}
		}
		must(t, host.Close())
		<-served
		for _, event := range machine.events {
			if strings.ContainsAny(event.hostname+event.generationID+event.machineID, "/ \n\x00") || len(event.machineID) != 32 || len(event.entropy) < 32 || event.time.UnixNano() <= 0 {
				t.Fatalf("%+v", event)
			}
		}
	})
}

func FuzzServiceDefinition(f *testing.F) {
	for _, seed := range []string{`{}`, `{"version":1,"name":"web","cmd":"sh","args":["-c","x"],"env":{"A":"b"},"dir":"x","needs":["db"],"http_port":80,"base":{"env":{"B":"c"},"dir":"/","user":"sprite"},"stopped":true}`,
		`{"name":"../x","cmd":"sh"}`, `{"name":"web","cmd":""}`, `{"name":"web","cmd":"a\u0000b"}`, `{"name":"web","cmd":"a","http_port":0}`, `{"name":"web","cmd":"a","env":{"=":"x"}}`,
		`{"name":"web","cmd":"a","needs":["db","db"]}`, `{"name":"web","cmd":"a","base":{"user":"a\u0000b"}}`, `{"name":"web","cmd":"a","args":null,"env":null,"needs":null}`, `[]`, `{"args":[1]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		definition := &serviceDefinition{}
		if json.Unmarshal(text, definition) != nil || definition.check() != nil {
			return
		}
		if filepath.Base(definition.Name) != definition.Name || definition.Name == "." || strings.HasPrefix(definition.Name, ".") {
			t.Fatalf("%q is no file name", definition.Name)
		}
		spec := definition.spec()
		if bad := spec.check(); bad != nil {
			t.Fatal(bad)
		}
		for _, each := range append(append([]string{spec.Path, spec.Dir, spec.User}, spec.Argv...), spec.environment()...) {
			if strings.ContainsRune(each, 0) {
				t.Fatalf("%q", each)
			}
		}
		kept := serviceStore{folder: t.TempDir()}
		definition.Version = serviceVersion
		must(t, kept.save(definition))
		again, _, err := kept.read(definition.Name)
		if err != nil {
			if len(asJSON(definition)) < maxDefinitionBytes {
				t.Fatal(err)
			}
			return // put refuses what is longer
		}
		if want, have := asJSON(definition), asJSON(again); want != have {
			t.Fatalf("%s came back as %s", want, have)
		}
	})
}

func asJSON(value any) string {
	text, _ := json.Marshal(value) // plain values always encode
	return string(text)
}

func FuzzTask(f *testing.F) {
	for _, seed := range []string{`{"name":"a","expire":1}`, `{"name":"a","expire":"1h"}`, `{"name":"a","expire":"1h1ns"}`, `{"name":"a","expire":3601}`, `{"name":"a","expire":1e3}`, `{"name":"a","expire":-1}`,
		`{"name":"a","expire":"-5m"}`, `{"name":"a","expire":"9999999999h"}`, `{"name":"a","expire":null}`, `{"name":"A","expire":1}`, `{"expire":"NaN"}`, `{"name":"a","expire":"0.5ms"}`, `{`} {
		f.Add(seed, "")
		f.Add(seed, "in-path")
	}
	f.Fuzz(func(t *testing.T, text, inPath string) {
		name, life, err := readTask(strings.NewReader(text), inPath)
		if err != nil {
			return
		}
		if life < minTaskTime || life > maxTaskTime || !validTaskName(name) || inPath != "" && name != inPath {
			t.Fatalf("%q for %v", name, life)
		}
		book := &taskBook{changed: func() {}, byName: map[string]*insideTask{}}
		if _, bad := book.keep(name, life, false); bad != nil {
			t.Fatal(bad)
		}
		if held := book.held(); held < time.Second || held > maxTaskTime {
			t.Fatalf("held for %v", held)
		}
	})
}

func FuzzBase(f *testing.F) {
	for _, seed := range []string{testBase(), `{}`, `{"user":""}`, `{"user":7}`, `null`, `{"user":"root","env":null}`, "x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if base := parseBase(text); base != nil && base.User == "" {
			t.Fatal("nobody")
		}
	})
}
