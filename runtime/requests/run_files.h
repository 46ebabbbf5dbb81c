// What a run may do with the files it was given.
#pragma once

#include <string>
#include <vector>

namespace switchyard {

/// Whether the input can be read twice: a file, neither a pipe nor standard input ("-").
bool can_read_twice(const std::string& input);

/// Throws Error(kUsage) if what `option` names, `output`, would be written over one of the files
/// that the run reads; empty names and those of no file are passed over.
void require_other_files(const std::vector<std::string>& read, const std::string& output,
                         const char* option = "--output");

}  // namespace switchyard
