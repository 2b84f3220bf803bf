#include "visible_cores.h"

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace stand_in {
namespace {

std::optional<uint32_t> ParseNumber(std::string_view text) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

/// "3", "0-3" or "0,1,2", also mixed. Nothing where it is malformed, or not contiguous and increasing.
std::optional<CoreRequest> ParseVisible(std::string_view text) {
  std::vector<uint32_t> cores;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    const size_t dash = item.find('-');
    const std::optional<uint32_t> first = ParseNumber(item.substr(0, dash));
    const std::optional<uint32_t> last = dash == std::string_view::npos ? first : ParseNumber(item.substr(dash + 1));
    constexpr uint32_t kMost = 4096;
    if (!first || !last || *last < *first || *last > kMost) return std::nullopt;
    for (uint32_t core = *first; core <= *last; core++) {
      if (!cores.empty() && core != cores.back() + 1) return std::nullopt;
      cores.push_back(core);
    }
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return CoreRequest{cores.front(), static_cast<uint32_t>(cores.size())};
}

}  // namespace

std::variant<CoreRequest, NRT_STATUS> RequestedCores(uint32_t total) {
  CoreRequest request{std::nullopt, total};
  const char* visible = std::getenv("NEURON_RT_VISIBLE_CORES");
  const char* number = std::getenv("NEURON_RT_NUM_CORES");
  if (visible != nullptr && *visible != '\0') {
    const std::optional<CoreRequest> parsed = ParseVisible(visible);
    if (!parsed) return NRT_INVALID;
    request = *parsed;
  } else if (number != nullptr && *number != '\0') {
    const std::optional<uint32_t> count = ParseNumber(number);
    if (!count) return NRT_INVALID;
    if (*count != 0) request.count = *count;  // 0 stands for all
  }
  const uint64_t end = static_cast<uint64_t>(request.first.value_or(0)) + request.count;
  if (request.count == 0 || end > total) return NRT_LOAD_NOT_ENOUGH_NC;
  return request;
}

}  // namespace stand_in
