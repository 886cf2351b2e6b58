#!/usr/bin/env bash
# Sets the machine up, starts sylphd in the background, and shows what a sprite can do. Run again, it uses what is there.
# Usage: npm run up        SYLPH_DATA_DIR and SYLPH_LISTEN choose another place and address
source "$(dirname "$0")/lib.sh"
bash scripts/setup.sh
source scripts/daemon.sh
# Booting the guest the first time, with the probe for KVM, takes half a minute under emulation.
ready_timeout_s=300

has_image() { [ -n "$(sylphd image list --json --data-dir "$data" 2>/dev/null | grep -o '"digest"' | head -n 1)" ]; }

build_image() { sylphd image build minimal --data-dir "$data"; }

# In a session of its own, so that it outlives the terminal.
start_daemon() {
  setsid bin/sylphd serve --data-dir "$data" --listen "$listen" >>"$log" 2>&1 </dev/null &
  echo $! >"$pid_file"
  # Until setsid and the launcher have become the daemon, the pid belongs to a shell.
  for _ in $(seq 50); do
    [ -z "$(daemon_pid)" ] || return 0
    sleep 0.1
  done
}

# said_last: the message of the log's last line that is not about a request, as these waits make many.
said_last() { grep -v '"reqId"' "$log" | sed -n 's/.*"msg":"\([^"]*\)".*/\1/p' | tail -n 1 | cut -c 1-110; }

wait_until_ready() {
  local started=$SECONDS told=$SECONDS
  until is_ready; do
    [ -n "$(daemon_pid)" ] || { tail -n 20 "$log" >&2; fail 'sylphd ended before it was ready' "Its last lines are above; the whole log is $log. \`npm run sylphd -- doctor --data-dir $data\` checks the machine."; }
    [ $((SECONDS - started)) -lt $ready_timeout_s ] || { tail -n 20 "$log" >&2; fail "sylphd was not ready within $ready_timeout_s s" "Its last lines are above; the whole log is $log."; }
    if [ $((SECONDS - told)) -ge 5 ]; then
      told=$SECONDS
      printf '    %3d s  %s\n' $((SECONDS - started)) "$(said_last)"
    fi
    sleep 0.2
  done
  say "    ready after $((SECONDS - started)) s"
}

# One token for the person at this machine, made once: `sylph` keeps it where it finds it again.
log_in() {
  local token
  sylph list --json >/dev/null 2>&1 && [ -f "$data/cli-url" ] && [ "$(cat "$data/cli-url")" = "$url" ] && return 0
  token=$(sylphd token create --data-dir "$data")
  sylph login "$url" --token "$token" >/dev/null
  echo "$url" >"$data/cli-url"
}

mkdir -p "$data"
if [ -n "$(daemon_pid)" ]; then
  say "==> sylphd: running (pid $(daemon_pid))"
else
  has_image && say '==> image: there' || step 'image minimal' 'See the lines above; a Debian mirror has to be reachable.' build_image
  say "==> sylphd at $url, data in $data"
  is_ready && fail "something else answers at $url" 'End it, or choose another address: SYLPH_LISTEN=127.0.0.1:7778 npm run up'
  start_daemon
fi
wait_until_ready
log_in || fail 'logging in failed' "The daemon's log is $log."
bash scripts/demo.sh
cat <<TEXT

sylphd runs at $url (pid $(daemon_pid), log $log). Address and token are saved for sylph.
  npm run sylph -- create mine         a sprite of your own
  npm run sylph -- console -s mine     a shell in it
  npm run down                         stops the daemon
TEXT
