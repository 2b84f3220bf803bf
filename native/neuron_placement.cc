#include "neuron_placement.h"

#include <torch/custom_class.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"

namespace neuron_blip {
namespace {

/// Of all threads and Workers.
std::mutex& LoadMutex() {
  static std::mutex mutex;
  return mutex;
}

torch::jit::Function* Method(const c10::IValue& object, const char* name) {
  return object.type()->expectRef<c10::ClassType>().findMethod(name);
}

c10::IValue CallMethod(const c10::IValue& object, const char* name, std::vector<c10::IValue> arguments = {}) {
  arguments.insert(arguments.begin(), object);
  return (*Method(object, name))(std::move(arguments));
}

/// An object of torch-neuronx's class `Runtime`, initialised; nothing where it has no such class, or one of another
/// kind.
std::optional<c10::IValue> MakeRuntime() {
  const c10::ClassTypePtr type = torch::getCustomClass("__torch__.torch.classes.neuron.Runtime");
  if (!type) return std::nullopt;
  // How many arguments each takes, the object itself among them: one that takes others is not what it is taken for.
  constexpr std::array<std::pair<const char*, size_t>, 3> kNeeded{
      {{"__init__", 1}, {"initialize", 1}, {"set_default_neuron_cores", 3}}};
  const bool has_all = std::all_of(kNeeded.begin(), kNeeded.end(), [&type](const auto& needed) {
    torch::jit::Function* method = type->findMethod(needed.first);
    return method != nullptr && method->getSchema().arguments().size() == needed.second;
  });
  if (!has_all) return std::nullopt;
  const c10::StrongTypePtr strong(std::shared_ptr<torch::jit::CompilationUnit>(), type);
  const c10::IValue runtime(c10::ivalue::Object::create(strong, /*numSlots=*/1));
  CallMethod(runtime, "__init__");
  // Once: nobody promises that it may be called again. The caller holds the lock.
  static bool initialized = false;
  if (!initialized) CallMethod(runtime, "initialize");
  initialized = true;
  return runtime;
}

}  // namespace

NeuronLoad::NeuronLoad(std::optional<int64_t> core) : lock_(LoadMutex()) {
  if (!core) return;
  std::optional<c10::IValue> runtime = MakeRuntime();
  if (!runtime) return;
  const bool tells =
      Method(*runtime, "get_default_start_nc") != nullptr && Method(*runtime, "get_default_nc_count") != nullptr;
  if (tells) {
    earlier_start_ = CallMethod(*runtime, "get_default_start_nc").toInt();
    earlier_count_ = CallMethod(*runtime, "get_default_nc_count").toInt();
  }
  try {
    CallMethod(*runtime, "set_default_neuron_cores", {*core, int64_t{1}});
  } catch (const std::exception&) {
    throw CodedError("NEURON_CORES_UNAVAILABLE", DescribeCurrentException().message);
  }
  restores_ = tells;
  runtime_ = std::move(runtime);
}

NeuronLoad::~NeuronLoad() {
  if (!restores_) return;
  try {
    CallMethod(*runtime_, "set_default_neuron_cores", {earlier_start_, earlier_count_});
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): whoever loads next sets its own
  }
}

}  // namespace neuron_blip
