// Small files that are read as a whole.
#pragma once

#include <string>

namespace switchyard {

/// Reads a file of at most 256 MiB (a vocabulary of a million pieces has 30). Throws Error(kInput)
/// naming the file, why it cannot be read, and `help`, which says what it is and how to give
/// another.
std::string read_text_file(const std::string& path, const std::string& help);

}  // namespace switchyard
