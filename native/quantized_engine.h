#pragma once

#include <c10/core/QEngine.h>

#include <mutex>
#include <string>

namespace neuron_blip {

/// "fbgemm", "x86", "onednn" or "qnnpack".
/// @throws CodedError INVALID_INPUT for another name; EXECUTION_FAILED for one that this libtorch or CPU does not have.
c10::QEngine QuantizedEngineNamed(const std::string& name);

/// Whether this libtorch has that engine for this CPU.
bool HasQuantizedEngine(const std::string& name);

/// While it lives, what packs quantised weights packs them for one engine, which then runs them. libtorch has one
/// setting for the process: those who choose it wait for each other. Who packs meanwhile without choosing, as a module
/// that is being loaded, gets this engine too, which changes no more than its speed.
class WithQuantizedEngine {
 public:
  explicit WithQuantizedEngine(c10::QEngine engine);
  WithQuantizedEngine(const WithQuantizedEngine&) = delete;
  WithQuantizedEngine& operator=(const WithQuantizedEngine&) = delete;
  ~WithQuantizedEngine();

 private:
  std::unique_lock<std::mutex> lock_;
  c10::QEngine before_;
};

}  // namespace neuron_blip
