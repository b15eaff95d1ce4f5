// The program `salience`: its commands, and the first word on the command line that chooses one.

#include <torch/version.h>
#include <salience/version.hpp>

#include <CLI/CLI.hpp>
#include <array>
#include <iostream>
#include <string>

#include "commands.hpp"

namespace {

/// In the place of the commands that take SHA-256, where salience was built without OpenSSL.
[[maybe_unused]] int without_openssl(const std::string& called, int, char**) {
  std::cerr << called << ": this salience was built without OpenSSL, which the command needs (on Debian: "
            << "install libssl-dev, and build again)\n";
  return 1;
}

struct Command {
  const char* name;
  const char* what;
  int (*run)(const std::string& called, int argc, char** argv);
};

constexpr std::array commands{
    Command{"attribute", "one picture: predictions, and what the network looked at (short name: attribute)",
            attribute_command},
#ifdef SALIENCE_WITH_OPENSSL
    Command{"evaluate", "a folder of pictures: which method tells the truth about a model? (evaluate)",
            evaluate_command},
    Command{"dataset", "any number of pictures, on one machine or many (attribute_dataset)",
            attribute_dataset_command},
#else
    Command{"evaluate", "not in this build, which has no OpenSSL", without_openssl},
    Command{"dataset", "not in this build, which has no OpenSSL", without_openssl},
#endif
    Command{"methods", "list the attribution methods", methods_command},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Command& command : commands) {
    if (argc > 1 && std::string(argv[1]) == command.name) {
      return command.run(std::string("salience ") + command.name, argc - 1, argv + 1);
    }
  }
  CLI::App app("Shows what a neural network looked at.", "salience");
  app.set_version_flag("--version", "salience " SALIENCE_VERSION ", LibTorch " TORCH_VERSION);
  for (const Command& command : commands) app.add_subcommand(command.name, command.what);
  app.require_subcommand(1);
  app.footer(
      "`salience COMMAND --help` says what a command takes.\n"
      "Exit status: 0 done; 1 something is wrong with a file or the model; 2 wrong usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    if (argc > 1) {
      std::cerr << "salience: there is no command '" << argv[1] << "'\n";
    } else {
      std::cerr << "salience: name a command\n";
    }
    std::cerr << "Commands:";
    for (const Command& command : commands) std::cerr << ' ' << command.name;
    std::cerr << "\nRun with --help for more information.\n";
  }
  return 2;
}
