#include "quantized_engine.h"

#include <ATen/Context.h>

#include <algorithm>
#include <array>
#include <utility>

#include "errors.h"

namespace neuron_blip {
namespace {

constexpr std::array<std::pair<const char*, c10::QEngine>, 4> kEngines{{
    {"fbgemm", c10::QEngine::FBGEMM},
    {"x86", c10::QEngine::X86},
    {"onednn", c10::QEngine::ONEDNN},
    {"qnnpack", c10::QEngine::QNNPACK},
}};

std::mutex& Choosing() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

c10::QEngine QuantizedEngineNamed(const std::string& name) {
  const auto* const found =
      std::find_if(kEngines.begin(), kEngines.end(), [&](const auto& known) { return name == known.first; });
  if (found == kEngines.end()) throw CodedError("INVALID_INPUT", "There is no quantized engine \"" + name + "\".");
  const auto& supported = at::Context::supportedQEngines();
  if (std::find(supported.begin(), supported.end(), found->second) == supported.end()) {
    throw CodedError("EXECUTION_FAILED", "This libtorch has no quantized engine \"" + name + "\" for this CPU.");
  }
  return found->second;
}

WithQuantizedEngine::WithQuantizedEngine(c10::QEngine engine)
    : lock_(Choosing()), before_(at::globalContext().qEngine()) {
  at::globalContext().setQEngine(engine);
}

WithQuantizedEngine::~WithQuantizedEngine() { at::globalContext().setQEngine(before_); }

}  // namespace neuron_blip
