#!/usr/bin/env bash
# quickstart_fallback.sh FOLDER PYTHON TORCH: what examples/quickstart.sh does where CMake cannot take the LibTorch of the user's
# Python. That is a copy of TORCH without its headers; the torch of PYTHON stands for our own.
set -euo pipefail
folder=$1 python=$2 torch=$3
rm -rf "$folder"
mkdir -p "$folder"/{theirs,bin,build/venv/bin}
cp -a "$torch" "$folder/theirs/torch"
rm "$folder/theirs/torch/include/ATen"
touch "$folder/theirs/torch/__init__.py"
cat >"$folder/bin/python3" <<END
#!/bin/sh
PYTHONPATH='$folder/theirs' exec '$python' "\$@"
END
printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >"$folder/build/venv/bin/python"
chmod +x "$folder/bin/python3" "$folder/build/venv/bin/python"

export PATH=$folder/bin:$PATH SALIENCE_BUILD=$folder/build
unset Torch_DIR CMAKE_PREFIX_PATH
source "$(dirname "${BASH_SOURCE[0]}")/../../cmake/bootstrap.sh"
begin quickstart_fallback
find_torch
[[ $TORCH_DIR == "$folder/theirs/"* ]] || stop "It should have taken the LibTorch of the first Python"
configure_with_torch "$folder/tree" -DSALIENCE_BUILD_TESTS=OFF >"$folder/said" || {
  show_log
  stop "It should have gone on with our own LibTorch"
}
grep "^CMake cannot take this LibTorch" "$folder/said" || stop "It does not say so"
grep -q "is not whole: it has no include/ATen" <(tr -s '\n ' ' ' <"$LOG") || stop "The log does not say why"
grep -q "^Torch_DIR:.*=$TORCH_DIR$" "$folder/tree/CMakeCache.txt" || stop "The build has another LibTorch"

# What is not about LibTorch is not mended by another one.
TORCH_DIR=$torch/share/cmake/Torch
if configure_with_torch "$folder/tree" -DSALIENCE_BUILD_TESTS=OFF -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON; then
  stop "Without CLI11 it should have failed"
fi
[[ $TORCH_DIR == "$torch/"* ]] || stop "It took another LibTorch for want of CLI11"
