# cpack: the Debian packages libsalience-dev, of the headers, and salience-tools, of the programs if they are built, each
# with what Debian wants beside them in usr/share/doc. tests/consumer/debian_package.sh builds and installs them, and a
# program against the first.

string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
set(SALIENCE_MAINTAINER "Salience contributors <salience@example.com>" CACHE STRING "Who packs it, for the Debian packages")
set(maintainer "${SALIENCE_MAINTAINER}")

# debian_files(PACKAGE COMPONENT FILE...): what Debian wants in usr/share/doc/PACKAGE, and these files. Not part of
# `cmake --install`, which other systems use too.
function(debian_files package component)
  set(doc_dir "${CMAKE_INSTALL_DATADIR}/doc/${package}")
  set(for_debian COMPONENT ${component} EXCLUDE_FROM_ALL)
  file(WRITE "${PROJECT_BINARY_DIR}/${package}/changelog.Debian"
"${package} (${PROJECT_VERSION}-1) unstable; urgency=medium

  * Version ${PROJECT_VERSION}; changelog.gz says what is new.

 -- ${maintainer}  ${date}
")
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${doc_dir}" RENAME copyright ${for_debian})
  install(FILES "${PROJECT_SOURCE_DIR}/CHANGELOG.md" DESTINATION "${doc_dir}" RENAME changelog ${for_debian})
  install(FILES "${PROJECT_BINARY_DIR}/${package}/changelog.Debian" ${ARGN} DESTINATION "${doc_dir}" ${for_debian})
  install(CODE "set(doc_dir \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${doc_dir}\")
execute_process(COMMAND gzip -9nf changelog changelog.Debian WORKING_DIRECTORY \"\${doc_dir}\" RESULT_VARIABLE result)
if(result)
  message(FATAL_ERROR \"gzip: \${result}\")
endif()" ${for_debian})
endfunction()

debian_files(libsalience-dev Salience_Debian "${PROJECT_SOURCE_DIR}/README.md")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/docs" DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/libsalience-dev"
  COMPONENT Salience_Debian EXCLUDE_FROM_ALL FILES_MATCHING PATTERN "*.md" PATTERN "*.png" PATTERN "*.svg")
if(SALIENCE_BUILD_PROGRAMS)
  debian_files(salience-tools Salience_Tools_Debian)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libsalience-dev)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each package has its own
set(CPACK_PACKAGE_CONTACT "${maintainer}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL Salience_Development Salience_Debian)
if(SALIENCE_BUILD_PROGRAMS)
  list(APPEND CPACK_COMPONENTS_ALL Salience_Tools Salience_Tools_Debian)
endif()
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_STRIP_FILES ON)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libsalience-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libeigen3-dev (>= 3.3)")
# Only recommended: the pictures need neither, and many bring the torch of their Python.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS "libtorch-dev (>= 1.13), libstb-dev, nlohmann-json3-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
"header-only C++20 library that shows what a neural network looked at
Salience computes gradient attributions: vanilla gradients, SmoothGrad,
Integrated Gradients, guided backpropagation and class activation maps, for
any model on LibTorch, and makes pictures of them.

The pictures need Eigen alone. All else needs LibTorch: that of libtorch-dev,
or that of a Python package torch, with or without CUDA.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME salience-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION science)
# dpkg-shlibdeps (of dpkg-dev) finds the libraries' packages. A LibTorch that is of none, as that of a Python, is found by
# its folder, which is in the programs.
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION
"shows what a neural network looked at
The program salience takes a TorchScript image classifier and pictures:
`salience attribute` explains one picture, `salience evaluate` compares
attribution methods by figures over many, and `salience dataset` attributes
any number of pictures, on one machine or on many.")
include(CPack)
cpack_add_component(Salience_Development GROUP development)
cpack_add_component(Salience_Debian GROUP development)
if(SALIENCE_BUILD_PROGRAMS)
  cpack_add_component(Salience_Tools GROUP tools)
  cpack_add_component(Salience_Tools_Debian GROUP tools)
endif()
