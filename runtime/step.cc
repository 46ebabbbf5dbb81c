#include "runtime/step.h"

#include "kernels/base/byte_codec.h"

namespace switchyard {
namespace {

void put_sequence(ByteWriter& writer, const StepSequence& sequence) {
  writer.put(sequence.sequence);
  writer.put(sequence.first_position);
  writer.put_vector(sequence.input_ids);
  writer.put(sequence.num_pads);
  writer.put(sequence.first_target_row);
  writer.put_vector(sequence.target_ids);
  writer.put(sequence.sample.has_value());
  if (sequence.sample) writer.put(*sequence.sample);
  writer.put(static_cast<int64_t>(sequence.pages.size()));
  for (const std::vector<int32_t>& pages : sequence.pages) writer.put_vector(pages);
  writer.put(sequence.planned_length);
}

StepSequence get_sequence(ByteReader& reader) {
  StepSequence sequence;
  sequence.sequence = reader.get<int64_t>();
  sequence.first_position = reader.get<int64_t>();
  sequence.input_ids = reader.get_vector<int32_t>();
  sequence.num_pads = reader.get<int64_t>();
  sequence.first_target_row = reader.get<int64_t>();
  sequence.target_ids = reader.get_vector<int32_t>();
  if (reader.get<bool>()) sequence.sample = reader.get<SampleSettings>();
  for (int64_t groups = reader.get<int64_t>(); groups > 0; --groups) {
    sequence.pages.push_back(reader.get_vector<int32_t>());
  }
  sequence.planned_length = reader.get<int64_t>();
  return sequence;
}

}  // namespace

std::string encode(const StepHeader& header) {
  ByteWriter writer;
  writer.put(header.kind);
  writer.put(header.step);
  writer.put(header.top_logprobs);
  writer.put_vector(header.eos_ids);
  writer.put_vector(header.banned_ids);
  writer.put(static_cast<int64_t>(header.units.size()));
  for (const StepUnit& unit : header.units) {
    writer.put(unit.capacity_positions);
    writer.put(unit.rank);
    writer.put(static_cast<int64_t>(unit.sequences.size()));
    for (const StepSequence& sequence : unit.sequences) put_sequence(writer, sequence);
  }
  writer.put(header.error_kind);
  writer.put_string(header.error);
  return writer.bytes();
}

StepHeader decode_step_header(const std::string& bytes) {
  ByteReader reader(bytes);
  StepHeader header;
  header.kind = reader.get<StepKind>();
  header.step = reader.get<int64_t>();
  header.top_logprobs = reader.get<int64_t>();
  header.eos_ids = reader.get_vector<int32_t>();
  header.banned_ids = reader.get_vector<int32_t>();
  for (int64_t units = reader.get<int64_t>(); units > 0; --units) {
    StepUnit& unit = header.units.emplace_back();
    unit.capacity_positions = reader.get<int64_t>();
    unit.rank = reader.get<int32_t>();
    for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
      unit.sequences.push_back(get_sequence(reader));
    }
  }
  header.error_kind = reader.get<ErrorKind>();
  header.error = reader.get_string();
  return header;
}

std::string encode(const std::vector<SequenceOutput>& outputs) {
  ByteWriter writer;
  writer.put(static_cast<int64_t>(outputs.size()));
  for (const SequenceOutput& output : outputs) {
    writer.put(output.sequence);
    writer.put_vector(output.logprobs);
    writer.put_vector(output.greedy);
    writer.put_vector(output.top_ids);
    writer.put_vector(output.top_logprobs);
    writer.put(output.token);
    writer.put(output.token_logprob);
  }
  return writer.bytes();
}

std::vector<SequenceOutput> decode_outputs(const std::string& bytes) {
  ByteReader reader(bytes);
  const int64_t count = reader.get<int64_t>();
  std::vector<SequenceOutput> outputs;
  for (int64_t i = 0; i < count; ++i) {
    SequenceOutput& output = outputs.emplace_back();
    output.sequence = reader.get<int64_t>();
    output.logprobs = reader.get_vector<float>();
    output.greedy = reader.get_vector<int32_t>();
    output.top_ids = reader.get_vector<int32_t>();
    output.top_logprobs = reader.get_vector<float>();
    output.token = reader.get<int32_t>();
    output.token_logprob = reader.get<float>();
  }
  return outputs;
}

}  // namespace switchyard
