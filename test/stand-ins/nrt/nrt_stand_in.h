// What the stand-in for libtorchneuron.so asks of the stand-in for libnrt.so.1. The real library has nothing of this:
// it has nrt_load, nrt_execute and tensors, which a stand-in without a device has no use for.
#pragma once

#include "nrt.h"

extern "C" {

/// Says that this is a stand-in.
NRT_EXPORT const char* nrt_stand_in_notice(void);

/// The number on the host of the process's visible core `index`; -1 where there is none.
NRT_EXPORT int nrt_stand_in_core(uint32_t index);

/// A model comes to the visible core `index`. NRT_SUCCESS, or the status that core-N.load_fault asks for.
NRT_EXPORT NRT_STATUS nrt_stand_in_load(uint32_t index, const char* model);

/// A model leaves the visible core `index`.
NRT_EXPORT void nrt_stand_in_unload(uint32_t index, const char* model);

/// Takes as long as a call of a model takes on the visible core `index`. NRT_SUCCESS, or the status that core-N.fault
/// asks for.
NRT_EXPORT NRT_STATUS nrt_stand_in_execute(uint32_t index, const char* model);

}  // extern "C"
