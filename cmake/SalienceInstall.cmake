# cmake --install: the headers, and a package for find_package(Salience). Two export sets, so that the pictures
# can be had without LibTorch.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/Salience)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/salience" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/Salience)

install(TARGETS salience_pictures EXPORT SaliencePicturesTargets)
install(EXPORT SaliencePicturesTargets NAMESPACE Salience:: DESTINATION ${package_dir})
install(TARGETS salience EXPORT SalienceTargets)
install(EXPORT SalienceTargets NAMESPACE Salience:: DESTINATION ${package_dir})

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/SalienceConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/SalienceConfig.cmake" INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/SalienceConfigVersion.cmake"
  COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_BINARY_DIR}/SalienceConfig.cmake"
  "${PROJECT_BINARY_DIR}/SalienceConfigVersion.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/SalienceTorch.cmake"
  DESTINATION ${package_dir})
