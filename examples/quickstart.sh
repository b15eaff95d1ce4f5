#!/usr/bin/env bash
# From nothing to saliency maps: installs what is missing, builds `attribute`, and explains a picture.
#
#   bash examples/quickstart.sh [IMAGE [MODEL [LABELS]]]
#
# Without arguments it explains one of the scenes that the project ships. MODEL is a torch.export program (.pt2) or a
# TorchScript file (docs/how-to/export.md). The pictures go into ./out.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/bootstrap.sh"

if [[ ${1:-} == -* ]]; then
  sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit
fi
data=$SALIENCE_ROOT/examples/data
output=out
build=$SALIENCE_BUILD/quickstart

image=${1:-$data/scene_heart.png}
model=${2:-$data/scenes.pt2}
arguments=(--image "$image" --model "$model" --output "$output")
if (($# < 2)); then
  arguments+=(--labels "$data/labels.txt")
elif (($# > 2)); then
  arguments+=(--labels "$3")
fi

begin quickstart
need g++ cmake ninja-build ccache libeigen3-dev libstb-dev libcli11-dev nlohmann-json3-dev
find_torch
configure_with_torch "$build" -DCMAKE_BUILD_TYPE=Release -DSALIENCE_BUILD_TESTS=OFF || {
  show_log
  stop "CMake could not configure the build."
}
stage "Building attribute" cmake --build "$build" --target attribute || stop "The program attribute does not build."

if (($# == 1)); then
  say "The shipped network knows eight drawn shapes and nothing else: give a MODEL for photographs."
fi
say "Explaining $image with $model"
say
touch "$build/started"
"$build/programs/attribute/attribute" "${arguments[@]}" >"$build/attribute.txt"
sed -n '/^target:/,$p' "$build/attribute.txt"
sed -n '1{/^input /p}' "$build/attribute.txt"
say
say "Wrote:"
find "$output" -type f -newer "$build/started" | sort | sed 's/^/  /'
say
say "Top 5 predictions:"
sed '1{/^input /d}; /^target:/Q; s/^/  /' "$build/attribute.txt"
