# Defines Salience::image_io if stb is found. Used by our own build and by the installed package alike.
#
# picture/image_io.hpp, picture/contact_sheet.hpp and view/volume_sheet.hpp include stb. Where the compiler finds it by
# itself, they need no target; this one says at configure time that stb is missing, and finds it in CMAKE_PREFIX_PATH too.

find_path(SALIENCE_STB_INCLUDE_DIR NAMES stb/stb_image.h stb_image.h DOC "The folder of stb/stb_image.h")
mark_as_advanced(SALIENCE_STB_INCLUDE_DIR)
if(SALIENCE_STB_INCLUDE_DIR AND NOT TARGET Salience::image_io)
  add_library(Salience::image_io INTERFACE IMPORTED)
  target_include_directories(Salience::image_io INTERFACE "${SALIENCE_STB_INCLUDE_DIR}")
endif()
