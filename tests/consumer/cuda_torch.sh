#!/usr/bin/env bash
# cuda_torch.sh FOLDER INCLUDE LIB VERSION COMPILER...: makes FOLDER/torch, the LibTorch of INCLUDE and LIB laid out as
# PyPI's torch with CUDA is, without the gigabytes: its CMake package fails for want of a toolkit, libtorch brings
# libtorch_cuda, and that says when it is loaded.
set -euo pipefail
folder=$1/torch include=$2 lib=$3 version=$4
shift 4
compiler=("$@")

rm -rf "$folder"
mkdir -p "$folder"/{include,lib,share/cmake/{Torch,Caffe2}}
ln -s "$include"/{ATen,c10,caffe2,torch} "$folder/include"
find "$lib" -maxdepth 1 -name '*.so*' ! -name libtorch.so -exec ln -s -t "$folder/lib" {} +

# library NAME SOURCE FLAG...
library() {
  local name=$1 source=$2
  shift 2
  "${compiler[@]}" -shared -fPIC -x c++ - -x none -o "$folder/lib/$name.so" "-Wl,-soname,$name.so" -L"$folder/lib" \
    -Wl,--no-as-needed,-rpath,'$ORIGIN' "$@" <<<"$source"
}
library libtorch_cuda '#include <cstdio>
  [[gnu::constructor]] static void loaded() { std::puts("libtorch_cuda is loaded"); }' -ltorch_cpu
library libtorch '' -ltorch_cpu -ltorch_cuda

cat >"$folder/share/cmake/Torch/TorchConfig.cmake" <<'END'
include(CMakeFindDependencyMacro)
find_dependency(Caffe2 PATHS "${CMAKE_CURRENT_LIST_DIR}/../Caffe2")
END
cat >"$folder/share/cmake/Torch/TorchConfigVersion.cmake" <<END
set(PACKAGE_VERSION "$version")
if(PACKAGE_VERSION VERSION_GREATER_EQUAL PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
END
cat >"$folder/share/cmake/Caffe2/Caffe2Config.cmake" <<'END'
message(FATAL_ERROR "Your installed Caffe2 version uses CUDA but I cannot find the CUDA libraries.")
END
