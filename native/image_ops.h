#pragma once

#include <napi.h>

namespace neuron_blip {

/// Adds `resizeBicubic` to the addon's exports.
void RegisterImageOps(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
