// A bounded share of fuzzing for every run: the corpus, and mutations of it from a seed that is printed. scripts/fuzz
// does the same with libFuzzer, which is guided by coverage, for as long as one likes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "tests/fuzz/targets.h"

namespace pvr::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr int kMutations = 400;  // of each target
constexpr std::size_t kMost = 1 << 16;

std::vector<std::string> corpus_of(std::string_view name) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(PVERECONCILE_SOURCE_DIR "/tests/fuzz/corpus") / name))
    files.push_back(entry.path());
  std::ranges::sort(files);
  std::vector<std::string> texts;
  for (const fs::path& path : files) {
    std::ifstream file(path, std::ios::binary);
    texts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return texts;
}

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  std::string mutate(const std::vector<std::string>& corpus) {
    std::string text = corpus[below(corpus.size())];
    for (std::size_t rounds = 1 + below(4); rounds > 0; --rounds) change(text, corpus);
    if (text.size() > kMost) text.resize(kMost);
    return text;
  }

 private:
  std::size_t below(std::size_t end) { return std::uniform_int_distribution<std::size_t>(0, end - 1)(random_); }

  void change(std::string& text, const std::vector<std::string>& corpus) {
    static constexpr std::string_view kMarks = "\n\t ,;:=\"'{}[]()-+.0123456789%@/\\#&*!|>aZ~";
    const std::size_t at = text.empty() ? 0 : below(text.size() + 1);
    const std::size_t length = text.size() == at ? 0 : below(std::min<std::size_t>(text.size() - at, 32)) + 1;
    switch (below(7)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, 1, static_cast<char>(below(256)));
        break;
      case 2:
        text.insert(at, 1, kMarks[below(kMarks.size())]);
        break;
      case 3:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 4:
        text.insert(at, text.substr(at, length));
        break;
      case 5: {
        const std::string& other = corpus[below(corpus.size())];
        if (other.empty()) break;
        const std::size_t from = below(other.size());
        text.insert(at, other.substr(from, below(64) + 1));
        break;
      }
      default: {
        static constexpr std::string_view kNumbers[] = {
            "-1", "18446744073709551616", "9223372036854775807", "1e308", "0x7f", "00", "4294967296"};
        text.insert(at, kNumbers[below(std::size(kNumbers))]);
      }
    }
  }

  std::mt19937 random_;
};

class Fuzz : public ::testing::TestWithParam<Target> {};

TEST_P(Fuzz, HoldsForTheCorpusAndWhatComesOfIt) {
  const Target& target = GetParam();
  const std::vector<std::string> corpus = corpus_of(target.name);
  ASSERT_FALSE(corpus.empty());
  for (const std::string& text : corpus) EXPECT_EQ(target.run(text), "") << text;
  const char* given = std::getenv("PVERECONCILE_TEST_SEED");
  const unsigned seed =
      given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
  SCOPED_TRACE("to repeat: PVERECONCILE_TEST_SEED=" + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  Mutator mutator(seed);
  for (int i = 0; i < kMutations; ++i) {
    const std::string text = mutator.mutate(corpus);
    ASSERT_EQ(target.run(text), "") << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Readers, Fuzz, ::testing::ValuesIn(targets().begin(), targets().end()),
                         [](const auto& target) {
                           std::string name(target.param.name);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace pvr::fuzz
