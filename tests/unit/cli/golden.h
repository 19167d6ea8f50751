#pragma once

#include <string>

namespace pvr::test {

/// Compares `text` with tests/unit/cli/golden/NAME. With PVERECONCILE_TEST_ACCEPT=1 it rewrites the file instead, for a
/// reviewer to read the difference.
void expect_golden(const std::string& name, const std::string& text);

/// The same for any file of the repository.
void expect_file(const std::string& path_in_repository, const std::string& text);

}  // namespace pvr::test
