#include "launch/command_line.h"
#include "launch/standard_streams.h"

int main(int argc, char** argv) {
  switchyard::secure_standard_streams();
  return switchyard::run_command_line(std::vector<std::string>(argv + 1, argv + argc));
}
