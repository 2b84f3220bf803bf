// The part of the Neuron Runtime's C API that these stand-ins have: names, values and layouts as AWS's public
// documentation of nrt.h, nrt_status.h and nrt_version.h gives them. A stand-in's header, not AWS's.
#pragma once

#include <cstddef>
#include <cstdint>

#define NRT_EXPORT __attribute__((visibility("default")))

extern "C" {

enum NRT_STATUS : int {
  NRT_SUCCESS = 0,
  NRT_FAILURE = 1,
  NRT_INVALID = 2,
  NRT_INVALID_HANDLE = 3,
  NRT_RESOURCE = 4,
  NRT_TIMEOUT = 5,
  NRT_HW_ERROR = 6,
  NRT_QUEUE_FULL = 7,
  NRT_LOAD_NOT_ENOUGH_NC = 9,
  NRT_UNSUPPORTED_NEFF_VERSION = 10,
  NRT_FAIL_HOST_MEM_ALLOC = 11,
  NRT_UNINITIALIZED = 13,
  NRT_CLOSED = 14,
  NRT_QUEUE_EMPTY = 15,
  NRT_EXEC_UNIT_UNRECOVERABLE = 101,
  NRT_EXEC_BAD_INPUT = 1002,
  NRT_EXEC_COMPLETED_WITH_NUM_ERR = 1003,
  NRT_EXEC_COMPLETED_WITH_ERR = 1004,
  NRT_EXEC_NC_BUSY = 1005,
  NRT_EXEC_OOB = 1006,
  NRT_COLL_PENDING = 1100,
  NRT_EXEC_HW_ERR_COLLECTIVES = 1200,
  NRT_EXEC_HW_ERR_HBM_UE = 1201,
  NRT_EXEC_HW_ERR_NC_UE = 1202,
  NRT_EXEC_HW_ERR_DMA_ABORT = 1203,
  NRT_EXEC_SW_NQ_OVERFLOW = 1204,
  NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE = 1205,
  NRT_NETWORK_PROXY_FAILURE = 1206,
};

enum nrt_framework_type_t : int {
  NRT_FRAMEWORK_TYPE_INVALID = 0,
  NRT_FRAMEWORK_TYPE_NO_FW = 1,
  NRT_FRAMEWORK_TYPE_TENSORFLOW = 2,
  NRT_FRAMEWORK_TYPE_PYTORCH = 3,
};

struct nrt_version_t {  // NOLINT(readability-identifier-naming): the public name
  uint64_t rt_major;
  uint64_t rt_minor;
  uint64_t rt_patch;
  uint64_t rt_maintenance;
  char rt_detail[128];
  char git_hash[64];
};

NRT_EXPORT NRT_STATUS nrt_init(nrt_framework_type_t framework, const char* fw_version, const char* fal_version);
NRT_EXPORT void nrt_close(void);
NRT_EXPORT NRT_STATUS nrt_get_version(nrt_version_t* version, size_t size);
NRT_EXPORT NRT_STATUS nrt_get_total_nc_count(uint32_t* count);
NRT_EXPORT NRT_STATUS nrt_get_visible_nc_count(uint32_t* count);
NRT_EXPORT NRT_STATUS nrt_get_total_vnc_count(uint32_t* count);
NRT_EXPORT NRT_STATUS nrt_get_visible_vnc_count(uint32_t* count);
NRT_EXPORT const char* nrt_get_status_as_str(NRT_STATUS status);

}  // extern "C"
