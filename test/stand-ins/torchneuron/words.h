// libtorchneuron's words, as far as they are public: ../README.md says which are documented and which are guessed.
#pragma once

#include <stdexcept>
#include <string>

#include "../nrt/nrt.h"

namespace stand_in {

/// "Failed to execute the model status=5 message=Timeout Exceeded".
std::runtime_error ExecuteError(NRT_STATUS status);

/// "Could not load the model status=4 message=Allocation Failure".
std::runtime_error LoadError(NRT_STATUS status);

/// "The PyTorch Neuron Runtime could not be initialized. …", over three lines.
std::runtime_error InitializeError();

}  // namespace stand_in
