#include "runtime/tokenizer/json/subword_model.h"

#include "runtime/tokenizer/json/bpe_model.h"
#include "runtime/tokenizer/json/unigram_model.h"

namespace switchyard {

std::unique_ptr<const SubwordModel> make_subword_model(const JsonNode& node) {
  // Old files of BPE do not name the type.
  const std::string type = node.find("type") || !node.find("merges") ? node.type() : "BPE";
  if (type == "BPE") return std::make_unique<BpeModel>(node);
  if (type == "Unigram") return std::make_unique<UnigramModel>(node);
  node.refuse("models of type '", type, "' are not supported; these are: BPE, Unigram");
}

}  // namespace switchyard
