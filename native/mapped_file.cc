#include "mapped_file.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/xattr.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <vector>

#include "errors.h"

namespace neuron_blip {
namespace {

constexpr size_t kLongestRead = size_t{1} << 30;  // Linux reads no more than 2 GB at once
constexpr size_t kLongestRecord = size_t{1} << 20;

CodedError Unreadable(int error) {
  const bool is_missing = error == ENOENT || error == ENOTDIR;
  return {is_missing ? "ARTIFACT_NOT_FOUND" : "ARTIFACT_CORRUPT", std::generic_category().message(error)};
}

CodedError Shortened() { return {"ARTIFACT_CORRUPT", "it became shorter while it was read"}; }

/// Asks getpwuid_r or getgrgid_r, with memory enough for the record; false where there is none.
template <typename Record, typename Ask>
bool Look(Record& record, std::vector<char>& memory, Ask ask) {
  for (memory.resize(1024); memory.size() <= kLongestRecord; memory.resize(memory.size() * 4)) {
    Record* found = nullptr;
    const int error = ask(&record, memory.data(), memory.size(), &found);
    if (error != ERANGE) return error == 0 && found != nullptr;
  }
  return false;
}

/// Whether a group is this user's alone, as many systems make one for each user: his main group, of his name, with
/// nobody else in it.
bool IsOwnGroup(gid_t group) {
  struct passwd user {};
  struct group record {};
  std::vector<char> user_memory;
  std::vector<char> group_memory;
  const auto ask_user = [](auto... arguments) { return getpwuid_r(geteuid(), arguments...); };
  const auto ask_group = [group](auto... arguments) { return getgrgid_r(group, arguments...); };
  if (!Look(user, user_memory, ask_user) || user.pw_gid != group) return false;
  const std::string_view name = user.pw_name;
  if (!Look(record, group_memory, ask_group) || record.gr_name != name) return false;
  for (char** member = record.gr_mem; *member != nullptr; member++) {
    if (*member != name) return false;
  }
  return true;
}

/// Whether the file has a list of further users and groups, whose rights the group's bits stand for.
bool HasAccessList([[maybe_unused]] int descriptor) {
#ifdef __linux__
  return fgetxattr(descriptor, "system.posix_acl_access", nullptr, 0) > 0;
#else
  return false;
#endif
}

/// Whether nobody but root and this user may write to a file.
bool IsOwn(int descriptor, const struct stat& status) {
  if (status.st_uid != 0 && status.st_uid != geteuid()) return false;
  if ((status.st_mode & S_IWOTH) != 0) return false;
  return (status.st_mode & S_IWGRP) == 0 || (IsOwnGroup(status.st_gid) && !HasAccessList(descriptor));
}

}  // namespace

FileMapping::~FileMapping() { munmap(data_, size_); }

void FileMapping::LetGo(void* data, size_t size) {
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (start + page - 1) / page * page;
  const uintptr_t end = (start + size) / page * page;
  if (first >= end) return;
  madvise(static_cast<char*>(data) + (first - start), end - first, MADV_DONTNEED);
}

ReadableFile::ReadableFile(const std::string& path)
    // Not waiting for a pipe's other end.
    : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) throw Unreadable(errno);
  struct stat status {};
  const bool is_known = fstat(descriptor_, &status) == 0;
  const int error = errno;
  if (!is_known || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    if (!is_known) throw Unreadable(error);
    throw CodedError("ARTIFACT_CORRUPT", "it is not a file");
  }
  size_ = status.st_size;
  is_own_ = IsOwn(descriptor_, status);
}

ReadableFile::~ReadableFile() { close(descriptor_); }

std::shared_ptr<FileMapping> ReadableFile::Map() const {
  if (!is_own_ || size_ == 0) return nullptr;
  const auto size = static_cast<size_t>(size_);
  // Writable, so that an operator that works in place changes this process's pages instead of ending it; without
  // memory put by for that.
  void* const data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor_, 0);
  if (data == MAP_FAILED) return nullptr;
  auto mapping = std::make_shared<FileMapping>(data, size);
  struct stat status {};
  if (fstat(descriptor_, &status) != 0 || status.st_size < size_) throw Shortened();
  return mapping;
}

void ReadableFile::Read(void* to, size_t size, int64_t offset) const {
  auto* next = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t count = pread(descriptor_, next, std::min(size, kLongestRead), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Unreadable(errno);
    if (count == 0) throw Shortened();
    next += count;
    size -= static_cast<size_t>(count);
    offset += count;
  }
}

}  // namespace neuron_blip
