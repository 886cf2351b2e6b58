# The background daemon of up.sh and down.sh: where it keeps its data, and whether it runs. Source lib.sh first.
data=${SYLPH_DATA_DIR:-/var/lib/sylph}
listen=${SYLPH_LISTEN:-127.0.0.1:7777}
url=http://$listen
log=$data/sylphd.log
pid_file=$data/sylphd.pid

sylphd() { bin/sylphd "$@"; }
sylph() { "$node" packages/cli/src/main.ts "$@"; }

# daemon_pid: the pid of the daemon that up.sh started, empty when it does not run. A pid alone may be anybody's by now.
daemon_pid() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) || return 0
  case $pid in '' | *[!0-9]*) return 0 ;; esac
  { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF "$(pwd -P)/packages/daemon/src/main.ts" && echo "$pid"
  return 0
}

is_ready() { "$node" -e 'fetch(process.argv[1], { signal: AbortSignal.timeout(3000) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$url/healthz"; }
