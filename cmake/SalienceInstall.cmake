# cmake --install: the headers, and packages for find_package(Salience) and pkg-config; the former is also written for
# the build tree (-DSalience_DIR=...). Two export sets, so that the pictures can be had without LibTorch.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/Salience")
set(pkgconfig_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")
file(RELATIVE_PATH pkgconfig_to_prefix "/prefix/${pkgconfig_dir}" "/prefix")

install(TARGETS salience_pictures EXPORT SaliencePicturesTargets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS salience EXPORT SalienceTargets)
foreach(targets IN ITEMS SaliencePicturesTargets SalienceTargets)
  install(EXPORT ${targets} NAMESPACE Salience:: DESTINATION "${package_dir}" COMPONENT Salience_Development)
  export(EXPORT ${targets} NAMESPACE Salience:: FILE "${PROJECT_BINARY_DIR}/${targets}.cmake")
endforeach()

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/SalienceConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/SalienceConfig.cmake" INSTALL_DESTINATION "${package_dir}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/SalienceConfigVersion.cmake"
  COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
foreach(file IN ITEMS SalienceStb SalienceTorch SalienceTorchFolder)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${file}.cmake" "${PROJECT_BINARY_DIR}/${file}.cmake" COPYONLY)
endforeach()
foreach(package IN ITEMS salience salience-pictures)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${package}.pc.in" "${PROJECT_BINARY_DIR}/${package}.pc" @ONLY)
endforeach()

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/salience" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  COMPONENT Salience_Development FILES_MATCHING PATTERN "*.hpp")
install(FILES
  "${PROJECT_BINARY_DIR}/SalienceConfig.cmake"
  "${PROJECT_BINARY_DIR}/SalienceConfigVersion.cmake"
  "${PROJECT_BINARY_DIR}/SalienceStb.cmake"
  "${PROJECT_BINARY_DIR}/SalienceTorch.cmake"
  "${PROJECT_BINARY_DIR}/SalienceTorchFolder.cmake"
  DESTINATION "${package_dir}" COMPONENT Salience_Development)
install(FILES "${PROJECT_BINARY_DIR}/salience.pc" "${PROJECT_BINARY_DIR}/salience-pictures.pc"
  DESTINATION "${pkgconfig_dir}" COMPONENT Salience_Development)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/licenses/Salience"
  COMPONENT Salience_Licence)
