#!/usr/bin/env bash
# Stops the daemon that up.sh started and unmounts its pool. Sprites, checkpoints and images stay.
# Usage: npm run down
source "$(dirname "$0")/lib.sh"
source scripts/daemon.sh
# Sprites that are awake are put to sleep first.
stop_timeout_s=120

stop_daemon() {
  local pid=$1 started=$SECONDS told=$SECONDS
  kill -TERM "$pid"
  while [ "$(daemon_pid)" = "$pid" ]; do
    [ $((SECONDS - started)) -lt $stop_timeout_s ] || { tail -n 20 "$log" >&2; fail "sylphd (pid $pid) did not stop within $stop_timeout_s s" "Its last lines are above. kill -9 $pid ends it; the next start recovers."; }
    if [ $((SECONDS - told)) -ge 5 ]; then told=$SECONDS; say "    $((SECONDS - started)) s  waiting for it to end"; fi
    sleep 0.1
  done
  rm -f "$pid_file"
  say "    stopped after $((SECONDS - started)) s"
}

pid=$(daemon_pid)
if [ -n "$pid" ]; then
  say "==> stopping sylphd (pid $pid)"
  stop_daemon "$pid"
else
  say '==> sylphd is not running'
fi
# The daemon unmounts on its own; a killed one could not.
if mountpoint -q "$data/pool"; then
  say "==> unmounting $data/pool"
  umount "$data/pool" || fail "$data/pool is in use" 'VMs of a killed daemon may still run in it: `npm run up` takes them over, `npm run down` then ends both in order.'
fi
