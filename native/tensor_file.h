#pragma once

#include <napi.h>

namespace neuron_blip {

/// The function that makes tensors over a file's bytes.
void RegisterTensorFile(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
