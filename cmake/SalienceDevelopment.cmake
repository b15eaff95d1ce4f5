# What Salience's own programs and tests are compiled with. Nothing here reaches a consumer.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_EXTENSIONS OFF)

# Paths below the project count as relative, so that another clone finds the same objects in the cache; what uses the
# precompiled header is only cached if its macros and the time of the build may be passed over.
find_program(SALIENCE_CCACHE ccache)
if(SALIENCE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${SALIENCE_CCACHE})
endif()

add_library(salience_development INTERFACE)
target_compile_options(salience_development INTERFACE -Wall -Wextra -Wpedantic -Wconversion)
if(TARGET Salience::image_io)
  target_link_libraries(salience_development INTERFACE Salience::image_io)
endif()

# <torch/script.h> takes 20 s to parse: every target that needs it shares this one precompiled header.
add_library(salience_script_pch STATIC EXCLUDE_FROM_ALL "${CMAKE_CURRENT_LIST_DIR}/script_pch.cpp")
target_link_libraries(salience_script_pch PUBLIC salience salience_development)
target_precompile_headers(salience_script_pch PRIVATE <torch/script.h>)

# salience_program(NAME SOURCES... [SCRIPT]): an executable; SCRIPT when it includes <torch/script.h>.
function(salience_program name)
  cmake_parse_arguments(arg "SCRIPT" "" "" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE salience salience_development)
  if(arg_SCRIPT)
    target_precompile_headers(${name} REUSE_FROM salience_script_pch)
  endif()
endfunction()
