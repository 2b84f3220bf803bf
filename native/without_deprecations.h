#pragma once

#include <c10/util/Exception.h>
#include <torch/version.h>

#include <string>

namespace neuron_blip {

#if TORCH_VERSION_MAJOR >= 2
/// While it lives, leaves out what libtorch says on this thread of its own successors, such as torchao's for int8
/// weights: TorchScript has none.
class WithoutDeprecations final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (warning.msg().find("deprecated") == std::string::npos) c10::WarningHandler::process(warning);
  }

 private:
  c10::WarningUtils::WarningHandlerGuard guard_{this};
};
#else
/// Older versions have another interface, and announce nothing.
class WithoutDeprecations {};
#endif

}  // namespace neuron_blip
