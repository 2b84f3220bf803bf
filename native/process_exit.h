#pragma once

#include <memory>
#include <vector>

#include "executor.h"

namespace neuron_blip {

/// How the process's native threads end, whichever way the process does. libtorch's static objects must not be
/// destroyed under a running thread: each is waited for, for 5 seconds (NEURON_BLIP_EXIT_WAIT_MS changes that). Where
/// one goes on for longer, as a `forward` that never returns does, the process then leaves by _Exit, with the code that
/// it was about to exit with, and nothing is destroyed.

/// Has the process's end see to its executors. Before anything else; again is no harm.
void WatchProcessExit();

/// Remembers an executor, for as long as it lives.
void TrackForExit(const std::shared_ptr<Executor>& executor);

/// Stops executors: lets every running task end, and none that is queued begin, before waiting for any.
void StopExecutors(const std::vector<std::weak_ptr<Executor>>& executors);

/// Stops every executor of the process, Workers' too, which is about to exit with this code.
void StopEveryExecutor(int exit_code);

/// Whether StopEveryExecutor was called: no new work can begin.
bool IsProcessExiting();

}  // namespace neuron_blip
