// What glibc and libstdc++ have had for a short time only, for an addon that is to be published: see old_glibc.h. Each
// has a name of ours here and the library's in the addon, and is hidden, so that nothing else in the process sees it.

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>

#define NEURON_BLIP_STANDS_FOR(name) __asm__(name) __attribute__((visibility("hidden")))

extern "C" {

// libstdc++ asks it whether it may leave out atomic operations. A Node process always has threads.
extern char is_single_threaded NEURON_BLIP_STANDS_FOR("__libc_single_threaded");

// On x86-64 the kernel's structure is glibc's.
int StatDescriptor(int descriptor, struct stat* found) NEURON_BLIP_STANDS_FOR("fstat");
int StatPath(const char* path, struct stat* found) NEURON_BLIP_STANDS_FOR("stat");

// std::__throw_bad_array_new_length
[[noreturn]] void ThrowBadArrayNewLength() NEURON_BLIP_STANDS_FOR("_ZSt28__throw_bad_array_new_lengthv");
}

char is_single_threaded = 0;

int StatDescriptor(int descriptor, struct stat* found) {
  return static_cast<int>(syscall(SYS_fstat, descriptor, found));
}

int StatPath(const char* path, struct stat* found) { return static_cast<int>(syscall(SYS_stat, path, found)); }

void ThrowBadArrayNewLength() { throw std::bad_array_new_length(); }
