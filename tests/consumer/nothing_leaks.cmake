# Included before Salience is brought in and again after it: the user's settings are as they were, and our warnings
# and programs are not his.

foreach(variable IN ITEMS CMAKE_CXX_FLAGS CMAKE_CXX_STANDARD CMAKE_BUILD_TYPE CMAKE_MODULE_PATH CMAKE_PREFIX_PATH
                          CMAKE_POLICY_VERSION_MINIMUM BUILD_TESTING)
  if(NOT remembered)
    set(before_${variable} "${${variable}}")
  elseif(NOT "${${variable}}" STREQUAL "${before_${variable}}")
    message(FATAL_ERROR "Salience changed ${variable} from '${before_${variable}}' to '${${variable}}'")
  endif()
endforeach()
set(remembered YES)

foreach(target IN ITEMS Salience::salience Salience::pictures)
  if(TARGET ${target})
    get_target_property(options ${target} INTERFACE_COMPILE_OPTIONS)
    if(options)
      message(FATAL_ERROR "${target} compiles its users with ${options}")
    endif()
  endif()
endforeach()
foreach(target IN ITEMS attribute tests_main salience_development)
  if(TARGET ${target})
    message(FATAL_ERROR "Salience defines ${target} in the project of its user")
  endif()
endforeach()
