// Registers the class and the op with TorchScript when the library is loaded: a stand-in for AWS's libtorchneuron.so.
#include <torch/custom_class.h>
#include <torch/library.h>

#include <cstdlib>
#include <string_view>

#include "cores.h"
#include "model.h"

namespace stand_in {
namespace {

/// What TorchScript knows as __torch__.torch.classes.neuron.Runtime. Its objects share one state, the process's.
class Runtime : public torch::CustomClassHolder {
 public:
  void Initialize() { Cores::Get(); }
  int64_t CoreCount() { return static_cast<int64_t>(Cores::Get().count()); }
  void SetDefaultNeuronCores(int64_t start, int64_t count) { Cores::Get().SetDefault({start, count}); }
  int64_t DefaultStart() { return Cores::Get().GetDefault().start; }
  int64_t DefaultCount() { return Cores::Get().GetDefault().count; }
};

/// Older libraries have no such class.
bool HasRuntimeClass() {
  const char* value = std::getenv("NEURON_BLIP_STAND_IN_RUNTIME_CLASS");
  return value == nullptr || std::string_view(value) != "0";
}

std::vector<at::Tensor> ForwardV2(at::TensorList inputs, const c10::intrusive_ptr<Model>& model) {
  return model->Forward(inputs.vec());
}

}  // namespace

TORCH_LIBRARY(neuron, library) {
  library.class_<Model>("Model")
      .def(torch::init<std::string, std::string>())
      .def("set_neuron_devices", &Model::SetNeuronDevices)
      .def("set_dynamic_batching", &Model::SetDynamicBatching)
      .def("set_async_load", &Model::SetAsyncLoad)
      .def("set_lazy_load", &Model::SetLazyLoad)
      .def_pickle([](const c10::intrusive_ptr<Model>& model) { return model->Save(); },
                  [](Model::State state) { return Model::Restore(std::move(state)); });
  if (HasRuntimeClass()) {
    library.class_<Runtime>("Runtime")
        .def(torch::init<>())
        .def("initialize", &Runtime::Initialize)
        .def("get_visible_nc_count", &Runtime::CoreCount)
        .def("set_default_neuron_cores", &Runtime::SetDefaultNeuronCores)
        .def("get_default_start_nc", &Runtime::DefaultStart)
        .def("get_default_nc_count", &Runtime::DefaultCount);
  }
  library.def("forward_v2", ForwardV2);
}

}  // namespace stand_in
