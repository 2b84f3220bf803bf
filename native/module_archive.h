#pragma once

#include <caffe2/serialize/read_adapter_interface.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace neuron_blip {

/// A file that is open for reading, at any position, by any thread.
class InputFile {
 public:
  /// @throws CodedError ARTIFACT_CORRUPT where it cannot be opened.
  explicit InputFile(const std::string& path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  uint64_t size() const { return size_; }
  /// Reads up to n bytes. Returns how many there were, fewer only at the end of the file.
  size_t Read(uint64_t position, void* buffer, size_t n) const;

 private:
  int descriptor_;
  uint64_t size_ = 0;
};

/// A record of a ZIP archive, as its directory tells it.
struct ArchiveRecord {
  std::string name;
  uint64_t header = 0;  // where its own header begins
  uint64_t offset = 0;  // where its bytes begin
  uint64_t stored_size = 0;
  uint64_t size = 0;
  uint32_t crc = 0;
  bool compressed = false;
};

/// What a TorchScript file is: a ZIP archive. libtorch believes the sizes that an archive tells and never compares its
/// checksums, so that a damaged file can make it allocate anything, or read what is no program. Here both are checked,
/// so that libtorch reads only what was written.
class ModuleArchive {
 public:
  /// Reads the directory, and checks each record's place and size against the file.
  /// @throws CodedError ARTIFACT_CORRUPT for a file that is no ZIP archive, or a damaged one.
  explicit ModuleArchive(const std::string& path);

  const std::vector<ArchiveRecord>& records() const { return records_; }

  /// For libtorch, which reads each record whole: the read that would end one whose checksum is wrong fails. Compressed
  /// records are not checked so: see CheckCompressed.
  std::shared_ptr<caffe2::serialize::ReadAdapterInterface> Reader();
  /// Inflates the compressed records (of torch.jit.save's files a part of the code) and compares their checksums.
  /// @throws CodedError ARTIFACT_CORRUPT.
  void CheckCompressed();
  /// @throws CodedError ARTIFACT_CORRUPT where a reader has found a record with a wrong checksum.
  void ThrowIfDamaged() const;

 private:
  class CheckedReader;

  std::shared_ptr<const InputFile> file_;
  std::vector<ArchiveRecord> records_;
  std::vector<std::shared_ptr<CheckedReader>> readers_;
};

}  // namespace neuron_blip
