#include "file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

namespace stand_in {
namespace {

[[noreturn]] void ThrowErrno(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

void WriteAll(int descriptor, const std::string& text) {
  if (write(descriptor, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ThrowErrno("write");
}

}  // namespace

File::File(const std::filesystem::path& path)
    : descriptor_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) ThrowErrno(path.string());
}

File::~File() { Close(); }

File::File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

void File::Lock() const {
  while (flock(descriptor_, LOCK_EX) != 0) {
    if (errno != EINTR) ThrowErrno("flock");
  }
}

bool File::TryLock() const { return flock(descriptor_, LOCK_EX | LOCK_NB) == 0; }

void File::Append(const std::string& text) const { WriteAll(descriptor_, text); }

void File::Replace(const std::string& text) const {
  if (ftruncate(descriptor_, 0) != 0) ThrowErrno("ftruncate");
  WriteAll(descriptor_, text);
}

void File::Close() noexcept {
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
}

std::optional<std::string> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::optional<double> NumberFile::Read() {
  struct stat status {};
  if (stat(path_.c_str(), &status) != 0) return std::nullopt;
  const int64_t nanoseconds = status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec;
  // Two writes within one tick of the file system's clock differ in the inode (renamed) or mostly in the size.
  const int64_t version = nanoseconds ^ (static_cast<int64_t>(status.st_ino) << 20) ^ status.st_size;
  const std::lock_guard lock(mutex_);
  if (version_ != version) {
    const std::string text = ReadFile(path_).value_or("");
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    value_ = end == text.c_str() ? std::nullopt : std::optional(value);
    version_ = version;
  }
  return value_;
}

}  // namespace stand_in
