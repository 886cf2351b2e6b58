#!/usr/bin/env bash
# Types, lint, format, dead code. Runs all of them, then fails if one did.
# Usage: npm run check
source "$(dirname "$0")/lib.sh"
bin=$root/node_modules/.bin
[ -x "$bin/tsc" ] || fail 'the npm packages are not installed' 'Run: npm run setup'
failed=()

# check NAME REMEDY COMMAND…
check() {
  local name=$1 remedy=$2 started=$SECONDS
  shift 2
  say "==> $name"
  if "$@"; then say "    passed in $((SECONDS - started)) s"; else failed+=("$name: $remedy"); fi
}

go_format() {
  local files
  files=$(gofmt -l agent)
  [ -z "$files" ] || { printf '%s\n' "$files"; return 1; }
}

check 'lock file' 'choose versions whose packages for all platforms are published, then npm install' "$bin/node" scripts/lock-complete.mjs
check 'types' 'mend what tsc names' "$bin/tsc" -p tsconfig.json
check 'lint and layers' 'mend what oxlint names; .oxlintrc.json has the rules and their reasons' "$bin/oxlint" --type-aware --deny-warnings
check 'format' 'run node_modules/.bin/oxfmt' "$bin/oxfmt" --check
check 'dead code and undeclared imports' 'remove or declare what knip names' "$bin/knip"
check 'format of the agent' 'run gofmt -w agent' go_format
check 'vet of the agent' 'mend what go vet names' env -C agent go vet ./...
if [ "${#failed[@]}" -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
say "all checks passed in $SECONDS s"
