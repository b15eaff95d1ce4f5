# Defines Salience::torch if LibTorch is found. Used by our own build and by the installed package alike. If there is a
# LibTorch, but none to be used, SALIENCE_TORCH_PROBLEM says why in one sentence.
#
# LibTorch's own CMake package makes the target. That of a LibTorch with CUDA, which is what `pip install torch` brings,
# ends CMake with an error where it finds no CUDA toolkit, though a toolkit is for who compiles for a GPU: there the target
# is made from LibTorch's folder.

set(SALIENCE_TORCH_PROBLEM "")
if(TARGET Salience::torch)
  return()
endif()
include("${CMAKE_CURRENT_LIST_DIR}/SalienceTorchFolder.cmake")
set(_salience_torch_package TRUE)
if(NOT TARGET torch)
  salience_locate_torch(_salience_torch_dir _salience_torch_version)
  if(Torch_DIR AND NOT EXISTS "${Torch_DIR}/TorchConfig.cmake")  # CMake would take another LibTorch and say nothing
    set(SALIENCE_TORCH_PROBLEM "Torch_DIR should be the folder of LibTorch's TorchConfig.cmake, and is ${Torch_DIR}.")
    set(_salience_torch_package FALSE)
  elseif(_salience_torch_dir AND _salience_torch_version VERSION_LESS 1.13)
    set(SALIENCE_TORCH_PROBLEM
        "Salience needs LibTorch 1.13 or later; that of ${_salience_torch_dir} is ${_salience_torch_version}.")
    set(_salience_torch_package FALSE)
  elseif(_salience_torch_dir)
    salience_torch_package_works(_salience_torch_package "${_salience_torch_dir}")
    if(NOT _salience_torch_package)
      salience_torch_from_folder("${_salience_torch_dir}" "${_salience_torch_version}" SALIENCE_TORCH_PROBLEM)
      if(TARGET Salience::torch)  # what the package would have said
        set(Torch_DIR "${_salience_torch_dir}")
        set(Torch_VERSION "${_salience_torch_version}")
        get_filename_component(TORCH_INSTALL_PREFIX "${Torch_DIR}/../../.." ABSOLUTE)
      endif()
    endif()
  endif()
endif()

if(_salience_torch_package)
  # LibTorch's package looks for its other half, Caffe2, all over the machine; keep both from one place.
  if(Torch_DIR AND NOT Caffe2_DIR AND EXISTS "${Torch_DIR}/../Caffe2/Caffe2Config.cmake")
    get_filename_component(Caffe2_DIR "${Torch_DIR}/../Caffe2" ABSOLUTE)
  endif()

  # What LibTorch's package finds may add to the user's CMAKE_MODULE_PATH (Debian's glog does), and CMake 4 reads that
  # package of 1.13 only with CMAKE_POLICY_VERSION_MINIMUM. No function keeps these in: enable_language(CUDA), which the
  # package of a CUDA LibTorch calls, is refused in one.
  set(_salience_module_path "${CMAKE_MODULE_PATH}")
  if(DEFINED CMAKE_POLICY_VERSION_MINIMUM)
    find_package(Torch QUIET)
  else()
    set(CMAKE_POLICY_VERSION_MINIMUM 3.5)
    find_package(Torch QUIET)
    unset(CMAKE_POLICY_VERSION_MINIMUM)
  endif()
  set(CMAKE_MODULE_PATH "${_salience_module_path}")
  unset(_salience_module_path)
endif()

# TORCH_LIBRARIES holds, beside these targets, paths from find_library: absolute ones, and where several LibTorches are
# installed, another one's libc10. The targets bring that library themselves, and the compiler flags for the ABI.
if(_salience_torch_package AND Torch_FOUND)
  add_library(Salience::torch INTERFACE IMPORTED)
  if(TARGET torch_library)
    target_link_libraries(Salience::torch INTERFACE torch torch_library)
  else()  # a static LibTorch
    target_link_libraries(Salience::torch INTERFACE ${TORCH_LIBRARIES})
  endif()
endif()
unset(_salience_torch_package)
unset(_salience_torch_dir)
unset(_salience_torch_version)
