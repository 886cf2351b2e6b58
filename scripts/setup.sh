#!/usr/bin/env bash
# Installs and builds everything Sylph needs on this machine. Safe to run again: what is there is left alone.
# Usage: npm run setup [-- --refresh-kernel] [-- --for-tests]     the latter also installs the programs that tests use
source "$(dirname "$0")/lib.sh"
refresh='' for_tests=''
for option in "$@"; do
  case $option in
    --refresh-kernel) refresh=$option ;;
    --for-tests) for_tests=yes ;;
    *) fail "setup knows no option $option" 'Usage: npm run setup [-- --refresh-kernel] [-- --for-tests]' ;;
  esac
done
min_node=20 min_go=1.24 min_qemu=9

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

check_machine() {
  [ "$(uname -m)" = x86_64 ] || fail "this machine is $(uname -m)" 'Sylph runs on x86-64.'
  local id version
  id=$(. /etc/os-release && echo "${ID:-}") version=$(. /etc/os-release && echo "${VERSION_ID:-}")
  [ "$id" = debian ] && { [ "$version" = 12 ] || [ "$version" = 13 ]; } ||
    fail "this is $(. /etc/os-release && echo "${PRETTY_NAME:-an unknown system}")" 'Use Debian 12 or 13.'
  [ "$(id -u)" = 0 ] || fail 'set-up installs packages and needs root' 'Run it as root, or with sudo -E.'
  debian=$version codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
}

check_tools() {
  local found
  found=$(node --version 2>/dev/null | sed 's/^v//') || true
  { [ -n "$found" ] && at_least "$found" $min_node; } || fail "Node $min_node or newer is needed, found ${found:-none}" 'Install Node with npm from https://nodejs.org (Debian 13: apt-get install nodejs npm).'
  command -v npm >/dev/null || fail 'npm is missing' 'Install it with Node from https://nodejs.org (Debian 13: apt-get install npm).'
  found=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//') || true
  { [ -n "$found" ] && at_least "$found" $min_go; } || fail "Go $min_go or newer is needed, found ${found:-none}" 'Install Go from https://go.dev/dl (Debian 13: apt-get install golang-go) and put it in PATH.'
}

# missing_packages NAME…: those that are not installed.
missing_packages() {
  local installed
  # dpkg-query fails when it does not know one of them; what it knows it has printed.
  installed=$({ dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } | sed -n 's/^installed //p')
  printf '%s\n' "$@" | grep -vxF "$installed" || true
}

apt_get() { apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3 -y -q "$@"; }

# apt-get update waits for nobody who holds the lists' lock, so it is tried again for a while.
update_lists() {
  local attempt
  for attempt in 1 2 3 4 5 6; do
    apt_get "$@" update && return
    echo "apt-get update failed, attempt $attempt of 6"
    sleep 10
  done
  return 1
}

install_packages() {
  update_lists
  # The second try mends what an interrupted installation left.
  apt_get --no-install-recommends install "$@" || { dpkg --configure -a && apt_get --no-install-recommends install "$@"; }
}

qemu_major() { qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p'; }
has_qemu() { local major; major=$(qemu_major); [ -n "$major" ] && [ "$major" -ge $min_qemu ]; }

# Debian 12's own QEMU is too old. Its backports have a newer one: read here through lists and sources of our own, from the system's own mirror.
install_qemu_from_backports() {
  local mirror apt=$cache/apt
  update_lists
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' | awk -v code="$codename" '$1 == "Debian" && $2 == code { print $3; exit }')
  [ -n "$mirror" ] || { echo "the system's package sources name no Debian mirror for $codename"; return 1; }
  mkdir -p "$apt/lists/partial"
  printf "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror %s main\n" "$codename" "$codename-updates" "$codename-backports" >"$apt/sources.list"
  local options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$apt/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
  update_lists "${options[@]}"
  apt_get "${options[@]}" --no-install-recommends -t "$codename-backports" install qemu-system-x86 ||
    { dpkg --configure -a && apt_get "${options[@]}" --no-install-recommends -t "$codename-backports" install qemu-system-x86; }
}

# provide_packages LIST INSTALLER: what the list names.
provide_packages() {
  local wanted missing
  mapfile -t wanted < <(sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$1")
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if [ "${#missing[@]}" -eq 0 ]; then say "==> Debian packages: all ${#wanted[@]} there"; return; fi
  step "Debian packages: ${missing[*]}" 'Look at the lines above; `apt-get update` and `apt-get -f install` mend most of it. Then run this again.' "$2" "${missing[@]}"
}

# Servers among the programs of tests must not start on this machine: Debian asks policy-rc.d, which says no meanwhile.
install_quietly() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then install_packages "$@"; return; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  install_packages "$@" || status=$?
  rm -f "$policy"
  return "$status"
}

provide_qemu() {
  if has_qemu; then say "==> QEMU $(qemu_major): there"; return; fi
  local next='QEMU 9 or newer is needed. Look at the lines above; the mirror has to carry this release and, on Debian 12, its backports.'
  if [ "$debian" = 12 ]; then step 'QEMU from the backports of Debian 12' "$next" install_qemu_from_backports
  else step 'QEMU' "$next" install_packages qemu-system-x86; fi
  has_qemu || fail "QEMU is still ${min_qemu} or older: $(qemu-system-x86_64 --version | head -n 1)" "$next"
}

works() { [ -x "$node" ] && "$node" --version 2>/dev/null | grep -q '^v26\.'; }

# Says what it fetches; a registry that does not answer is tried for a while by npm itself. Only the package that brings Node runs a script, whatever npm's version makes of allowScripts: others would compile what is not used.
install_npm() { timeout 900 npm ci --include=dev --ignore-scripts --loglevel=http && timeout 300 npm rebuild node; }

provide_npm() {
  if node scripts/npm-in-sync.mjs && works; then say "==> npm packages: there, Node $("$node" --version)"; return; fi
  step 'npm packages with Node 26' 'Look at the lines above: npm must reach its registry. Then run this again.' install_npm
  works || fail 'Node 26 did not come with the npm packages' 'The install script of the npm package "node" brings it: allow install scripts (npm config delete ignore-scripts) and run this again.'
}

build_agent() {
  mkdir -p "$cache/agent"
  # Without the commit in it, so that the same sources give the same agent, and running sprites keep their guest.
  (cd agent && CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOTOOLCHAIN=local go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$cache/agent/sylph-agent" .)
}

build_guest() { "$node" scripts/guest.ts "$cache/agent/sylph-agent" ${refresh:+"$refresh"}; }

mkdir -p "$cache"
exec 9>"$cache/setup.lock"
flock -n 9 || { say 'another set-up is running; waiting for it (at most 20 min)'; flock -w 1200 9 || fail 'another set-up is still running' 'End it and run this again.'; }
check_machine
check_tools
provide_packages scripts/packages.txt install_packages
[ -z "$for_tests" ] || provide_packages scripts/packages-test.txt install_quietly
provide_qemu
provide_npm
step 'guest agent' 'This is a fault of the sources in agent/: see the lines above.' build_agent
step 'guest kernel and initrd' 'See the lines above; a Debian mirror has to be reachable the first time.' build_guest
say "ready after $SECONDS s"
