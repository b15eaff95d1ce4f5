#!/usr/bin/env bash
# From nothing to tested: installs what is missing, builds against both ends of the LibTorch versions that we
# support, and runs every test in one ctest whose closing lines end the output. Each tree has what the others lack:
#
#   1.13   g++, Debian's LibTorch: the C++ tests and the programs, without optimisation
#   2.13   clang: headers, programs, examples, parity, and by g++ consumers; with --quick the C++ tests too
#   asan   clang, LibTorch 2.13: the C++ tests, with sanitizers
#
# clang takes half the time of g++ for a file that includes <torch/script.h>: it instantiates the templates of a
# precompiled header once, and reads of it what it needs.
#
#   bash tests/run.sh [--quick] [CTEST ARGUMENTS...]      for example: bash tests/run.sh --quick -R picture
#
# --quick leaves out Debian's LibTorch 1.13, the sanitizers and fuzzing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/bootstrap.sh"

quick=
if [[ ${1:-} == --quick ]]; then
  quick=yes
  shift
fi

# build NAME TORCH_DIR OPTION...: what does not build is left to ctest to report, in the test NAME.build.
TREES=()
build() {
  local name=$1 tree=$SALIENCE_BUILD/tests-$1
  local -a options
  mapfile -t options < <(torch_options "$2")
  shift 2
  TREES+=("$name")
  stage "Configuring the tree $name" configure "$tree" -DCMAKE_BUILD_TYPE=Release \
    -DSALIENCE_BUILD_TESTS=ON -DCMAKE_COMPILE_WARNING_AS_ERROR=ON "-DSALIENCE_TEST_PREFIX=$name." \
    "${options[@]}" "$@" || return 0
  stage "Building the tree $name" cmake --build "$tree" -- -k 0 || true
}

# One ctest over all trees, and over the building of each.
write_ctest_file() {
  local name
  for name in "${TREES[@]}"; do
    local tree=$SALIENCE_BUILD/tests-$name
    say "add_test([=[$name.build]=] cmake --build [=[$tree]=])"
    say "set_tests_properties([=[$name.build]=] PROPERTIES RUN_SERIAL TRUE COST 1000000)"
    say "if(EXISTS [=[$tree/CTestTestfile.cmake]=])"
    say "  subdirs([=[$tree]=])"
    say "endif()"
  done
  [[ $quick ]] && return
  say "add_test(fuzz bash [=[$SALIENCE_ROOT/tests/fuzz/run.sh]=] 6)"
  say "set_tests_properties(fuzz PROPERTIES PROCESSORS 2 TIMEOUT 1800)"
}

begin tests
need g++ cmake ninja-build ccache libeigen3-dev libstb-dev doctest-dev libcli11-dev nlohmann-json3-dev \
  clang-format clang clang-tidy doxygen librapidcheck-dev libclang-rt-dev libssl-dev valgrind pkg-config python3-venv
[[ $quick ]] || need libtorch-dev
# Without these the tests that use them are left out: not every system has them as packages.
want chromium libopencv-imgproc-dev libopenmpi-dev g++-aarch64-linux-gnu qemu-user-static
find_torch
find_peers

if [[ ! $quick && $TORCH_DIR != "$(debian_torch_dir)" ]]; then
  # What does not depend on the LibTorch version is tested once, below; evaluate and attribute_dataset, which take OpenSSL,
  # are built once. 1.13 as C++20 takes g++.
  build 1.13 "$(debian_torch_dir)" -DCMAKE_CXX_COMPILER=g++ -DSALIENCE_TEST_PROJECT=OFF \
    "-DCMAKE_CXX_FLAGS_RELEASE=-O0 -DNDEBUG" -DSALIENCE_BUILD_EXAMPLES=OFF -DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON \
    "-DSALIENCE_PYTHON=$PEERS" -DSALIENCE_PARITY_TESTS=test_guided \
    "-DSALIENCE_PARITY_ARGUMENTS=-k;small;-k;mobilenet;-k;Facts"  # the others have no other kind of rectifier
fi
units=OFF
[[ $quick ]] && units=ON
compiler=clang++
[[ $TORCH_VERSION == 1.* ]] && compiler=g++  # as C++20
build "${TORCH_VERSION%.*}" "$TORCH_DIR" -DCMAKE_CXX_COMPILER=$compiler -DSALIENCE_TEST_CONSUMER_COMPILER=g++ \
  "-DSALIENCE_PYTHON=$PEERS" "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG" -DSALIENCE_TEST_UNITS=$units
if [[ ! $quick ]]; then
  build asan "$TORCH_DIR" -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-g1 \
    -DSALIENCE_BUILD_EXAMPLES=OFF -DSALIENCE_BUILD_PROGRAMS=OFF -DSALIENCE_TEST_SANITIZED=ON
fi

mkdir -p "$SALIENCE_BUILD/tests"
write_ctest_file >"$SALIENCE_BUILD/tests/CTestTestfile.cmake"
say
printf '%s\n' "${STAGES[@]}"
say
cd "$SALIENCE_BUILD/tests"
OMP_NUM_THREADS=1 exec ctest --output-on-failure -j2 "$@"
