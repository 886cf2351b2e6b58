# Shared by the scripts beside it. Source it first: it moves to the project's root and sets what all of them need.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
cache=$root/.cache
node=$root/node_modules/.bin/node
export DEBIAN_FRONTEND=noninteractive
# Go's own installer puts it there without telling PATH.
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin

say() { printf '%s\n' "$*"; }

# fail WHAT NEXT: says what failed and what to do next, and ends the script.
fail() {
  printf 'error: %s\n' "$1" >&2
  [ -n "${2:-}" ] && printf '  %s\n' "$2" >&2
  exit 1
}

# step NAME NEXT COMMAND…: runs a command quietly. Says its name, after 2 s how long it has taken and its last line now and then, and how long it
# took; on failure the end of its output and what to do next.
step() {
  local name=$1 next=$2 started=$SECONDS status=0 pid log
  shift 2
  mkdir -p "$cache/logs"
  log=$cache/logs/$(printf '%s' "$name" | tr -cs 'a-zA-Z0-9\n' '-').log
  say "==> $name"
  # Without the lock that a caller may hold on descriptor 9: what a step leaves running must not hold it longer.
  "$@" >"$log" 2>&1 </dev/null 9>&- &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  tell_progress "$pid" "$log" "$started" 9>&- &
  local teller=$!
  wait "$pid" || status=$?
  kill "$teller" 2>/dev/null || true
  wait "$teller" 2>/dev/null || true
  trap - INT TERM
  if [ "$status" -ne 0 ]; then
    printf '    failed after %d s (exit %d); the last lines of %s:\n' $((SECONDS - started)) "$status" "$log" >&2
    tail -n 25 "$log" | sed 's/^/    | /' >&2
    fail "$name" "$next"
  fi
  say "    done in $((SECONDS - started)) s"
}

# last_line FILE: the last line that says something, without control characters.
last_line() { tail -c 2000 "$1" | tr '\r' '\n' | sed -n '/[^[:space:]]/p' | tail -n 1 | tr -d '\000-\037' | cut -c 1-110; }

# tell_progress PID LOG STARTED: a line after 2 s, then every 10 s, while PID lives. Sleeps are short, because they outlive a killed teller.
tell_progress() {
  local next=$(($3 + 2))
  while sleep 0.3 && kill -0 "$1" 2>/dev/null; do
    [ "$SECONDS" -ge "$next" ] || continue
    next=$((SECONDS + 10))
    printf '    %3d s  %s\n' $((SECONDS - $3)) "$(last_line "$2")"
  done
}
