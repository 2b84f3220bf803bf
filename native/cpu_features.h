#pragma once

#include <napi.h>

namespace neuron_blip {

/// Whether this CPU calculates in bfloat16, by oneDNN.
bool HasBfloat16();

void RegisterCpuFeatures(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
