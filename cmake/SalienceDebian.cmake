# cpack: the Debian package libsalience-dev, of the headers and of what Debian wants beside them in usr/share/doc.
# tests/consumer/debian_package.sh builds and installs it, and a program against it.

set(doc_dir "${CMAKE_INSTALL_DATADIR}/doc/libsalience-dev")
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
set(SALIENCE_MAINTAINER "Salience contributors <salience@example.com>" CACHE STRING "Who packs it, for the Debian package")
set(maintainer "${SALIENCE_MAINTAINER}")
file(WRITE "${PROJECT_BINARY_DIR}/changelog.Debian"
"libsalience-dev (${PROJECT_VERSION}-1) unstable; urgency=medium

  * Version ${PROJECT_VERSION}; changelog.gz says what is new.

 -- ${maintainer}  ${date}
")

# Not part of `cmake --install`, which other systems use too.
set(for_debian COMPONENT Salience_Debian EXCLUDE_FROM_ALL)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${doc_dir}" RENAME copyright ${for_debian})
install(FILES "${PROJECT_SOURCE_DIR}/CHANGELOG.md" DESTINATION "${doc_dir}" RENAME changelog ${for_debian})
install(FILES "${PROJECT_BINARY_DIR}/changelog.Debian" "${PROJECT_SOURCE_DIR}/README.md"
  DESTINATION "${doc_dir}" ${for_debian})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/docs" DESTINATION "${doc_dir}" ${for_debian}
  FILES_MATCHING PATTERN "*.md" PATTERN "*.png" PATTERN "*.svg")
install(CODE "set(doc_dir \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${doc_dir}\")
execute_process(COMMAND gzip -9nf changelog changelog.Debian WORKING_DIRECTORY \"\${doc_dir}\" RESULT_VARIABLE result)
if(result)
  message(FATAL_ERROR \"gzip: \${result}\")
endif()" ${for_debian})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libsalience-dev)
set(CPACK_PACKAGE_CONTACT "${maintainer}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL Salience_Development Salience_Debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_NAME libsalience-dev)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libeigen3-dev (>= 3.3)")
# Only recommended: the pictures need neither, and many bring the torch of their Python.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libtorch-dev (>= 1.13), libstb-dev")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "header-only C++20 library that shows what a neural network looked at")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Salience computes gradient attributions: vanilla gradients, SmoothGrad,
Integrated Gradients, guided backpropagation and class activation maps, for
any model on LibTorch, and makes pictures of them.

The pictures need Eigen alone. All else needs LibTorch: that of libtorch-dev,
or that of a Python package torch, with or without CUDA.")
include(CPack)
