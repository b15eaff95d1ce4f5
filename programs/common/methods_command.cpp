// The command `methods`: the library's registry, for a person or for docs/methods/README.md.

#include <salience/method/registry.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>

#include "../commands.hpp"
#include "methods.hpp"

namespace {

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

/// The table of docs/methods/README.md.
void print_markdown() {
  std::cout << "| Method | `--method` | Class in the library | Signed | Tells classes apart | Complete | "
               "Forward-equivalents |\n|---|---|---|---|---|---|---|\n";
  for (const salience::MethodEntry& entry : registered_methods()) {
    std::cout << "| [" << entry.title << "](" << entry.page << ".md) | " << code(entry.name) << " | "
              << entry.class_name << " | " << entry.is_signed << " | " << entry.tells_classes_apart << " | "
              << entry.complete << " | " << entry.cost << " |\n";
  }
}

void print_list() {
  std::size_t longest = 0;
  for (const salience::MethodEntry& entry : registered_methods())
    longest = std::max(longest, entry.name.size());
  const int width = static_cast<int>(longest) + 2;
  for (const salience::MethodEntry& entry : registered_methods()) {
    std::cout << std::left << std::setw(width) << entry.name << entry.title << ": " << entry.summary << " ("
              << entry.reference << ")\n";
    std::istringstream members{std::string(entry.options)};
    std::string options;
    for (std::string member; members >> member;) {
      if (member != "low" && member != "high")
        options += " --" + member;  // the programs know black and white
    }
    if (!options.empty()) std::cout << std::setw(width - 1) << "" << options << '\n';
  }
}

}  // namespace

int methods_command(const std::string& called, int argc, char** argv) {
  CLI::App app("Lists the attribution methods, as --method names them, and the options that each takes.",
               called);
  bool markdown = false;
  app.add_flag("--markdown", markdown, "as the table of docs/methods/README.md");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  markdown ? print_markdown() : print_list();
  return 0;
}
