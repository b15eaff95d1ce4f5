// The commands of the program `salience`, each a program under its short name too.
#pragma once

#include <string>

/// Runs a command with its arguments, of which the first is passed over, and gives the exit status: 0 done, 1
/// something is wrong with a file or the model, 2 wrong usage. `called` is how the user called it ("salience
/// attribute", "attribute"): usage and messages begin with it.
int attribute_command(const std::string& called, int argc, char** argv);
int evaluate_command(const std::string& called, int argc, char** argv);
int attribute_dataset_command(const std::string& called, int argc, char** argv);
int methods_command(const std::string& called, int argc, char** argv);
