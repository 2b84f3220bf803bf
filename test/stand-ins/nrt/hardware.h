// The pretended host: a directory of files (see ../README.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "file.h"
#include "nrt.h"

namespace stand_in {

class Hardware {
 public:
  explicit Hardware(std::filesystem::path directory);

  /// The host that NEURON_BLIP_STAND_IN names; nothing where it names no directory: a host without a device.
  static std::optional<std::filesystem::path> Find();

  /// How many NeuronCores it has.
  uint32_t TotalCores() const;

  /// The lock file of a core.
  File OpenLock(uint32_t core) const;

  /// How long the next call on a core hangs, in milliseconds; takes the request away.
  std::optional<double> TakeHang(uint32_t core);

  /// What the next call on a core (`kind` "fault") or load ("load_fault") is to fail with; counts it.
  NRT_STATUS TakeFault(uint32_t core, const char* kind);

  /// Milliseconds of a call that hold the core, and those that do not.
  struct Latency {
    double exclusive;
    double shared;
  };
  Latency CallLatency();

  /// Adds a line to the log of events, where the test wants one.
  void Log(const char* event, uint32_t core, const std::string& model, std::optional<NRT_STATUS> status = {});

 private:
  std::filesystem::path CoreFile(uint32_t core, const char* extension) const;

  const std::filesystem::path directory_;
  NumberFile latency_;
  NumberFile exclusive_;
};

}  // namespace stand_in
