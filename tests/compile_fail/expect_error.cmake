# cmake -DCOMPILER=... -DOPTIONS=RESPONSE_FILE -DFILE=... -P expect_error.cmake

file(READ "${FILE}" source)
if(NOT source MATCHES "^// expect: ([^\n]+)\n")
  message(FATAL_ERROR "${FILE} does not begin with '// expect: REGULAR EXPRESSION'")
endif()
set(expected "${CMAKE_MATCH_1}")

set(ENV{LC_ALL} C)
execute_process(COMMAND "${COMPILER}" "@${OPTIONS}" "${FILE}"
                RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE output)
if(result EQUAL 0)
  message(FATAL_ERROR "${FILE} compiles, but must fail with: ${expected}")
endif()
if(NOT output MATCHES "error: ([^\n]*)")
  message(FATAL_ERROR "The compiler ended with ${result} but named no error:\n${output}")
endif()
set(first "${CMAKE_MATCH_1}")
if(NOT first MATCHES "${expected}")
  message(FATAL_ERROR "The first error of ${FILE} is\n  ${first}\nbut must hold\n  ${expected}\nAll of it:\n${output}")
endif()
message(STATUS "${first}")
