# Two processes with the same input, seed and threads write the same bytes.
#
#   cmake -DATTRIBUTE=... -DDATA=examples/data -DFOLDER=... -P repeat.cmake

file(REMOVE_RECURSE "${FOLDER}")
foreach(run IN ITEMS first second)
  execute_process(
    COMMAND "${ATTRIBUTE}" --model "${DATA}/scenes.pt" --image "${DATA}/scene_star.png" --size 96x96 --threads 2
      --seed 7 --samples 4 --steps 4 --prepare fast --method vanilla --method smooth_grad
      --method integrated_gradients --method guided_grad_cam --output "${FOLDER}/${run}"
    RESULT_VARIABLE status OUTPUT_QUIET)
  if(status)
    message(FATAL_ERROR "attribute failed: ${status}")
  endif()
endforeach()

file(GLOB files RELATIVE "${FOLDER}/first" "${FOLDER}/first/*")
list(REMOVE_ITEM files prediction.json)  # says how long it took
list(LENGTH files count)
if(count LESS 20)
  message(FATAL_ERROR "attribute wrote only ${count} files")
endif()
foreach(file IN LISTS files)
  file(SHA256 "${FOLDER}/first/${file}" first)
  file(SHA256 "${FOLDER}/second/${file}" second)
  if(NOT first STREQUAL second)
    message(SEND_ERROR "another process wrote another ${file}")
  endif()
endforeach()
