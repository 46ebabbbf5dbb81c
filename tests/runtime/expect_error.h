// Expecting an Error by its kind and by what its message must name.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "kernels/base/error.h"

namespace switchyard {

/// Runs `action`, which must throw an Error of this kind whose message holds each of `parts`.
/// Returns the message.
template <typename Action>
std::string expect_error(ErrorKind kind, std::initializer_list<std::string_view> parts,
                         Action action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.kind(), kind) << message;
    for (const std::string_view part : parts) {
      EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' not in: " << message;
    }
    return message;
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

}  // namespace switchyard
