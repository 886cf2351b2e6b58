#!/usr/bin/env bash
# Measures the product beside bare QEMU on this machine.
# Usage: npm run bench [-- --json FILE]
source "$(dirname "$0")/lib.sh"
bash scripts/setup.sh --for-tests
exec "$node" bench/main.ts "$@"
