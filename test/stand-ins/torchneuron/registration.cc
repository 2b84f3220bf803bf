// Registers the class and the op with TorchScript when the library is loaded: a stand-in for AWS's libtorchneuron.so.
#include <torch/custom_class.h>
#include <torch/library.h>

#include "model.h"

namespace stand_in {
namespace {

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
  library.def("forward_v2", ForwardV2);
}

}  // namespace stand_in
