# What cmake/SalienceTorch.cmake does without running LibTorch's own CMake package.

# Sets dir to the folder of the TorchConfig.cmake that find_package(Torch) would take, and version to its version; both
# are empty if there is none.
function(salience_locate_torch dir version)
  set(${dir} "" PARENT_SCOPE)
  set(${version} "" PARENT_SCOPE)
  if(CMAKE_DISABLE_FIND_PACKAGE_Torch)
    return()
  endif()
  # Asked for a version that no LibTorch has, CMake reads version files alone, and lists the packages that they are of.
  # The name is ours, since find_package puts NOTFOUND into Torch_DIR, which may be the user's.
  set(Salience_torch_DIR "${Torch_DIR}")
  set(Salience_torch_ROOT ${Torch_ROOT} $ENV{Torch_ROOT})
  find_package(Salience_torch 1000 QUIET CONFIG NAMES Torch HINTS "$ENV{Torch_DIR}")
  unset(Salience_torch_DIR CACHE)
  if(Salience_torch_CONSIDERED_CONFIGS)
    list(GET Salience_torch_CONSIDERED_CONFIGS 0 config)
    list(GET Salience_torch_CONSIDERED_VERSIONS 0 found_version)
    get_filename_component(found_dir "${config}" DIRECTORY)
    set(${dir} "${found_dir}" PARENT_SCOPE)
    set(${version} "${found_version}" PARENT_SCOPE)
  endif()
endfunction()

# Sets works to whether find_package(Torch) gets past the LibTorch of this folder. Only a package for GPUs is tried, in a
# project of its own, since its error would end this run.
function(salience_torch_package_works works dir)
  set(${works} TRUE PARENT_SCOPE)
  file(GLOB for_gpu "${dir}/../../../lib/libtorch_cuda.so" "${dir}/../../../lib/libtorch_hip.so"
                    "${dir}/../../../lib/libtorch_xpu.so")
  if(NOT for_gpu)
    return()
  endif()
  set(project "cmake_minimum_required(VERSION 3.18)\n")
  foreach(variable IN ITEMS
      CMAKE_TOOLCHAIN_FILE CMAKE_PREFIX_PATH CMAKE_MODULE_PATH CMAKE_CXX_COMPILER CMAKE_CUDA_COMPILER
      CMAKE_CUDA_HOST_COMPILER CMAKE_CUDA_ARCHITECTURES CUDAToolkit_ROOT CUDA_TOOLKIT_ROOT_DIR)
    if(DEFINED ${variable})
      string(APPEND project "set(${variable} [==[${${variable}}]==])\n")
    endif()
  endforeach()
  string(APPEND project "set(CMAKE_POLICY_VERSION_MINIMUM 3.5)\nset(Torch_DIR [==[${dir}]==])\n"
                        "set(Caffe2_DIR [==[${dir}/../Caffe2]==])\n"
                        "project(salience_torch_package LANGUAGES CXX)\nfind_package(Torch REQUIRED)\n")
  string(SHA256 hash "${project}")
  if(NOT hash STREQUAL SALIENCE_TORCH_TRIED)
    set(folder "${CMAKE_BINARY_DIR}/CMakeFiles/salience_torch_package")
    file(REMOVE_RECURSE "${folder}")
    file(WRITE "${folder}/CMakeLists.txt" "${project}")
    execute_process(COMMAND "${CMAKE_COMMAND}" -S "${folder}" -B "${folder}/build" -G "${CMAKE_GENERATOR}"
                            "-DCMAKE_MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM}"
      RESULT_VARIABLE failed OUTPUT_FILE "${folder}/output.txt" ERROR_FILE "${folder}/output.txt")
    set(SALIENCE_TORCH_TRIED ${hash} CACHE INTERNAL "Hash of the project with which LibTorch's CMake package was tried")
    set(SALIENCE_TORCH_FAILED "${failed}" CACHE INTERNAL "0 if LibTorch's CMake package worked in that project")
  endif()
  if(NOT SALIENCE_TORCH_FAILED STREQUAL "0")
    set(${works} FALSE PARENT_SCOPE)
  endif()
endfunction()

