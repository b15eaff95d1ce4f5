#!/usr/bin/env bash
# What a vanilla gradient costs on this machine. Run it with nothing else on the machine.
#
#   bash benchmarks/run.sh [MODEL.pt [SIZE]]
#
# Without arguments it measures the shipped scenes network at 96x96. The rounds of all rows are interleaved, and the table
# shows medians, so that the ratios of one run can be trusted. OMP_NUM_THREADS sets the number of threads.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/bootstrap.sh"

model=${1:-$SALIENCE_ROOT/examples/data/scenes.pt}
size=${2:-$([[ $# -gt 0 ]] && echo 224 || echo 96)}
build=$SALIENCE_BUILD/benchmarks

begin benchmarks
need g++ cmake ninja-build ccache libeigen3-dev libstb-dev libbenchmark-dev
find_torch
mapfile -t torch < <(torch_options "$TORCH_DIR")
logged configure "$build" -DCMAKE_BUILD_TYPE=Release -DSALIENCE_BUILD_TESTS=OFF -DSALIENCE_BUILD_EXAMPLES=OFF \
  -DSALIENCE_BUILD_BENCHMARKS=ON "${torch[@]}" || {
  show_log
  stop "CMake could not configure the build."
}
stage "Building the benchmarks" cmake --build "$build" || stop "The benchmarks do not build."
exec "$build/benchmarks/backward_pass" "$model" "$size" --benchmark_repetitions=9 \
  --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true
