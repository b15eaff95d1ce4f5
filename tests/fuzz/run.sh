#!/usr/bin/env bash
# Fuzzes what takes input from strangers, with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   bash tests/fuzz/run.sh [SECONDS]      for each target, two at a time; 60 by default
#
# Starts from corpus/TARGET. Stops with an error at the first crash, leak, hang (5 s) or block above 64 MiB, and
# leaves the input that caused it in build/fuzz. What is new in the corpus stays there too; what is worth keeping
# goes back with
#
#   build/fuzz/TARGET -merge=1 tests/fuzz/corpus/TARGET build/fuzz/TARGET-corpus
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../cmake/bootstrap.sh"

seconds=${1:-60}
folder=$SALIENCE_ROOT/tests/fuzz
out=$SALIENCE_BUILD/fuzz

begin fuzz
need clang libclang-rt-dev libeigen3-dev libstb-dev nlohmann-json3-dev python3-venv
find_torch
torch=${TORCH_DIR%/share/cmake/Torch}
mkdir -p "$out"

options=(-std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -fno-sanitize=vptr
  "-fsanitize-ignorelist=$folder/stb_arithmetic.txt" "-I$SALIENCE_ROOT/include" -isystem /usr/include/eigen3)

compile() {
  local -a libtorch=()
  if grep -q 'salience/\(tensor\|model\|target\|view\)' "$folder/$1.cpp"; then
    libtorch=(-isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" "-L$torch/lib" "-Wl,-rpath,$torch/lib" -ltorch -ltorch_cpu -lc10)
  fi
  clang++ "${options[@]}" "$folder/$1.cpp" -o "$out/$1" "${libtorch[@]}"
}

fuzz() {
  local corpus=$out/$1-corpus
  mkdir -p "$corpus"
  if "$out/$1" -max_total_time="$seconds" -timeout=5 -malloc_limit_mb=64 -rss_limit_mb=2048 -print_final_stats=1 \
    "-artifact_prefix=$out/$1-" "$corpus" "$folder/corpus/$1" >"$out/$1.log" 2>&1; then
    say "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$1.log") inputs, nothing found"
  else
    say "$1: failed"
    grep -E 'ERROR|SUMMARY|runtime error|Test unit written' "$out/$1.log" || tail -n 20 "$out/$1.log"
    return 1
  fi
}

targets=()
for source in "$folder"/*.cpp; do
  targets+=("$(basename "$source" .cpp)")
done

# each COMMAND: for every target, two at a time; starts no more after the first that fails. Waits for a job by its
# number: of two that end at once `wait -n` can miss one.
each() {
  local target failed=0
  local -a jobs=()
  for target in "${targets[@]}"; do
    if ((${#jobs[@]} == 2)); then
      wait "${jobs[0]}" || failed=1
      jobs=("${jobs[1]}")
    fi
    ((failed)) && break
    "$1" "$target" &
    jobs+=($!)
  done
  local job
  for job in "${jobs[@]}"; do
    wait "$job" || failed=1
  done
  return "$failed"
}

stage "Building the fuzz targets ${targets[*]}" each compile || exit 1
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
export LSAN_OPTIONS=suppressions=$SALIENCE_ROOT/tests/lsan.supp:print_suppressions=0
each fuzz
