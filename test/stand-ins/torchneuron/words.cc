#include "words.h"

#include <array>
#include <utility>

namespace stand_in {
namespace {

constexpr std::array<std::pair<int, const char*>, 27> kMessages{{
    // Documented.
    {NRT_INVALID, "Invalid"},
    {NRT_RESOURCE, "Allocation Failure"},
    {NRT_TIMEOUT, "Timeout Exceeded"},
    {NRT_EXEC_COMPLETED_WITH_NUM_ERR, "Numerical Error"},
    {NRT_EXEC_OOB, "Execution Out-Of-Bounds Memory Access"},
    // Guessed, from what the runtime's documentation says of each status.
    {NRT_FAILURE, "Failure"},
    {NRT_INVALID_HANDLE, "Invalid Handle"},
    {NRT_HW_ERROR, "Hardware Error"},
    {NRT_QUEUE_FULL, "Queue Full"},
    {NRT_LOAD_NOT_ENOUGH_NC, "Not Enough NeuronCores"},
    {NRT_UNSUPPORTED_NEFF_VERSION, "Unsupported NEFF Version"},
    {NRT_FAIL_HOST_MEM_ALLOC, "Host Memory Allocation Failure"},
    {NRT_UNINITIALIZED, "Uninitialized"},
    {NRT_CLOSED, "Closed"},
    {NRT_QUEUE_EMPTY, "Queue Empty"},
    {NRT_EXEC_UNIT_UNRECOVERABLE, "Execution Unit Unrecoverable"},
    {NRT_EXEC_BAD_INPUT, "Bad Input"},
    {NRT_EXEC_COMPLETED_WITH_ERR, "Completed With Error"},
    {NRT_EXEC_NC_BUSY, "NeuronCore Busy"},
    {NRT_COLL_PENDING, "Collectives Pending"},
    {NRT_EXEC_HW_ERR_COLLECTIVES, "Collectives Hardware Error"},
    {NRT_EXEC_HW_ERR_HBM_UE, "HBM Uncorrectable Error"},
    {NRT_EXEC_HW_ERR_NC_UE, "NeuronCore Uncorrectable Error"},
    {NRT_EXEC_HW_ERR_DMA_ABORT, "DMA Abort"},
    {NRT_EXEC_SW_NQ_OVERFLOW, "Notification Queue Overflow"},
    {NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE, "Repairable HBM Uncorrectable Error"},
    {NRT_NETWORK_PROXY_FAILURE, "Network Proxy Failure"},
}};

std::runtime_error StatusError(const char* what, NRT_STATUS status) {
  const char* message = "Unknown Error";  // guessed
  for (const auto& [known, text] : kMessages) {
    if (known == status) message = text;
  }
  return std::runtime_error(std::string(what) + " status=" + std::to_string(status) + " message=" + message);
}

}  // namespace

std::runtime_error ExecuteError(NRT_STATUS status) { return StatusError("Failed to execute the model", status); }

std::runtime_error LoadError(NRT_STATUS status) { return StatusError("Could not load the model", status); }

std::runtime_error InitializeError() {
  return std::runtime_error(
      "The PyTorch Neuron Runtime could not be initialized. Neuron Driver issues are logged\n"
      "to your system logs. See the Neuron Runtime's troubleshooting guide for help on this\n"
      "topic: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/");
}

}  // namespace stand_in
