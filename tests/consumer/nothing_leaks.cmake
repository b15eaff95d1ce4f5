# Included before Salience is brought in and again after it: the user's settings are as they were, what is new bears our
# name or that of a package that we look for, and our warnings, programs and tests are not his.

set(settings CMAKE_CXX_FLAGS CMAKE_CXX_STANDARD CMAKE_CXX_EXTENSIONS CMAKE_CXX_COMPILER_LAUNCHER CMAKE_BUILD_TYPE
             CMAKE_MODULE_PATH CMAKE_PREFIX_PATH CMAKE_POLICY_VERSION_MINIMUM BUILD_TESTING BUILD_SHARED_LIBS)

if(NOT DEFINED options_before)
  foreach(variable IN LISTS settings)
    set(before_${variable} "${${variable}}")
  endforeach()
  get_cmake_property(options_before CACHE_VARIABLES)
  return()
endif()

function(nothing_leaks)
  foreach(variable IN LISTS settings)
    if(NOT "${${variable}}" STREQUAL "${before_${variable}}")
      message(SEND_ERROR "Salience changed ${variable} from '${before_${variable}}' to '${${variable}}'")
    endif()
  endforeach()

  get_cmake_property(options CACHE_VARIABLES)
  list(REMOVE_ITEM options ${options_before})
  list(FILTER options EXCLUDE REGEX "^(SALIENCE_|Salience_|Eigen3_DIR$)")
  list(FILTER options EXCLUDE REGEX "^(FETCHCONTENT_|FIND_PACKAGE_MESSAGE_|CMAKE_PROJECT_VERSION)")
  # LibTorch's own package leaves too many to tell ours from them.
  if(options AND NOT "TORCH_LIBRARY" IN_LIST options)
    message(SEND_ERROR "Salience leaves the options ${options}")
  endif()

  foreach(target IN ITEMS Salience::salience Salience::pictures)
    foreach(kind IN ITEMS COMPILE_OPTIONS COMPILE_DEFINITIONS LINK_OPTIONS PRECOMPILE_HEADERS)
      if(TARGET ${target})
        get_target_property(value ${target} INTERFACE_${kind})
        if(value)
          message(SEND_ERROR "${target} gives its users the ${kind} ${value}")
        endif()
      endif()
    endforeach()
  endforeach()

  if(DEFINED Salience_SOURCE_DIR)  # as a folder of this project
    get_property(names DIRECTORY "${Salience_SOURCE_DIR}" PROPERTY BUILDSYSTEM_TARGETS)
    list(REMOVE_ITEM names dummy)  # LibTorch's
    get_property(tests DIRECTORY "${Salience_SOURCE_DIR}" PROPERTY TESTS)
    get_property(folders DIRECTORY "${Salience_SOURCE_DIR}" PROPERTY SUBDIRECTORIES)
    if(NOT "${names};${tests};${folders}" STREQUAL "salience_pictures;salience;;")
      message(SEND_ERROR "Salience brings more than its libraries: ${names} ${tests} ${folders}")
    endif()
  endif()
endfunction()
nothing_leaks()
