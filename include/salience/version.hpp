// The only place where the version is written; CMakeLists.txt parses it.
#pragma once

#define SALIENCE_VERSION_MAJOR 1
#define SALIENCE_VERSION_MINOR 0
#define SALIENCE_VERSION_PATCH 0
#define SALIENCE_VERSION "1.0.0"
