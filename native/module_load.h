#pragma once

#include <napi.h>

namespace neuron_blip {

/// The functions that read TorchScript files.
void RegisterModuleLoad(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
