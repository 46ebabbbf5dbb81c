// Holds the sources against the table of folders: includes never point upwards.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {
namespace {

/// The layers, lowest first.
constexpr std::array<std::string_view, 5> kLayers = {"kernels", "parallel", "runtime", "cluster",
                                                     "launch"};

/// Index in kLayers of the path's first folder, or kLayers.size().
size_t layer_of(std::string_view path) {
  const std::string_view folder = path.substr(0, path.find('/'));
  return static_cast<size_t>(std::find(kLayers.begin(), kLayers.end(), folder) - kLayers.begin());
}

/// Headers that belong to one place of the tree, and the beginnings of that place's paths.
struct RestrictedHeader {
  const char* pattern;
  std::vector<std::string_view> allowed;
};

const std::vector<RestrictedHeader>& restricted_headers() {
  static const std::vector<RestrictedHeader> headers = {
      {R"(mpi(-ext)?\.h)", {"parallel/mpi/", "tests/parallel/"}},
      {R"(nccl\w*\.h)", {"parallel/nccl/"}},
      {R"((cuda|cublas|cudnn|cutlass|cub|nvtx|nvToolsExt)[\w./]*)",
       {"kernels/cuda/", "parallel/nccl/"}},
      {R"(boost/program_options[\w./]*)", {"launch/"}},
      {R"(yaml-cpp[\w./]*)", {"runtime/yaml_text.h"}},
  };
  return headers;
}

bool starts_with_any(std::string_view path, const std::vector<std::string_view>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](std::string_view beginning) { return path.starts_with(beginning); });
}

/// What is wrong with `header`, included as `quote` by the file `path`; empty if nothing.
std::string include_fault(std::string_view path, const std::string& header, char quote) {
  for (const RestrictedHeader& restricted : restricted_headers()) {
    if (std::regex_match(header, std::regex(restricted.pattern)) &&
        !starts_with_any(path, restricted.allowed)) {
      return header + " is not for this folder";
    }
  }
  if (quote == '<') return "";
  const size_t to = layer_of(header);
  if (to == kLayers.size()) {
    if (header.starts_with("tests/") && path.starts_with("tests/")) return "";
    return "\"" + header + "\" is not a path from the repository's root";
  }
  const size_t from = layer_of(path);
  return from < to ? header + " lies in a higher folder" : "";
}

/// "PATH:LINE: fault" for every include that breaks the rules, and every feature condition outside
/// the factories.
std::vector<std::string> faults(const std::string& path, const std::string& text) {
  static const std::regex kInclude(R"(\s*#\s*include\s*([<"])([^>"]+)[>"].*)");
  static const std::regex kFeature(R"(\s*#\s*(if|ifdef|ifndef|elif)\b.*SWITCHYARD_WITH_.*)");
  std::vector<std::string> found;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::smatch match;
    std::string fault;
    if (std::regex_match(line, match, kInclude)) {
      fault = include_fault(path, match[2], *match[1].first);
    } else if (std::regex_match(line, kFeature) && !path.ends_with("_factory.cc") &&
               !path.starts_with("tests/")) {
      fault = "features are chosen in the *_factory.cc files only";
    }
    if (!fault.empty()) found.push_back(path + ":" + std::to_string(number) + ": " + fault);
  }
  return found;
}

bool is_source(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".h" || extension == ".cc" || extension == ".cu" || extension == ".cuh";
}

TEST(IncludeRules, TheTreeKeepsThem) {
  const std::filesystem::path root =
      std::filesystem::path(SWITCHYARD_TEST_DATA).parent_path().parent_path();
  std::vector<std::string> folders(kLayers.begin(), kLayers.end());
  folders.emplace_back("tests");
  int files = 0;
  for (const std::string& folder : folders) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      ++files;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      const std::string path = std::filesystem::relative(entry.path(), root).string();
      for (const std::string& fault : faults(path, text.str())) ADD_FAILURE() << fault;
    }
  }
  EXPECT_GT(files, 50) << "the sources were not found under " << root;
}

TEST(IncludeRules, DownwardAndEqualIncludesAreFine) {
  EXPECT_TRUE(faults("launch/a.cc", "#include \"kernels/tensor.h\"\n#include <vector>\n").empty());
  EXPECT_TRUE(faults("runtime/a.cc", "#include \"runtime/b.h\"\n").empty());
  EXPECT_TRUE(faults("parallel/mpi/a.cc", "#include <mpi.h>\n").empty());
  EXPECT_TRUE(faults("tests/runtime/a.cc", "#include \"launch/b.h\"\n").empty());
  EXPECT_TRUE(faults("tests/runtime/a.cc", "#include \"tests/runtime/b.h\"\n").empty());
  EXPECT_TRUE(faults("kernels/backend_factory.cc", "#ifdef SWITCHYARD_WITH_CUDA\n").empty());
}

TEST(IncludeRules, UpwardIncludesAreFound) {
  EXPECT_EQ(faults("kernels/a.h", "\n#include \"parallel/b.h\"\n"),
            std::vector<std::string>{"kernels/a.h:2: parallel/b.h lies in a higher folder"});
  EXPECT_EQ(faults("parallel/a.cc", "# include  \"runtime/b.h\"  // why\n").size(), 1u);
  EXPECT_EQ(faults("runtime/a.cc", "#include \"cluster/b.h\"\n").size(), 1u);
  EXPECT_EQ(faults("cluster/a.cc", "#include \"launch/b.h\"\n").size(), 1u);
  EXPECT_EQ(faults("launch/a.cc", "#include \"tests/b.h\"\n").size(), 1u);
  EXPECT_EQ(faults("runtime/a.cc", "#include \"b.h\"\n").size(), 1u);
  EXPECT_EQ(faults("runtime/a.cc", "#include \"../kernels/b.h\"\n").size(), 1u);
}

TEST(IncludeRules, ForeignHeadersAreFoundOutsideTheirFolder) {
  EXPECT_EQ(faults("runtime/a.cc", "#include <mpi.h>\n").size(), 1u);
  EXPECT_EQ(faults("parallel/a.cc", "#include \"mpi.h\"\n").size(), 1u);
  EXPECT_EQ(faults("runtime/a.cc", "#include <nccl.h>\n").size(), 1u);
  EXPECT_EQ(faults("runtime/a.cc", "#include <cuda_runtime.h>\n").size(), 1u);
  EXPECT_EQ(faults("kernels/cpu/a.cc", "#include <cublas_v2.h>\n").size(), 1u);
  EXPECT_EQ(faults("runtime/a.cc", "#include <yaml-cpp/yaml.h>\n").size(), 1u);
  EXPECT_EQ(faults("runtime/a.cc", "#if SWITCHYARD_WITH_MPI\n").size(), 1u);
  EXPECT_TRUE(faults("runtime/a.cc", "#include <cstdint>\n").empty());
}

}  // namespace
}  // namespace switchyard
