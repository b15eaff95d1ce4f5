# Defines Salience::torch if LibTorch is found. Used by our own build and by the installed package alike.

# LibTorch's package looks for its other half, Caffe2, all over the machine; keep both from one place.
if(Torch_DIR AND NOT Caffe2_DIR AND EXISTS "${Torch_DIR}/../Caffe2/Caffe2Config.cmake")
  get_filename_component(Caffe2_DIR "${Torch_DIR}/../Caffe2" ABSOLUTE)
endif()

# CMake 4 reads the package of LibTorch 1.13 only with this.
if(DEFINED CMAKE_POLICY_VERSION_MINIMUM)
  find_package(Torch QUIET)
else()
  set(CMAKE_POLICY_VERSION_MINIMUM 3.5)
  find_package(Torch QUIET)
  unset(CMAKE_POLICY_VERSION_MINIMUM)
endif()

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
