#!/usr/bin/env bash
# What a sprite can do, through the command line: create, run, checkpoint, lose a file and a process, restore, find both again.
# Needs a daemon and `sylph login`. Usage: demo.sh [NAME]
source "$(dirname "$0")/lib.sh"
name=${1:-demo-$(date +%s)}
# Booting an image the first time takes a few seconds, ten times as long under emulation on a busy machine.
export SYLPH_TIMEOUT=${SYLPH_TIMEOUT:-180}
sylph() { "$node" packages/cli/src/main.ts "$@"; }
inside() { sylph exec -s "$name" -- bash -c "$1"; }

# show TEXT COMMAND…: runs a step, prints what it said last and how long it took.
show() {
  local text=$1 started output
  shift
  started=$(date +%s%N)
  output=$("$@" 2>&1) || { printf '%s\n' "$output" >&2; fail "$text" "The sprite $name is left as it is: npm run sylph -- info -s $name"; }
  printf '    %-52s %6d ms   %s\n' "$text" $((($(date +%s%N) - started) / 1000000)) "$(printf '%s' "$output" | tail -n 1 | cut -c 1-60)"
}

# The process counts up once a second; as long as it lives, its number grows.
start_counting='nohup bash -c "n=0; while true; do n=\$((n+1)); echo \$n > /tmp/count; sleep 1; done" >/dev/null 2>&1 & echo $! > /tmp/counter.pid; sleep 1.5; echo "counting as process $(cat /tmp/counter.pid)"'
look='echo "file: $(cat note.txt 2>/dev/null || echo gone), process: $(kill -0 $(cat /tmp/counter.pid) 2>/dev/null && echo counts || echo gone)"'
expect_both='test "$(cat note.txt)" = "remember me" && kill -0 $(cat /tmp/counter.pid) && before=$(cat /tmp/count) && sleep 2.5 && test $(cat /tmp/count) -gt $before && echo "file and process are back, counter at $(cat /tmp/count)"'
expect_neither='! test -e note.txt && ! kill -0 $(cat /tmp/counter.pid) 2>/dev/null && echo "file and process are gone"'

say "==> the first sprite: $name"
show 'create' sylph create "$name" --skip-console
show 'run a command' inside 'echo "hello from $(uname -sr), $(. /etc/os-release; echo $PRETTY_NAME)"'
show 'write a file' inside 'echo "remember me" > note.txt; echo "note.txt written"'
show 'start a process' inside "$start_counting"
show 'checkpoint' sylph checkpoint create -s "$name" --comment 'before the accident'
show 'destroy both' inside 'rm note.txt; kill -9 $(cat /tmp/counter.pid); sleep 0.2; '"$look"
show 'look: both are gone' inside "$expect_neither"
show 'restore' sylph restore v0 -s "$name"
show 'look: both are back' inside "$expect_both"
show 'remove the sprite' sylph destroy "$name" --force
