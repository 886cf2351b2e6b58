#!/usr/bin/env bash
# Sets the machine up and runs every test: the agent's, the packages' own, then the suites on real VMs. Skipped tests fail the run.
# Usage: npm test [-- agent|unit|vm …]     parts to run, default all
source "$(dirname "$0")/lib.sh"
parts=${*:-agent unit vm}
bash scripts/setup.sh --for-tests
case " $parts " in *' unit '* | *' vm '*) say "==> image: $("$node" scripts/image.ts minimal)" ;; esac
results=$cache/logs
mkdir -p "$results"
# A file that takes longer hangs; VM suites boot under emulation.
unit_timeout_ms=300000 vm_timeout_ms=1500000
# Files beside one another: their tests wait more than they compute, and VMs mostly keep one CPU busy.
concurrency=$(nproc)
# Compiled code that all test files and the programs they start share.
export NODE_COMPILE_CACHE=$cache/compiled
summary=()

# part NAME COMMAND…: runs one part and notes how it went.
part() {
  local name=$1 started=$SECONDS status=0
  shift
  case " $parts " in *" $name "*) ;; *) return 0 ;; esac
  say "==> $name tests"
  "$@" || status=$?
  summary+=("$(printf '%-6s %-7s %4d s' "$name" "$([ $status -eq 0 ] && echo passed || echo FAILED)" $((SECONDS - started)))")
  [ $status -eq 0 ] || failed=1
}

agent_tests() {
  (cd agent && go test -v ./...) >"$results/agent-tests.log" 2>&1 || { tail -n 60 "$results/agent-tests.log"; return 1; }
  if grep -E '^ *--- SKIP' "$results/agent-tests.log"; then say 'tests were skipped'; return 1; fi
  say "$(grep -cE '^ *--- PASS' "$results/agent-tests.log") passed"
}

# node_tests NAME OPTION… FILE…
node_tests() {
  local name=$1 tap=$results/$1-tests.tap
  shift
  "$node" --test --test-reporter=spec --test-reporter-destination=stdout --test-reporter=tap "--test-reporter-destination=$tap" "$@" || return 1
  local counts
  counts=$(grep -E '^# (tests|skipped|todo) ' "$tap")
  grep -q '^# skipped 0$' <<<"$counts" && grep -q '^# todo 0$' <<<"$counts" || { say 'tests were skipped'; return 1; }
  grep -q '^# tests 0$' <<<"$counts" && { say 'no test ran'; return 1; }
  return 0
}

unit_tests() {
  local files
  mapfile -t files < <(git ls-files --cached --others --exclude-standard 'packages/**/*.test.ts' 'bench/**/*.test.ts' ':!packages/testkit/src/suites')
  node_tests unit --import ./packages/testkit/src/leak-guard.ts --test-timeout=$unit_timeout_ms --test-concurrency="$concurrency" "${files[@]}"
}

vm_tests() {
  local files
  mapfile -t files < <(git ls-files --cached --others --exclude-standard 'packages/testkit/src/suites/*.test.ts')
  node_tests vm --test-timeout=$vm_timeout_ms --test-concurrency="$concurrency" --test-global-setup=packages/testkit/src/global-setup.ts "${files[@]}"
}

failed=0
part agent agent_tests
part unit unit_tests
part vm vm_tests
say "==> summary, $SECONDS s in all"
printf '    %s\n' "${summary[@]}"
exit $failed