# Makes Salience::torch from LibTorch's folder; if that cannot be, sets problem to one sentence about it.
function(salience_torch_from_folder dir version problem)
  get_filename_component(folder "${dir}/../../.." ABSOLUTE)
  set(torch "LibTorch ${version} of ${folder}")
  foreach(file IN ITEMS include/ATen/core/Tensor.h include/torch/csrc/api/include/torch/version.h
                        lib/libtorch.so lib/libtorch_cpu.so lib/libc10.so)
    if(NOT EXISTS "${folder}/${file}")
      set(${problem} "The ${torch} is not whole: it has no ${file}." PARENT_SCOPE)
      return()
    endif()
  endforeach()
  foreach(part IN ITEMS Salience::torch_cpu Salience::torch_devices)
    if(NOT TARGET ${part})  # else left by a LibTorch that was of no use
      add_library(${part} INTERFACE IMPORTED)
    endif()
  endforeach()
  set_target_properties(Salience::torch_cpu PROPERTIES INTERFACE_COMPILE_DEFINITIONS ""
    INTERFACE_LINK_LIBRARIES "${folder}/lib/libtorch_cpu.so;${folder}/lib/libc10.so")
  # libtorch gives no symbol; it loads the GPU's half, and must not be dropped for that.
  set_target_properties(Salience::torch_devices PROPERTIES
    INTERFACE_LINK_LIBRARIES "-Wl,--push-state,--no-as-needed,\"${folder}/lib/libtorch.so\",--pop-state")

  salience_torch_starts(complaint Salience::torch_cpu)
  if(complaint MATCHES "torchCheckFail")  # PyPI's torch up to 2.6 is such; its own package gives this definition too
    target_compile_definitions(Salience::torch_cpu INTERFACE _GLIBCXX_USE_CXX11_ABI=0)
    salience_torch_starts(complaint Salience::torch_cpu)
  endif()
  if(complaint MATCHES "torchCheckFail")
    set(${problem} "The ${torch} has another C++ ABI than your compiler with its flags (-stdlib, \
_GLIBCXX_USE_CXX11_ABI)." PARENT_SCOPE)
    return()
  elseif(complaint)
    set(${problem} "No program links and starts with the ${torch}: ${complaint}." PARENT_SCOPE)
    return()
  endif()

  set(parts Salience::torch_devices Salience::torch_cpu)
  salience_torch_starts(complaint ${parts})
  set(devices "a GPU works where its driver is")
  if(complaint)
    set(parts Salience::torch_cpu)
    set(devices "for the CPU alone: ${complaint}")
  endif()
  add_library(Salience::torch INTERFACE IMPORTED)
  target_include_directories(Salience::torch INTERFACE
    "${folder}/include" "${folder}/include/torch/csrc/api/include")
  target_link_libraries(Salience::torch INTERFACE ${parts})
  if(NOT Salience_FIND_QUIETLY)
    message(STATUS "Salience takes ${torch} without its CMake package, which wants a GPU toolkit; ${devices}")
  endif()
endfunction()

# Sets complaint to why a program with these libraries does not link or start, or to nothing. The program calls both
# libraries, which the linker might leave out else; by the std::string the C++ ABI is known.
function(salience_torch_starts complaint)
  set(folder "${CMAKE_BINARY_DIR}/CMakeFiles/salience_torch_starts")
  file(REMOVE_RECURSE "${folder}")
  file(WRITE "${folder}/main.cpp" [[
#include <cstdio>
#include <string>
namespace at {
int get_num_threads();
}
namespace c10 {
namespace detail {
void torchCheckFail(const char*, const char*, unsigned, const std::string&);
}
}
int main() {
  if (at::get_num_threads() == 0) c10::detail::torchCheckFail("", "", 0, "");
  std::puts("It starts");
}
]])
  try_compile(SALIENCE_TORCH_LINKS "${folder}/build" "${folder}/main.cpp" LINK_LIBRARIES ${ARGN}
    OUTPUT_VARIABLE output COPY_FILE "${folder}/program" COPY_FILE_ERROR not_copied)
  set(starts "${SALIENCE_TORCH_LINKS}")
  unset(SALIENCE_TORCH_LINKS CACHE)
  if(starts AND NOT CMAKE_CROSSCOMPILING)
    execute_process(COMMAND "${folder}/program" OUTPUT_VARIABLE output ERROR_VARIABLE output)
    string(FIND "${output}" "It starts" found)  # how it ends is of no matter: a sanitizer may find leaks in LibTorch
    if(found EQUAL -1)
      set(starts FALSE)
    endif()
  endif()
  set(first "")
  if(NOT starts)
    string(REGEX MATCH "[^\n]*(loading shared libraries: |, needed by |undefined reference to |error: )[^\n]*" first
           "${output}")
    string(REGEX REPLACE "^.*(loading shared libraries: |warning: |error: )| \\(try .*" "" first
           "${first}")
    if(NOT first)
      set(first "see ${folder}")
    endif()
  endif()
  set(${complaint} "${first}" PARENT_SCOPE)
endfunction()
