// Headers of small real checkpoints, to be changed and joined.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/checkpoint/fairseq_checkpoint.h"
#include "tests/runtime/torch_writer.h"

namespace switchyard {

inline const std::string kData = SWITCHYARD_TEST_DATA;

inline std::vector<FairseqHeader> read_headers(const std::string& directory) {
  std::vector<FairseqHeader> headers;
  for (const FairseqFile& file : find_fairseq_files(directory)) {
    headers.push_back(read_fairseq_header(file));
  }
  return headers;
}

inline Checkpoint merge(const std::string& directory, const std::vector<FairseqHeader>& headers) {
  return merge_fairseq_headers(directory, headers, collect_fairseq_parts(headers));
}

/// Opens a checkpoint as open_checkpoint on one rank.
inline Checkpoint open_folder(const std::string& directory) {
  const std::vector<FairseqHeader> headers = read_headers(directory);
  const FairseqParts parts = collect_fairseq_parts(headers);
  Checkpoint checkpoint = merge_fairseq_headers(directory, headers, parts);
  compare_copies(checkpoint.index, parts.unproven, 0, 1);
  return checkpoint;
}

/// The headers of a good checkpoint, read once a process.
inline const std::vector<FairseqHeader>& headers_of(const std::string& name) {
  static std::map<std::string, std::vector<FairseqHeader>> read;
  std::vector<FairseqHeader>& headers = read[name];
  if (headers.empty()) headers = read_headers(kData + "/fairseq/" + name);
  return headers;
}

/// The error of merging the headers of a good checkpoint after a change.
inline std::string error_after(const std::string& name,
                               const std::function<void(std::vector<FairseqHeader>&)>& change) {
  std::vector<FairseqHeader> headers = headers_of(name);
  change(headers);
  return error_of([&] { merge("folder", headers); });
}

inline void expect_parts(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos)
        << "no '" << part << "' in '" << message << "'";
  }
}

inline TorchTensor& tensor(FairseqHeader& header, const std::string& name) {
  for (TorchTensor& candidate : header.tensors) {
    if (candidate.name == name) return candidate;
  }
  throw std::runtime_error("no tensor " + name);
}

inline void set_setting(std::vector<FairseqHeader>& headers, const std::string& name,
                        const std::string& text) {
  for (FairseqHeader& header : headers) header.config.settings[name] = text;
}

inline void erase_setting(std::vector<FairseqHeader>& headers, const std::string& name) {
  for (FairseqHeader& header : headers) header.config.settings.erase(name);
}

inline ModelConfig config_after(const std::string& name, const std::string& setting,
                                const std::string& text) {
  std::vector<FairseqHeader> headers = headers_of(name);
  set_setting(headers, setting, text);
  return merge("folder", headers).config;
}

}  // namespace switchyard
