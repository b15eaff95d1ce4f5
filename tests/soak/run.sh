#!/usr/bin/env bash
# The soak for as long as you like, on the shipped network or another that takes (N,3,H,W).
#
#   bash tests/soak/run.sh [MINUTES [MODEL.pt]]      10 minutes if not said
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../cmake/bootstrap.sh"

minutes=${1:-10}
model=${2:-$SALIENCE_ROOT/examples/data/scenes.pt}

begin soak
need g++ cmake ninja-build ccache libeigen3-dev libstb-dev doctest-dev libcli11-dev
find_torch
mapfile -t options < <(torch_options "$TORCH_DIR")
tree=$SALIENCE_BUILD/soak
stage "Configuring" configure "$tree" -DCMAKE_BUILD_TYPE=Release -DSALIENCE_BUILD_EXAMPLES=OFF -DSALIENCE_BUILD_PROGRAMS=OFF \
  -DSALIENCE_BUILD_TESTS=ON "${options[@]}" || exit 1
stage "Building" cmake --build "$tree" --target soak || exit 1
OMP_NUM_THREADS=1 exec "$tree/tests/soak/soak" "$((minutes * 60))" 2 "$model"
