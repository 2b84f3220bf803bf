#include "caching_allocator.h"

#include <torch/version.h>

#include <cstdlib>  // says whether it is glibc's
#ifdef __GLIBC__
#include <malloc.h>
#endif

// Older versions have another interface.
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 6)

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#ifdef __has_feature  // clang
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(data, size) (static_cast<void>(data), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(data, size) (static_cast<void>(data), static_cast<void>(size))
#endif

namespace neuron_blip {
namespace {

/// Smaller blocks malloc keeps by itself: its default for those that it maps.
constexpr size_t kSmallestKept = size_t{128} << 10;
/// Of all blocks that are kept and not in use: about one picture's temporaries. More would be a replica's share of
/// memory.
constexpr size_t kMostKept = size_t{96} << 20;

class CachingAllocator final : public c10::Allocator {
 public:
  /// Never destroyed: static objects free tensors when the process exits.
  static CachingAllocator& Instance() {
    static auto* const instance = new CachingAllocator();
    return *instance;
  }

  c10::DataPtr allocate(size_t size) override {
    void* data = size < kSmallestKept ? c10::alloc_cpu(size) : Lend(size);
    return {data, data, &Delete, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Delete; }
  void copy_data(void* to, const void* from, size_t size) const override { default_copy_data(to, from, size); }

  void Release() { FreeOldest(0); }

 private:
  struct Block {
    void* data;
    size_t size;
  };
  using Blocks = std::list<Block>;  // so that a block changes from one to another without an allocation, which may fail

  /// Of memory that libtorch took before this was installed, too.
  static void Delete(void* data) {
    if (!Instance().Keep(data)) c10::free_cpu(data);
  }

  void* Lend(size_t size) {
    if (void* data = LendKept(size)) return data;
    std::unique_ptr<void, void (*)(void*)> data(Allocate(size), c10::free_cpu);
    Blocks block{{data.get(), size}};
    const std::lock_guard lock(mutex_);
    known_.emplace(data.get(), block.begin());
    lent_.splice(lent_.end(), block);
    return data.release();
  }

  /// Null where none fits.
  void* LendKept(size_t size) {
    const std::lock_guard lock(mutex_);
    // The newest first: it may still be in the CPU's cache.
    const auto found = std::find_if(kept_.rbegin(), kept_.rend(), [size](const Block& block) {
      return block.size >= size && block.size - size <= size / 4;
    });
    if (found == kept_.rend()) return nullptr;
    const auto block = std::prev(found.base());
    kept_bytes_ -= block->size;
    lent_.splice(lent_.end(), kept_, block);
    ASAN_UNPOISON_MEMORY_REGION(block->data, size);  // not beyond what was asked for
    return block->data;
  }

  void* Allocate(size_t size) {
    try {
      return c10::alloc_cpu(size);
    } catch (const c10::Error&) {  // out of memory
      Release();
      return c10::alloc_cpu(size);
    }
  }

  /// False of what Lend has not lent.
  bool Keep(void* data) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = known_.find(data);
      if (found == known_.end()) return false;
      kept_bytes_ += found->second->size;
      kept_.splice(kept_.end(), lent_, found->second);
      // AddressSanitizer has to see that it was freed.
      ASAN_POISON_MEMORY_REGION(data, found->second->size);
      if (kept_bytes_ <= kMostKept) return true;
    }
    FreeOldest(kMostKept);
    return true;
  }

  /// Until no more than `most` bytes are kept.
  void FreeOldest(size_t most) {
    Blocks freed;  // without the lock
    {
      const std::lock_guard lock(mutex_);
      while (kept_bytes_ > most) {
        const auto oldest = kept_.begin();
        kept_bytes_ -= oldest->size;
        known_.erase(oldest->data);
        freed.splice(freed.end(), kept_, oldest);
      }
    }
    for (const Block& block : freed) {
      ASAN_UNPOISON_MEMORY_REGION(block.data, block.size);
      c10::free_cpu(block.data);
    }
  }

  std::mutex mutex_;
  Blocks lent_;
  Blocks kept_;  // the oldest first
  size_t kept_bytes_ = 0;
  std::unordered_map<void*, Blocks::iterator> known_;  // of both
};

}  // namespace

void InstallCachingAllocator() {
  [[maybe_unused]] static const bool installed = [] {
    c10::SetCPUAllocator(&CachingAllocator::Instance());
    return true;
  }();
}

void ReleaseCachedMemory() { CachingAllocator::Instance().Release(); }

}  // namespace neuron_blip

#else

namespace neuron_blip {

void InstallCachingAllocator() {}
void ReleaseCachedMemory() {}

}  // namespace neuron_blip

#endif

namespace neuron_blip {

void ReturnFreedMemory() {
  ReleaseCachedMemory();
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace neuron_blip
