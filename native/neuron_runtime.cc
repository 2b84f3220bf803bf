#include "neuron_runtime.h"

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <string>

#include "errors.h"

namespace neuron_blip {
namespace {

/// Only lets go of a library that was looked at.
struct CloseLibrary {
  void operator()(void* library) const { dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

Library Open(const std::string& path) {
  Library library(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (!library) {
    const char* reason = dlerror();
    throw CodedError("NEURON_RUNTIME_MISMATCH",
                     "\"" + path + "\" does not load: " + (reason != nullptr ? reason : "no reason given") + ".");
  }
  return library;
}

/// loadLibrary(path): loads a shared library for as long as the process lives. Its static initialisers register
/// TorchScript classes and ops, which cannot be taken back.
Napi::Value LoadLibrary(const Napi::CallbackInfo& info) {
  static_cast<void>(Open(info[0].As<Napi::String>()).release());
  return info.Env().Undefined();
}

/// nrt_version_t of the public header nrt_version.h.
struct NrtVersion {
  uint64_t major = 0;
  uint64_t minor = 0;
  uint64_t patch = 0;
  uint64_t maintenance = 0;
  std::array<char, 128> detail{};
  std::array<char, 64> git_hash{};
};

template <typename Function>
Function Symbol(const Library& library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library.get(), name));
}

/// A count of NeuronCores by the first of these functions that tells it, or -1 where none does.
double Count(const Library& library, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto count_cores = Symbol<int (*)(uint32_t*)>(library, name);
    uint32_t count = 0;
    if (count_cores != nullptr && count_cores(&count) == 0) return static_cast<double>(count);
  }
  return -1.0;
}

/// describeNrt(path): {version, totalCores, visibleCores} of a libnrt.so.1, which may be asked before it is initialised
/// and claims no core for it. -1 stands for a count that it does not tell, "" for a version.
Napi::Value DescribeNrt(const Napi::CallbackInfo& info) {
  const Library library = Open(info[0].As<Napi::String>());
  std::string version;
  NrtVersion found;
  const auto get_version = Symbol<int (*)(NrtVersion*, size_t)>(library, "nrt_get_version");
  if (get_version != nullptr && get_version(&found, sizeof(found)) == 0) {
    version = std::to_string(found.major) + "." + std::to_string(found.minor) + "." + std::to_string(found.patch) +
              "." + std::to_string(found.maintenance);
  }
  Napi::Object description = Napi::Object::New(info.Env());
  description.Set("version", version);
  // The new names first: the old ones are deprecated.
  description.Set("totalCores", Count(library, {"nrt_get_total_vnc_count", "nrt_get_total_nc_count"}));
  description.Set("visibleCores", Count(library, {"nrt_get_visible_vnc_count", "nrt_get_visible_nc_count"}));
  return description;
}

/// setEnvironment(name, value): a Worker's process.env is a copy that libraries do not see.
Napi::Value SetEnvironment(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  const std::string value = info[1].As<Napi::String>();
  setenv(name.c_str(), value.c_str(), 1);
  return info.Env().Undefined();
}

}  // namespace

void RegisterNeuronRuntime(Napi::Env env, Napi::Object exports) {
  Export<LoadLibrary>(env, exports, "loadLibrary");
  Export<DescribeNrt>(env, exports, "describeNrt");
  Export<SetEnvironment>(env, exports, "setEnvironment");
}

}  // namespace neuron_blip
