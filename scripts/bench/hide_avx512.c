// For hide_avx512.py: answers cpuid, where a library traps in its place, as a CPU with AVX2 and nothing newer would.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

static unsigned bits(unsigned first, unsigned last) { return (0xffffffffu >> (31 - last)) & (0xffffffffu << first); }

static void answer(int number, siginfo_t* info, void* context) {
  (void)info;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  const unsigned char* instruction = (const unsigned char*)registers[REG_RIP];
  Dl_info library;
  const int is_known = dladdr(instruction, &library) != 0 && strstr(library.dli_fname, "/onnxruntime/") != 0;
  if (!is_known || instruction[0] != 0x0f || instruction[1] != 0x0b) {
    signal(number, SIG_DFL);  // a fault of its own, which happens again
    return;
  }
  const unsigned leaf = (unsigned)registers[REG_RAX], subleaf = (unsigned)registers[REG_RCX];
  unsigned a = leaf, b, c = subleaf, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  // What each bit says is in Intel's manual, volume 2, CPUID.
  if (leaf == 7 && subleaf == 0) {
    // AVX-512, VNNI, GFNI, VAES, AMX.
    b &= ~(bits(16, 17) | bits(21, 21) | bits(26, 28) | bits(30, 31));
    c &= ~(bits(1, 1) | bits(6, 6) | bits(8, 12) | bits(14, 14));
    d &= ~(bits(2, 3) | bits(8, 8) | bits(22, 25));
  } else if (leaf == 7 && subleaf == 1) {
    // AVX-VNNI, bf16, AVX-IFMA, AVX10.
    a &= ~(bits(4, 5) | bits(21, 21) | bits(23, 23));
    d &= ~(bits(4, 5) | bits(10, 10) | bits(19, 19));
  }
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void install(void) {
  struct sigaction action = {0};
  action.sa_sigaction = answer;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigaction(SIGILL, &action, 0);
}
