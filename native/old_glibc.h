// Forced into every file of an addon that is to be published (NEURON_BLIP_PUBLISH): binds it to versions of the C and
// C++ libraries' functions that older systems have too, so that it asks for no newer ones than libtorch itself does.
// What newer versions of these do otherwise is nothing that the addon needs. A test reads what the built addon asks
// for.
#pragma once

#if defined(__linux__) && defined(__x86_64__)

#ifdef __cplusplus
#include <cstddef>
// Waiting with a time limit uses the clock of the day, as before glibc 2.30.
#undef _GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT
__asm__(
    ".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE,"
    "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");
#endif

__asm__(".symver dlopen,dlopen@GLIBC_2.2.5");
__asm__(".symver dlclose,dlclose@GLIBC_2.2.5");
__asm__(".symver dlerror,dlerror@GLIBC_2.2.5");
__asm__(".symver dlsym,dlsym@GLIBC_2.2.5");
__asm__(".symver pthread_once,pthread_once@GLIBC_2.2.5");

#endif
