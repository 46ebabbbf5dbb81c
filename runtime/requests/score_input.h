// From a request to the ids that are scored.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/requests/request.h"
#include "runtime/score_options.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// How texts become the ids of a sequence.
enum class TextConvention : uint8_t {
  kFairseq,      ///< as fairseq's scorers do
  kHuggingFace,  ///< as lm-evaluation-harness does with models of transformers
};

/// What decides which ids of a request are scored, beside the tokenizer.
struct ScoreInputOptions {
  int64_t vocab_size = 0;
  int64_t max_positions = 0;
  TextConvention convention = TextConvention::kFairseq;
  int32_t eos = 2;  // kFairseq: stripped from both ends of texts
  int32_t pad = 1;  // kFairseq: refused, a model neither reads nor scores it
  Truncate truncate = Truncate::kError;
  SpecialTokens special_tokens = SpecialTokens::kAdd;  // what encoding a text adds
  std::string source;                                  // the input file, for messages
  std::string tokenizer_help;  // why there is no tokenizer and what to do, for text requests
};

/// The ids of a request. Token ids are taken as they are; texts follow the convention.
///
/// kFairseq (fairseq, hub_utils.py and strip_token_dataset.py): every leading and trailing </s> of
/// a text's ids is removed. Context and continuation are encoded apart and joined; the stripping is
/// of the joined ids. A start token stands before the ids, so that n of them take n + 1 positions.
///
/// kHuggingFace (lm-evaluation-harness, lm_eval/api/model.py, TemplateLM._encode_pair): a text's
/// ids are what the tokenizer gives, nothing stands before them, and n of them take n positions.
/// White space that ends a context moves to the continuation, whose ids are those of both texts
/// together after as many as the context alone has; they follow the context's own.
///
/// A sequence that has more ids than there are positions is an error or loses ids on its left, of a
/// pair those of the context only, and, without a start token, all but one. `tokenizer` may be
/// null. Throws Error(kInput) naming source, line, request, and what to do.
ScoreSequence prepare_score_input(const Request& request, const Tokenizer* tokenizer,
                                  const ScoreInputOptions& options);

}  // namespace switchyard
