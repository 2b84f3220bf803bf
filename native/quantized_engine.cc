#include "quantized_engine.h"

#include <ATen/Context.h>

#include <algorithm>
#include <array>
#include <optional>
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

std::optional<c10::QEngine> Find(const std::string& name) {
  const auto* const found =
      std::find_if(kEngines.begin(), kEngines.end(), [&](const auto& known) { return name == known.first; });
  if (found == kEngines.end()) return std::nullopt;
  return found->second;
}

bool IsSupported(c10::QEngine engine) {
  const auto& supported = at::Context::supportedQEngines();
  return std::find(supported.begin(), supported.end(), engine) != supported.end();
}

std::mutex& Choosing() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

c10::QEngine QuantizedEngineNamed(const std::string& name) {
  const auto engine = Find(name);
  if (!engine) throw CodedError("INVALID_INPUT", "There is no quantized engine \"" + name + "\".");
  if (!IsSupported(*engine)) {
    throw CodedError("EXECUTION_FAILED", "This libtorch has no quantized engine \"" + name + "\" for this CPU.");
  }
  return *engine;
}

bool HasQuantizedEngine(const std::string& name) {
  const auto engine = Find(name);
  return engine && IsSupported(*engine);
}

WithQuantizedEngine::WithQuantizedEngine(c10::QEngine engine)
    : lock_(Choosing()), before_(at::globalContext().qEngine()) {
  at::globalContext().setQEngine(engine);
}

WithQuantizedEngine::~WithQuantizedEngine() { at::globalContext().setQEngine(before_); }

}  // namespace neuron_blip
