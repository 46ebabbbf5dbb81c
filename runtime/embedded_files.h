// Files of configs/, as they were when the program was built.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace switchyard {

/// Name (the file's, without .yaml) and text, sorted by name.
using EmbeddedFiles = std::vector<std::pair<std::string_view, std::string_view>>;

/// configs/models.
const EmbeddedFiles& embedded_presets();
/// configs/families.
const EmbeddedFiles& embedded_families();

}  // namespace switchyard
