# Defines Salience::torch if LibTorch is found. Used by our own build and by the installed package alike.

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

# TORCH_LIBRARIES holds, beside these targets, paths from find_library: absolute ones, and where several LibTorches are
# installed, another one's libc10. The targets bring that library themselves, and the compiler flags for the ABI.
if(Torch_FOUND AND NOT TARGET Salience::torch)
  add_library(Salience::torch INTERFACE IMPORTED)
  if(TARGET torch_library)
    target_link_libraries(Salience::torch INTERFACE torch torch_library)
  else()  # a static LibTorch
    target_link_libraries(Salience::torch INTERFACE ${TORCH_LIBRARIES})
  endif()
endif()
