// Standard input, output and error as the rest of the program may rely on them.
#pragma once

namespace switchyard {

/// Opens /dev/null where one of the three is closed: else the next file that is opened takes its
/// number, and a log would be written into results. Ignores SIGPIPE: a reader of the log that
/// leaves does not end the run, one of the results gives an error of writing.
void secure_standard_streams();

}  // namespace switchyard
