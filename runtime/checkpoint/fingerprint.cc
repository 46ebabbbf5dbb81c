#include "runtime/checkpoint/fingerprint.h"

#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <sstream>

namespace switchyard {

std::string make_fingerprint(const FairseqSettings& settings,
                             const std::map<std::string, TorchTensor>& tensors,
                             const std::vector<CheckpointFile>& files) {
  std::ostringstream text;
  for (const auto& [name, value] : settings) text << name << '=' << value << '\n';
  for (const auto& [name, tensor] : tensors) {
    text << name << ' ' << tensor.storage_type << " [";
    for (const int64_t size : tensor.entry.shape) text << size << ' ';
    text << "] [";
    for (const int64_t stride : tensor.entry.strides) text << stride << ' ';
    text << ']';
    for (size_t i = 0; i < tensor.places.size(); ++i) {
      const StoragePlace& place = tensor.places[i];
      text << ' ' << place.first << ' ' << place.crc32;
      if (place.crc32 == 0 && place.storage_elements > 0) {
        const std::vector<TensorExtent>& extents = tensor.entry.extents;
        const int32_t file = extents.empty() ? tensor.entry.file : extents[i].file;
        text << " of file " << files[static_cast<size_t>(file)].identity;
      }
    }
    text << '\n';
  }
  // The namespace is fixed for good: another one would orphan every unfinished run.
  boost::uuids::name_generator_sha1 generator(boost::uuids::ns::oid());
  return boost::uuids::to_string(generator(text.str()));
}

}  // namespace switchyard
