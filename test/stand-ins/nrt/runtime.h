// The state of the one runtime in a process.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "hardware.h"
#include "nrt.h"
#include "visible_cores.h"

namespace stand_in {

class Runtime {
 public:
  /// The process's runtime. It is never destroyed: threads may still call it while the process exits.
  static Runtime& Get();

  NRT_STATUS Init();
  void Close();
  NRT_STATUS TotalCores(uint32_t& count);
  NRT_STATUS VisibleCores(uint32_t& count);
  std::optional<uint32_t> CoreNumber(uint32_t index);
  NRT_STATUS Load(uint32_t index, const std::string& model);
  void Unload(uint32_t index, const std::string& model);
  NRT_STATUS Execute(uint32_t index, const std::string& model);

 private:
  enum class State { kStart, kInit, kClosed, kChild };

  /// A core that this process holds.
  struct Core {
    Core(uint32_t number, File claim) : number(number), claim(std::move(claim)) {}
    const uint32_t number;
    File claim;
    std::mutex busy;
  };

  Runtime() = default;
  static void OnFork() noexcept;
  NRT_STATUS Claim(uint32_t first, uint32_t count);
  NRT_STATUS Run(Core& core);
  /// NRT_SUCCESS where the runtime can be used, and has such a core.
  NRT_STATUS Check(uint32_t index) const;
  NRT_STATUS StateStatus() const;

  std::atomic<State> state_ = State::kStart;
  std::shared_mutex mutex_;  // held shared during calls, alone to begin and to close
  std::unique_ptr<Hardware> hardware_;
  std::vector<std::unique_ptr<Core>> cores_;
};

}  // namespace stand_in
