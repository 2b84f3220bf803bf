#pragma once

#include <cstddef>
#include <cstdint>

namespace neuron_blip {

/// The CRC-32 of ZIP files, over bytes that follow those which gave `crc`; 0 to begin with.
uint32_t Crc32(uint32_t crc, const void* data, size_t size);

}  // namespace neuron_blip
