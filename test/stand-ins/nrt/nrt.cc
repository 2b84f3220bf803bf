// The exported functions. None lets an exception out: their callers are C.
#include "nrt.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <iostream>

#include "nrt_stand_in.h"
#include "runtime.h"

namespace {

using stand_in::Runtime;

constexpr const char* kNotice =
    "neuron-blip's stand-in for the Neuron runtime (libnrt.so.1), for tests: there is no device, and nothing it does "
    "shows "
    "what a device would do";

/// Files of the pretended hardware may be unwritable.
template <typename Function>
NRT_STATUS Guard(Function function) noexcept {
  try {
    return function();
  } catch (const std::exception& error) {
    std::cerr << "libnrt stand-in: " << error.what() << std::endl;
    return NRT_FAILURE;
  }
}

}  // namespace

NRT_STATUS nrt_init(nrt_framework_type_t /*framework*/, const char* /*fw_version*/, const char* /*fal_version*/) {
  return Guard([] { return Runtime::Get().Init(); });
}

void nrt_close(void) {
  Guard([] {
    Runtime::Get().Close();
    return NRT_SUCCESS;
  });
}

NRT_STATUS nrt_get_version(nrt_version_t* version, size_t size) {
  if (version == nullptr || size == 0) return NRT_INVALID;
  // The runtime library of Neuron SDK 2.31 is a 2.33; what follows the minor number is not known here.
  const nrt_version_t own = {2, 33, 0, 0, "neuron-blip stand-in, no device", "stand-in"};
  std::memcpy(version, &own, std::min(size, sizeof(own)));
  return NRT_SUCCESS;
}

NRT_STATUS nrt_get_total_nc_count(uint32_t* count) {
  if (count == nullptr) return NRT_INVALID;
  return Guard([count] { return Runtime::Get().TotalCores(*count); });
}

NRT_STATUS nrt_get_visible_nc_count(uint32_t* count) {
  if (count == nullptr) return NRT_INVALID;
  return Guard([count] { return Runtime::Get().VisibleCores(*count); });
}

// Virtual cores are the cores, on the devices that this stands in for.
NRT_STATUS nrt_get_total_vnc_count(uint32_t* count) { return nrt_get_total_nc_count(count); }

NRT_STATUS nrt_get_visible_vnc_count(uint32_t* count) { return nrt_get_visible_nc_count(count); }

const char* nrt_get_status_as_str(NRT_STATUS status) {
#define STAND_IN_NAME(name) \
  case name:                \
    return #name
  switch (status) {
    STAND_IN_NAME(NRT_SUCCESS);
    STAND_IN_NAME(NRT_FAILURE);
    STAND_IN_NAME(NRT_INVALID);
    STAND_IN_NAME(NRT_INVALID_HANDLE);
    STAND_IN_NAME(NRT_RESOURCE);
    STAND_IN_NAME(NRT_TIMEOUT);
    STAND_IN_NAME(NRT_HW_ERROR);
    STAND_IN_NAME(NRT_QUEUE_FULL);
    STAND_IN_NAME(NRT_LOAD_NOT_ENOUGH_NC);
    STAND_IN_NAME(NRT_UNSUPPORTED_NEFF_VERSION);
    STAND_IN_NAME(NRT_FAIL_HOST_MEM_ALLOC);
    STAND_IN_NAME(NRT_UNINITIALIZED);
    STAND_IN_NAME(NRT_CLOSED);
    STAND_IN_NAME(NRT_QUEUE_EMPTY);
    STAND_IN_NAME(NRT_EXEC_UNIT_UNRECOVERABLE);
    STAND_IN_NAME(NRT_EXEC_BAD_INPUT);
    STAND_IN_NAME(NRT_EXEC_COMPLETED_WITH_NUM_ERR);
    STAND_IN_NAME(NRT_EXEC_COMPLETED_WITH_ERR);
    STAND_IN_NAME(NRT_EXEC_NC_BUSY);
    STAND_IN_NAME(NRT_EXEC_OOB);
    STAND_IN_NAME(NRT_COLL_PENDING);
    STAND_IN_NAME(NRT_EXEC_HW_ERR_COLLECTIVES);
    STAND_IN_NAME(NRT_EXEC_HW_ERR_HBM_UE);
    STAND_IN_NAME(NRT_EXEC_HW_ERR_NC_UE);
    STAND_IN_NAME(NRT_EXEC_HW_ERR_DMA_ABORT);
    STAND_IN_NAME(NRT_EXEC_SW_NQ_OVERFLOW);
    STAND_IN_NAME(NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE);
    STAND_IN_NAME(NRT_NETWORK_PROXY_FAILURE);
  }
#undef STAND_IN_NAME
  return "UNKNOWN STATUS";
}

const char* nrt_stand_in_notice(void) { return kNotice; }

int nrt_stand_in_core(uint32_t index) {
  const std::optional<uint32_t> number = Runtime::Get().CoreNumber(index);
  return number ? static_cast<int>(*number) : -1;
}

NRT_STATUS nrt_stand_in_load(uint32_t index, const char* model) {
  return Guard([=] { return Runtime::Get().Load(index, model); });
}

void nrt_stand_in_unload(uint32_t index, const char* model) {
  Guard([=] {
    Runtime::Get().Unload(index, model);
    return NRT_SUCCESS;
  });
}

NRT_STATUS nrt_stand_in_execute(uint32_t index, const char* model) {
  return Guard([=] { return Runtime::Get().Execute(index, model); });
}
