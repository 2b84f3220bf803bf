// Which NeuronCores a process asks for in its environment.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "nrt.h"

namespace stand_in {

/// NEURON_RT_VISIBLE_CORES: these cores. NEURON_RT_NUM_CORES, or neither: any `count` cores next to each other.
struct CoreRequest {
  std::optional<uint32_t> first;
  uint32_t count;
};

/// Reads the environment for a host with `total` cores. NRT_INVALID where a variable is malformed;
/// NRT_LOAD_NOT_ENOUGH_NC where the host has not so many cores.
std::variant<CoreRequest, NRT_STATUS> RequestedCores(uint32_t total);

}  // namespace stand_in
