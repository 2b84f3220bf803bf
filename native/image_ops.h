#pragma once

#include <napi.h>

namespace neuron_blip {

/// Adds `preparePixels` to the addon's exports.
void RegisterImageOps(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
