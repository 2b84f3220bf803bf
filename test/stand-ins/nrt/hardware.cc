#include "hardware.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <utility>

namespace stand_in {

namespace fs = std::filesystem;

Hardware::Hardware(fs::path directory)
    : directory_(std::move(directory)), latency_(directory_ / "latency_ms"), exclusive_(directory_ / "exclusive_ms") {}

std::optional<fs::path> Hardware::Find() {
  const char* directory = std::getenv("NEURON_BLIP_STAND_IN");
  std::error_code error;
  if (directory == nullptr || !fs::is_directory(directory, error)) return std::nullopt;
  return fs::absolute(directory);
}

uint32_t Hardware::TotalCores() const {
  const std::optional<std::string> text = ReadFile(directory_ / "cores");
  return text ? static_cast<uint32_t>(std::strtoul(text->c_str(), nullptr, 10)) : 2;
}

fs::path Hardware::CoreFile(uint32_t core, const char* extension) const {
  return directory_ / ("core-" + std::to_string(core) + "." + extension);
}

File Hardware::OpenLock(uint32_t core) const { return File(CoreFile(core, "lock")); }

std::optional<double> Hardware::TakeHang(uint32_t core) {
  const fs::path path = CoreFile(core, "hang_ms");
  if (access(path.c_str(), F_OK) != 0) return std::nullopt;
  File lock(directory_ / "state.lock");
  lock.Lock();
  const std::optional<std::string> text = ReadFile(path);
  if (!text) return std::nullopt;
  fs::remove(path);
  return std::strtod(text->c_str(), nullptr);
}

NRT_STATUS Hardware::TakeFault(uint32_t core, const char* kind) {
  const fs::path path = CoreFile(core, kind);
  if (access(path.c_str(), F_OK) != 0) return NRT_SUCCESS;
  File lock(directory_ / "state.lock");
  lock.Lock();
  std::istringstream text(ReadFile(path).value_or(""));
  int status = 0;
  int count = 0;
  if (!(text >> status >> count) || count == 0) return NRT_SUCCESS;
  if (count == 1) {
    fs::remove(path);
  } else if (count > 0) {
    File(path).Replace(std::to_string(status) + " " + std::to_string(count - 1));
  }
  return static_cast<NRT_STATUS>(status);
}

Hardware::Latency Hardware::CallLatency() {
  const double latency = std::max(0.0, latency_.Read().value_or(0));
  const double exclusive = std::clamp(exclusive_.Read().value_or(latency), 0.0, latency);
  return {exclusive, latency - exclusive};
}

void Hardware::Log(const char* event, uint32_t core, const std::string& model, std::optional<NRT_STATUS> status) {
  if (access((directory_ / "log_events").c_str(), F_OK) != 0) return;
  std::ostringstream line;
  line << getpid() << ' ' << event << ' ' << core << ' ' << model;
  if (status) line << ' ' << static_cast<int>(*status);
  line << '\n';
  File log(directory_ / "events.log");
  log.Lock();
  log.Append(line.str());
}

}  // namespace stand_in
