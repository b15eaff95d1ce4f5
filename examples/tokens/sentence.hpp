// Generated sentences with a known answer: an opinion of a film or a meal, which a "not" turns round.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tokens {

/// What a word does to the answer.
enum class Role {
  neutral,  ///< nothing
  opinion,  ///< it says what was thought
  negation  ///< it turns the opinion behind it round
};

/// The two answers: `Sentence::label` and the outputs of the network in examples/data are indices into it.
inline constexpr std::array<std::string_view, 2> label_names = {"negative", "positive"};

inline constexpr std::array<std::string_view, 8> praise = {"good",     "great",     "lovely",   "superb",
                                                           "charming", "brilliant", "pleasant", "excellent"};
inline constexpr std::array<std::string_view, 8> blame = {"bad",    "awful",    "dull",   "poor",
                                                          "boring", "terrible", "feeble", "dreadful"};
inline constexpr std::array<std::string_view, 3> negations = {"not", "never", "hardly"};
inline constexpr std::array<std::string_view, 3> degrees = {"very", "quite", "really"};
inline constexpr std::array<std::string_view, 10> subjects = {"film",  "meal", "story",   "music", "soup",
                                                              "actor", "room", "service", "end",   "play"};
inline constexpr std::array<std::string_view, 6> fillers = {
    "we went there on monday",    "my friends came along",        "it was a rainy evening",
    "the place was near the sea", "they had seats by the window", "we paid at the door"};

/// The vocabulary, in the order of the embedding's rows. Row 0 fills sentences up, row 1 stands for any word
/// that is not in it.
inline std::vector<std::string> vocabulary() {
  std::vector<std::string> words{"<pad>", "<unknown>", "the", "was", "and"};
  const auto add = [&words](std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find(' '), text.size());
      const std::string word(text.substr(0, end));
      if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  };
  const auto add_all = [&add](std::span<const std::string_view> texts) {
    for (const std::string_view text : texts) add(text);
  };
  add_all(praise);
  add_all(blame);
  add_all(negations);
  add_all(degrees);
  add_all(subjects);
  add_all(fillers);
  return words;
}

/// Words with what each of them does, and the answer.
struct Sentence {
  std::vector<std::string> words;
  std::vector<Role> roles;  ///< one for each word
  int label = 0;            ///< index into `label_names`
  bool negated = false;     ///< whether a negation is in it
};

/// The sentence that belongs to `seed`: one or two opinions that agree, each "the SUBJECT was [NEGATION]
/// [DEGREE] ADJECTIVE", and up to two fillers around them. The same seed gives the same words everywhere.
/// Opinions, negations and labels are independent of subject, degree and fillers.
inline Sentence sentence(std::uint64_t seed) {
  std::uint64_t state = seed * 0x9e3779b97f4a7c15U + 0x632be59bd9b4e019U;
  const auto below = [&state](std::size_t count) {  // splitmix64
    std::uint64_t x = state += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return static_cast<std::size_t>(((x ^ (x >> 31)) >> 32) % count);
  };
  Sentence made;
  made.label = static_cast<int>(below(2));
  const auto say = [&made](std::string_view text, Role role = Role::neutral) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find(' '), text.size());
      made.words.emplace_back(text.substr(0, end));
      made.roles.push_back(role);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  };
  const auto opinion = [&] {
    say("the");
    say(subjects[below(subjects.size())]);
    say("was");
    const bool negated = below(2) == 0;
    if (negated) say(negations[below(negations.size())], Role::negation);
    if (below(2) == 0) say(degrees[below(degrees.size())]);
    const auto& adjectives = (made.label == 1) != negated ? praise : blame;
    say(adjectives[below(adjectives.size())], Role::opinion);
    made.negated = made.negated || negated;
  };
  if (below(2) == 0) say(fillers[below(fillers.size())]);
  opinion();
  if (below(2) == 0) {
    say("and");
    opinion();
  }
  if (below(2) == 0) say(fillers[below(fillers.size())]);
  return made;
}

/// Seeds from here on belong to training. Smaller ones were never seen by the network in examples/data.
inline constexpr std::uint64_t first_training_seed = std::uint64_t{1} << 32;

/// The row of each word in the vocabulary; 1 for one that is not in it.
inline std::vector<std::int64_t> numbered(const std::vector<std::string>& words,
                                          const std::vector<std::string>& vocabulary) {
  std::vector<std::int64_t> rows;
  for (const std::string& word : words) {
    const auto place = std::find(vocabulary.begin(), vocabulary.end(), word);
    rows.push_back(place == vocabulary.end() ? 1 : place - vocabulary.begin());
  }
  return rows;
}

}  // namespace tokens
