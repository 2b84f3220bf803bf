// What glibc has had since 2.32 and 2.33 only, for an addon that is to be published: see old_glibc.h. Hidden, so that
// nothing else in the process sees them.

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEURON_BLIP_HIDDEN __attribute__((visibility("hidden")))

extern "C" {

// libstdc++ asks it whether it may leave out atomic operations. A Node process always has threads.
NEURON_BLIP_HIDDEN char __libc_single_threaded = 0;

// On x86-64 the kernel's structure is glibc's.
NEURON_BLIP_HIDDEN int fstat(int descriptor, struct stat* found) noexcept {
  return static_cast<int>(syscall(SYS_fstat, descriptor, found));
}

NEURON_BLIP_HIDDEN int stat(const char* path, struct stat* found) noexcept {
  return static_cast<int>(syscall(SYS_stat, path, found));
}
}
