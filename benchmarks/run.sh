#!/usr/bin/env bash
# Answers questions about this machine. Run it with nothing else on the machine.
#
#   bash benchmarks/run.sh all                 every question beside the Python peers, and docs/performance.md: 40 minutes
#   bash benchmarks/run.sh QUESTION... [--rounds N] [--models vgg16,resnet50,mobilenet_v2] [--photos N]
#   bash benchmarks/run.sh --report-only       writes docs/performance.md again from what was measured
#   bash benchmarks/run.sh kernels [ROUNDS]    are the ways around slow kernels of LibTorch still worth it? without Python
#   bash benchmarks/run.sh cut [ROUNDS]        a model from a layer on beside the part of the network behind it
#   bash benchmarks/run.sh relevance [ROUNDS]  DeepLIFT, relevance and FullGrad beside a gradient, in time and memory; and the peers
#   bash benchmarks/run.sh perturbation [ROUNDS]  occlusion, Shapley values, LIME and RISE beside the same in Python
#   bash benchmarks/run.sh exported [ROUNDS]   torch.export programs beside the same networks as TorchScript
#   bash benchmarks/run.sh PROGRAM MODEL.pt [ARGUMENT...]      one program alone, without Python
#   bash benchmarks/run.sh                     what a vanilla gradient of the shipped scenes network costs, at 96x96
#
# QUESTION: backward_pass (with the machine's limit), guided_grad_cam, tolerance, sampled_methods, startup, pictures, scaling,
# fidelity, dataset, compile_time. PROGRAM: a C++ file here; its first lines say what it takes. Figures are kept in
# build/benchmarks/results. The real photos and the trained network of SALIENCE_SHARED_DATA (../shared/data) are used if there.
# SALIENCE_PAGE=performance-intel writes docs/performance-intel.md instead, with the notes of that name.
#
# Rounds of all rows are interleaved, and tables show medians, so that the ratios of one run can be trusted. OMP_NUM_THREADS
# sets the number of threads of a program alone.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/bootstrap.sh"

here=$SALIENCE_ROOT/benchmarks
build=$SALIENCE_BUILD/benchmarks
shared=${SALIENCE_SHARED_DATA:-$SALIENCE_ROOT/../shared/data}

report() { "$PEERS" "$here/report.py" "$build/results" "$SALIENCE_ROOT/docs" "${SALIENCE_PAGE:-performance}"; }

begin benchmarks
need g++ cmake ninja-build ccache libeigen3-dev libstb-dev libbenchmark-dev libcli11-dev nlohmann-json3-dev \
  libssl-dev libopenmpi-dev
find_torch
export PYTHONDONTWRITEBYTECODE=1
if [[ ${1:-} == --report-only ]]; then
  find_peers
  report
  exit
fi

mapfile -t torch < <(torch_options "$TORCH_DIR")
logged configure "$build" -DCMAKE_BUILD_TYPE=Release -DSALIENCE_BUILD_TESTS=OFF -DSALIENCE_BUILD_PROGRAMS=ON \
  -DSALIENCE_BUILD_BENCHMARKS=ON "${torch[@]}" || {
  show_log
  stop "CMake could not configure the build."
}
stage "Building the benchmarks" cmake --build "$build" || stop "The benchmarks do not build."

alone=(--benchmark_repetitions=9 --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true)
if (($# == 0)); then
  exec "$build/benchmarks/backward_pass" "$SALIENCE_ROOT/examples/data/scenes.pt" 96 "${alone[@]}"
elif [[ $1 == kernels ]]; then
  exec "$build/benchmarks/kernels" "${@:2}"
elif [[ ${2:-} == *.pt ]]; then
  program=$1
  shift
  [[ $program != backward_pass ]] || set -- "$@" "${alone[@]}"
  exec "$build/benchmarks/$program" "$@"
fi

find_peers
stage "Exporting the networks" "$PEERS" "$here/export_models.py" "$build/models" || stop "The networks cannot be exported."
if [[ $1 == exported ]]; then
  exec "$build/benchmarks/exported" "$build/models" "${2:-9}" resnet50 mobilenet_v2 vgg16
fi
if [[ $1 == cut ]]; then
  OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} exec "$build/benchmarks/cut" "$build/models" "${2:-25}" resnet50
fi
if [[ $1 == relevance ]]; then
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
  "$build/benchmarks/relevance" "$build/models" "${2:-9}" vgg16 resnet50
  exec "$PEERS" "$here/relevance_peers.py" "$build/models" "${2:-9}" vgg16 resnet50
fi
if [[ $1 == perturbation ]]; then
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
  exec "$PEERS" "$here/perturbation_peers.py" "$build/benchmarks/perturbation" "$build/models" "${2:-3}" mobilenet_v2
fi
"$PEERS" "$here/compare.py" --build "$build" --work "$build" --shared "$shared" "$@"
report
