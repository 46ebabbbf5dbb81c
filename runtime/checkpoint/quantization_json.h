// How matrices are quantised, as files say it.
#pragma once

#include "kernels/weight.h"
#include "runtime/checkpoint/config_names.h"
#include "runtime/checkpoint/json_fields.h"

namespace switchyard {

template <typename Visit, FieldsOf<GroupQuantization> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("bits", c.bits);
  visit("group", c.group);
  visit("codes", c.codes);
}

}  // namespace switchyard
