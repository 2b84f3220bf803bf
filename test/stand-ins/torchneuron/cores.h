// The process's visible NeuronCores, and which models are on them.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace stand_in {

/// Where a model is to be. -1 for `start`: the least used core, the first of several. -1 for `count`: one core.
struct Placement {
  int64_t start = -1;
  int64_t count = -1;
};

/// A model's place on one core; it leaves the core at the end.
class Lease {
 public:
  /// Throws std::runtime_error where the load fails. The core must have been reserved.
  Lease(uint32_t core, std::string model);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  /// Takes as long as a call does. Throws std::runtime_error where it fails.
  void Execute() const;

 private:
  const uint32_t core_;
  const std::string model_;
};

class Cores {
 public:
  /// The process's cores; the first call initialises the runtime, and so claims them. Throws std::runtime_error where
  /// that fails; a later call tries again.
  static Cores& Get();

  /// Chooses cores and counts a model on each. Throws std::runtime_error where there are no such cores.
  std::vector<uint32_t> Reserve(Placement placement);
  void Release(uint32_t core);

  /// Where a model goes that asks for no place. Throws std::runtime_error where there are no such cores.
  void SetDefault(Placement placement);
  Placement GetDefault();
  size_t count() const { return models_.size(); }

 private:
  explicit Cores(uint32_t count) : models_(count) {}
  /// Throws std::runtime_error, in which `function` names the caller's, where there are no such cores.
  void Check(const char* function, Placement placement) const;

  std::mutex mutex_;
  Placement default_;
  std::vector<int> models_;  // how many, by visible core
};

}  // namespace stand_in
