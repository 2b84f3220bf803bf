#pragma once

#include <napi.h>

namespace neuron_blip {

/// What AWS Neuron needs of a host program, as AWS's own C++ demo shows it: its library is loaded after libtorch and
/// before the first artifact that uses its class and op. None of it is linked: it is AWS's, and found at run time.
void RegisterNeuronRuntime(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
