// Errors and internal checks.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace switchyard {

/// What a failure is about; decides the process's exit status (README, "Exit codes").
enum class ErrorKind {
  kUsage = 2,     ///< wrong option, configuration key or combination of them
  kInput = 3,     ///< a file, tensor or request is missing, malformed or unsupported
  kResource = 4,  ///< memory, disk or a budget does not suffice
  kInternal = 5,  ///< a broken invariant: a fault of this program
  kPeer = 6,      ///< another rank failed, left or disagreed
};

/// A failure that can be explained to the user: what, where, what was expected, what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

/// A failure that every rank of the job knows of and throws with the same kind and message: one
/// rank tells the user, all end in order. Any other exception is one rank's own and ends the job.
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Concatenates anything that can be written to a stream.
template <typename... Parts>
std::string concat(Parts&&... parts) {
  std::ostringstream out;
  (out << ... << std::forward<Parts>(parts));
  return std::move(out).str();
}

/// Throws an Error of kind kInput with the concatenated parts as its message.
template <typename... Parts>
[[noreturn]] void fail_input(Parts&&... parts) {
  throw Error(ErrorKind::kInput, concat(std::forward<Parts>(parts)...));
}

/// Throws an Error of kind kUsage with the concatenated parts as its message.
template <typename... Parts>
[[noreturn]] void fail_usage(Parts&&... parts) {
  throw Error(ErrorKind::kUsage, concat(std::forward<Parts>(parts)...));
}

/// Throws an Error of kind kResource with the concatenated parts as its message.
template <typename... Parts>
[[noreturn]] void fail_resource(Parts&&... parts) {
  throw Error(ErrorKind::kResource, concat(std::forward<Parts>(parts)...));
}

/// Throws an Error of kind kInternal that names the broken condition and its place.
[[noreturn]] void fail_check(const char* condition, const char* file, int line,
                             const std::string& detail);

}  // namespace switchyard

/// Always checked: a condition that only a fault of this program can break.
#define SWITCHYARD_CHECK(condition, ...)                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      ::switchyard::fail_check(#condition, __FILE__, __LINE__,                       \
                               ::switchyard::concat("" __VA_OPT__(, ) __VA_ARGS__)); \
    }                                                                                \
  } while (false)

/// As SWITCHYARD_CHECK, but only where assertions are built in (debug and sanitizer builds).
#ifdef SWITCHYARD_ASSERTIONS
#define SWITCHYARD_ASSERT(condition, ...) SWITCHYARD_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#else
#define SWITCHYARD_ASSERT(condition, ...) \
  do {                                    \
  } while (false)
#endif
