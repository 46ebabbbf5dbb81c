// The files of configs/models, as they were when the program was built.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace switchyard {

/// Name (the file's, without .yaml) and text, sorted by name.
const std::vector<std::pair<std::string_view, std::string_view>>& embedded_presets();

}  // namespace switchyard
