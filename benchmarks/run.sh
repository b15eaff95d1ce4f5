#!/usr/bin/env bash
# bash benchmarks/run.sh [MODEL.pt [SIZE]]: builds the benchmarks and runs them, interleaved, medians of 9 rounds.
# Without arguments: the shipped scenes network. Run it with nothing else on the machine.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/cmake/bootstrap.sh"
