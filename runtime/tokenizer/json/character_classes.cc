#include "runtime/tokenizer/json/character_classes.h"

#include <unicode/uchar.h>

#include <cstdint>

namespace switchyard {
namespace {

UChar32 point_of(char32_t character) { return static_cast<UChar32>(character); }

uint32_t category_of(char32_t character) { return U_GET_GC_MASK(point_of(character)); }

bool is_in_unicode(char32_t character, int major_version) {
  UVersionInfo version;
  u_charAge(point_of(character), version);
  return version[0] > 0 && version[0] <= major_version;
}

}  // namespace

bool is_white_space(char32_t character) { return u_isUWhiteSpace(point_of(character)); }

bool is_word_character(char32_t character) {
  constexpr char32_t kZeroWidthNonJoiner = 0x200C;
  constexpr char32_t kZeroWidthJoiner = 0x200D;
  return u_hasBinaryProperty(point_of(character), UCHAR_ALPHABETIC) ||
         (category_of(character) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 ||
         character == kZeroWidthNonJoiner || character == kZeroWidthJoiner;
}

bool is_numeric(char32_t character) { return (category_of(character) & U_GC_N_MASK) != 0; }

bool is_punctuation(char32_t character) {
  if (character < 0x80)
    return character > ' ' && character < 0x7F && !u_isalnum(point_of(character));
  // Two characters whose category has changed since.
  if (character == 0x166D || character == 0x111C9) return true;
  return (category_of(character) & U_GC_P_MASK) != 0 && is_in_unicode(character, 8);
}

bool is_combining_mark(char32_t character) {
  // Characters whose category has changed since.
  if (character == 0x1CF2 || character == 0x1CF3) return true;
  if (character == 0x111C9) return false;
  return (category_of(character) & U_GC_M_MASK) != 0 && is_in_unicode_9(character);
}

bool is_in_unicode_9(char32_t character) { return is_in_unicode(character, 9); }

}  // namespace switchyard
