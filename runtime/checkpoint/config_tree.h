// A stored configuration as a tree, whatever Python objects it was made of.
#pragma once

#include <string>
#include <string_view>

#include "runtime/checkpoint/pickle.h"

namespace switchyard {

/// Looks into dictionaries, argparse.Namespace objects, omegaconf's DictConfig and value nodes (1.4
/// to 2.3), fairseq's dataclasses and enumerations. Every step is bounded: what refers to itself is
/// found out, not followed. Pickle must outlive the tree.
class ConfigTree {
 public:
  ConfigTree(const Pickle& pickle, PickleId root) : pickle_(pickle), root_(root) {}

  /// The kDict that holds the entries of `node`, or kNoPickleId if it is no mapping.
  PickleId entries(PickleId node) const;
  /// What stands for the value of `node`: the content of a value node, the name of an enumeration's
  /// member, the entries of a container, else `node`.
  PickleId value(PickleId node) const;
  /// value(), with references "${section.name}" to other places of the tree followed. Throws
  /// Error(kInput) that starts with `what` for a reference that leads nowhere or in a circle.
  PickleId resolve(PickleId node, const std::string& what) const;

 private:
  PickleId attribute(PickleId object, std::string_view name, std::string_view old_name) const;
  PickleId follow(std::string_view path) const;

  const Pickle& pickle_;
  const PickleId root_;
};

}  // namespace switchyard
