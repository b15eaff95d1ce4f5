// What each of the two files that include the library tells of it.
#pragma once

struct Whole {
  const void* function;  // one inline function, so one address
  int width;             // of a picture that was written and read through the library's stb
};

Whole first();
Whole second();

// The width of a picture that was written and read through the program's own stb.
int own_stb();
