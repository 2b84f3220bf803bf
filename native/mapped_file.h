#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace neuron_blip {

/// Pages of a file in memory. They are the file's own, shared with every process that maps it, until they are written:
/// then they are this process's.
class FileMapping {
 public:
  FileMapping(void* data, size_t size) : data_(data), size_(size) {}
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;
  ~FileMapping();

  char* data() const { return static_cast<char*>(data_); }
  /// Lets go of the pages that lie wholly within a part: they are read from the file again if anyone needs them.
  static void LetGo(void* data, size_t size);

 private:
  void* data_;
  size_t size_;
};

/// A regular file that is open for reading.
class ReadableFile {
 public:
  /// @throws CodedError ARTIFACT_NOT_FOUND; ARTIFACT_CORRUPT for what cannot be opened, or is no regular file.
  explicit ReadableFile(const std::string& path);
  ReadableFile(const ReadableFile&) = delete;
  ReadableFile& operator=(const ReadableFile&) = delete;
  ~ReadableFile();

  int64_t size() const { return size_; }
  /// The file's pages; null where others than this user and root could cut it short, which would end the process at
  /// the next page that is missing, and where the system does not map it.
  /// @throws CodedError ARTIFACT_CORRUPT where the file has become shorter since it was opened.
  std::shared_ptr<FileMapping> Map() const;
  /// Reads a part.
  /// @throws CodedError ARTIFACT_CORRUPT where it ends before, or cannot be read.
  void Read(void* to, size_t size, int64_t offset) const;

 private:
  int descriptor_;
  int64_t size_ = 0;
  bool is_own_ = false;
};

}  // namespace neuron_blip
