// The program attribute for tests that call it hundreds of times: a quarter of a second of each call goes
// into loading LibTorch, which is done here once. Every call runs in a child process of its own, which begins
// as the program begins: LibTorch is loaded and has computed nothing.
//
// Reads calls from standard input, one a line with a tab between its words: a file for what the call writes
// to standard output, one for standard error, and the program's arguments. Answers each with its exit status,
// or with the negative number of the signal that ended it.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "../../programs/commands.hpp"

namespace {

void redirect(const char* path, int flags, int descriptor) {
  const int file = open(path, flags, 0600);
  if (file < 0 || dup2(file, descriptor) < 0) _exit(126);
  close(file);
}

[[noreturn]] void be_the_program(std::vector<std::string> words) {
  redirect("/dev/null", O_RDONLY, STDIN_FILENO);
  redirect(words[0].c_str(), O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
  redirect(words[1].c_str(), O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
  std::string name = "attribute";
  std::vector<char*> arguments{name.data()};
  for (std::size_t i = 2; i < words.size(); ++i) arguments.push_back(words[i].data());
  const int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  std::exit(attribute_command(name, count, arguments.data()));
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<std::string> words;
    std::istringstream rest(line);
    for (std::string word; std::getline(rest, word, '\t');) words.push_back(word);
    if (words.size() < 2) return 2;
    const pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) be_the_program(words);
    int status = 0;
    if (waitpid(child, &status, 0) != child) return 1;
    std::cout << (WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status)) << std::endl;
  }
  return 0;
}
