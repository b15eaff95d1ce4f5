#!/usr/bin/env bash
# Answers one question about this machine. Run it with nothing else on the machine.
#
#   bash benchmarks/run.sh [backward_pass [MODEL.pt [SIZE]]]
#   bash benchmarks/run.sh integrated_gradients MODEL.pt SIZE IMAGE...
#
# backward_pass: what a vanilla gradient costs; without a model, that of the shipped scenes network at 96x96. The rounds of all
# rows are interleaved, and the table shows medians, so that the ratios of one run can be trusted. OMP_NUM_THREADS sets the
# number of threads.
# integrated_gradients: how many gradients they need, and how good the map then is.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/bootstrap.sh"

question=${1:-backward_pass}
shift || true
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
if [[ $question == backward_pass ]]; then
  [[ $# -gt 0 ]] || set -- "$SALIENCE_ROOT/examples/data/scenes.pt" 96
  set -- "$@" --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true
fi
exec "$build/benchmarks/$question" "$@"
