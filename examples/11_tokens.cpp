// A text classifier, explained at its embedding: how much each word adds to the answer, as a list, a picture
// and a page.
//
//   11_tokens [SENTENCE [MODEL.pt WORDS.txt LAYER]]      from the project's folder
#include <salience/salience.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace sal = salience;

/// The row of a word in the vocabulary; 1 stands for all that are not in it.
std::int64_t row_of(const std::string& word, const std::vector<std::string>& vocabulary) {
  const auto place = std::find(vocabulary.begin(), vocabulary.end(), word);
  if (place != vocabulary.end()) return place - vocabulary.begin();
  std::cout << "'" << word << "' is not in the vocabulary: it is read as <unknown>\n";
  return 1;
}

int main(int argc, char** argv) try {
  std::istringstream sentence(argc > 1 ? argv[1]
                                       : "it was a rainy evening the story was not very good and the music "
                                         "was hardly pleasant");
  const auto model = sal::ScriptModel::load(argc > 2 ? argv[2] : "examples/data/tokens.pt");
  const auto vocabulary = sal::load_labels(argc > 3 ? argv[3] : "examples/data/tokens.txt");
  const std::string embedding = argc > 4 ? argv[4] : "embedding";

  std::vector<std::string> words;
  std::vector<std::int64_t> rows;
  for (std::string word; sentence >> word; words.push_back(word)) rows.push_back(row_of(word, vocabulary));
  if (words.empty()) throw std::runtime_error("the sentence has no words");
  const at::Tensor x = torch::tensor(rows).unsqueeze(0);  // (1, T)

  // There is no gradient with respect to whole numbers: the method begins at what the embedding makes of
  // them.
  const sal::IntegratedGradients method{model.from(embedding, x), {.tolerance = 0.01}};
  const sal::Attribution a = method(model.until(embedding)(x));
  const std::vector<double> numbers = sal::token_values(a.values);
  double sum = 0.0, strength = 0.0;
  for (const double number : numbers) {
    sum += number;
    strength += std::abs(number);
  }

  const bool positive = a.target.item<std::int64_t>() == 1;
  const double certain = sal::ClassOutput(a.logits).probability(a.target).item<double>();
  std::cout << std::fixed << std::setprecision(3) << (positive ? "positive" : "negative") << ", probability "
            << certain << "\n\n  adds     share\n";
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::cout << std::showpos << std::round(1000.0 * numbers[i]) / 1000.0 + 0.0 << std::noshowpos
              << std::setw(8) << std::setprecision(1) << 100.0 * std::abs(numbers[i]) / strength << "%  "
              << std::setprecision(3) << words[i] << '\n';
  }
  std::cout << "\nthe words add up to " << sum << "; the score's change from no words is "
            << sum - a.completeness_error.item<double>() << '\n';

  sal::save_image("tokens.png", sal::token_picture(words, numbers));
  std::ofstream page("tokens.html");
  page << "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
       << "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Why "
       << (positive ? "positive" : "negative")
       << "?</title>\n<body style=\"font-family:sans-serif;max-width:40em;margin:2em auto;padding:0 "
          "1em\">\n<h1>"
       << (positive ? "Positive" : "Negative") << ", probability " << certain << "</h1>\n"
       << sal::token_html(words, numbers)
       << "<p>Red words speak for it, blue ones against it.</p>\n</html>\n";
  if (!page.flush()) throw std::runtime_error("cannot write tokens.html");
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
