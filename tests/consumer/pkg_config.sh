#!/usr/bin/env bash
# pkg_config.sh PREFIX TORCH FOLDER COMPILER...: programs built in FOLDER by what pkg-config says of the package
# installed in PREFIX.
set -euo pipefail
prefix=$1 torch=$2 folder=$3
shift 3
here=$(dirname "${BASH_SOURCE[0]}")
mkdir -p "$folder"
export PKG_CONFIG_PATH=$prefix/share/pkgconfig

# build NAME SOURCE PKG_CONFIG_ARGUMENT...
build() {
  local name=$1 source=$2 flags
  shift 2
  flags=$(pkg-config --cflags --libs "$@")
  printf '%s: %s\n' "$name" "$flags"
  # shellcheck disable=SC2086 # the flags are several words
  "${compiler[@]}" -std=c++20 "$here/$source" $flags -o "$folder/$name"
  "$folder/$name"
}

compiler=("$@")
build pictures pictures/main.cpp "salience-pictures >= 1"
build gradient gradient.cpp "--define-variable=torch=$torch" "salience >= 1"
