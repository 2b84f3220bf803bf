// Files of the pretended hardware.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

namespace stand_in {

/// An open file, closed at the end; a lock on it ends with it. Not inherited by programs that the process starts.
class File {
 public:
  /// Opens for reading and appending, and creates. Throws std::system_error.
  explicit File(const std::filesystem::path& path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&&) = delete;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// Waits until no other process or thread holds a lock.
  void Lock() const;
  /// Returns false where another holds one.
  bool TryLock() const;
  void Append(const std::string& text) const;
  /// Makes the file hold this text and nothing else.
  void Replace(const std::string& text) const;
  /// Gives the descriptor back without ending a lock that another process shares by fork.
  void Close() noexcept;

 private:
  int descriptor_;
};

/// A file's text; nothing where there is no such file.
std::optional<std::string> ReadFile(const std::filesystem::path& path);

/// A file that holds a number, read again only when it changed.
class NumberFile {
 public:
  explicit NumberFile(std::filesystem::path path) : path_(std::move(path)) {}
  /// Nothing where the file is not there or holds no number.
  std::optional<double> Read();

 private:
  const std::filesystem::path path_;
  std::mutex mutex_;
  std::optional<double> value_;
  std::optional<int64_t> version_;
};

}  // namespace stand_in
