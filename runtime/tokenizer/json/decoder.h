// How pieces become text again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/tokenizer/json/json_node.h"

namespace switchyard {

/// Changes a list of pieces, all valid UTF-8; the decoded text is what is left of it, joined.
/// Immutable and thread-safe.
class Decoder {
 public:
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  virtual ~Decoder() = default;

  virtual void apply(std::vector<std::string>& pieces) const = 0;
};

/// The decoder that an entry of tokenizer.json describes: ByteLevel, Metaspace, ByteFallback, Fuse,
/// Replace, Strip, BPEDecoder or a Sequence of them. Throws Error(kInput) naming the entry for
/// another or a malformed one.
std::unique_ptr<const Decoder> make_decoder(const JsonNode& node);

}  // namespace switchyard
