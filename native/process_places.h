#pragma once

#include <napi.h>

namespace neuron_blip {

/// Places for work in what the process has once, such as libuv's threads, counted over all its JavaScript threads.
/// Those that a Worker still has when it ends, in whichever way, are free again: by then libuv has done with its work.
///
/// takeProcessPlace(limit: number): boolean - false where so many are taken.
/// leaveProcessPlace(): void - of one that this environment has taken.
void RegisterProcessPlaces(Napi::Env env, Napi::Object exports);

}  // namespace neuron_blip
