#include "errors.h"

#include <c10/util/Exception.h>

#include <new>

namespace neuron_blip {
namespace {

constexpr const char* kOutOfMemory = "OUT_OF_MEMORY";
constexpr const char* kOutOfMemoryMessage =
    "The process ran out of memory. Use fewer replicas, smaller batches or smaller tensors.";

}  // namespace

Failure DescribeCurrentException() {
  try {
    throw;
  } catch (const CodedError& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {kOutOfMemory, kOutOfMemoryMessage};
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    // libtorch's allocator has no exception class of its own.
    if (message.find("DefaultCPUAllocator") != std::string::npos) return {kOutOfMemory, kOutOfMemoryMessage};
    return {"EXECUTION_FAILED", message};
  } catch (const std::exception& error) {
    return {"EXECUTION_FAILED", error.what()};
  } catch (...) {
    return {"EXECUTION_FAILED", "The native addon caught an unknown exception."};
  }
}

}  // namespace neuron_blip
