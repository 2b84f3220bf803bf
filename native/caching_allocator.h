#pragma once

namespace neuron_blip {

/// From now on libtorch keeps the memory of large tensors that are freed, up to a bound, and gives it to the next of
/// about their size. malloc would give it back to the system and take it again with every call, which takes up to a
/// fifth of a picture's time (page faults). For the whole process; any thread; again is no harm.
void InstallCachingAllocator();

/// Gives back what is kept and not in use.
void ReleaseCachedMemory();
/// Gives back what malloc keeps, too.
void ReturnFreedMemory();

}  // namespace neuron_blip
