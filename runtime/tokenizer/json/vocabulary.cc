#include "runtime/tokenizer/json/vocabulary.h"

#include <cstdio>

namespace switchyard {

std::string byte_piece(unsigned char byte) {
  char piece[8];
  std::snprintf(piece, sizeof piece, "<0x%02X>", static_cast<unsigned>(byte));
  return piece;
}

}  // namespace switchyard
