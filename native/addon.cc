// The addon: tensors, TorchScript modules and functions, and the threads that run them, for lib/native.ts. It knows
// nothing of BLIP.

#include <napi.h>
#include <torch/version.h>

#include "caching_allocator.h"
#include "cpu_features.h"
#include "errors.h"
#include "executor.h"
#include "image_ops.h"
#include "instance.h"
#include "module_load.h"
#include "neuron_runtime.h"
#include "process_places.h"
#include "tensor.h"
#include "tensor_file.h"
#include "torch_functions.h"
#include "torch_module.h"
#include "torch_value.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  return neuron_blip::Guard(env, [&] {
    neuron_blip::InstallCachingAllocator();
    neuron_blip::Instance::Create(env, exports);
    neuron_blip::RegisterTensor(env, exports);
    neuron_blip::RegisterExecutor(env, exports);
    neuron_blip::RegisterModuleLoad(env, exports);
    neuron_blip::RegisterTorchModule(env, exports);
    neuron_blip::RegisterTorchValue(env, exports);
    neuron_blip::RegisterTorchFunctions(env, exports);
    neuron_blip::RegisterTensorFile(env, exports);
    neuron_blip::RegisterCpuFeatures(env, exports);
    neuron_blip::RegisterNeuronRuntime(env, exports);
    neuron_blip::RegisterImageOps(env, exports);
    neuron_blip::RegisterProcessPlaces(env, exports);
    exports.Set("libtorchVersion", TORCH_VERSION);
    exports.Set("cxx11Abi", _GLIBCXX_USE_CXX11_ABI);
    return exports;
  });
}

NODE_API_MODULE(neuron_blip, Init)
