#include "module_archive.h"

#include <caffe2/serialize/inline_container.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "crc32.h"
#include "errors.h"

namespace neuron_blip {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint64_t kLocalHeaderSize = 30;
constexpr uint64_t kEntrySize = 46;
constexpr uint64_t kEndSize = 22;
constexpr uint64_t kEnd64Size = 56;
constexpr uint64_t kLocatorSize = 20;
constexpr uint64_t kLargestDirectory = uint64_t{1} << 28;
// Deflate's greatest ratio, of a run of one byte.
constexpr uint64_t kLargestRatio = 1032;

CodedError Damaged(const std::string& how) { return {"ARTIFACT_CORRUPT", how}; }

/// A little-endian number.
uint64_t NumberAt(Bytes bytes, size_t at, size_t size) {
  if (at > bytes.size() || size > bytes.size() - at) throw Damaged("The archive's directory is cut short.");
  uint64_t number = 0;
  for (size_t i = 0; i < size; i++) number |= static_cast<uint64_t>(bytes[at + i]) << (8 * i);
  return number;
}

std::vector<uint8_t> ReadBytes(const InputFile& file, uint64_t position, uint64_t size) {
  if (position > file.size() || size > file.size() - position) throw Damaged("The archive is cut short.");
  std::vector<uint8_t> bytes(size);
  if (file.Read(position, bytes.data(), size) != size) throw Damaged("The archive cannot be read to its end.");
  return bytes;
}

bool HasSignature(Bytes bytes, size_t at, std::string_view signature) {
  return at + 4 <= bytes.size() && std::memcmp(&bytes[at], signature.data(), 4) == 0;
}

struct Directory {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t count = 0;
};

Directory FindDirectory(const InputFile& file) {
  // The end of the archive may be followed by a comment of up to 64 KB.
  const uint64_t tail_size = std::min<uint64_t>(file.size(), kEndSize + 0xFFFF);
  const uint64_t tail_start = file.size() - tail_size;
  const std::vector<uint8_t> tail = ReadBytes(file, tail_start, tail_size);
  if (tail_size < kEndSize) throw Damaged("The file is no ZIP archive.");
  for (size_t at = tail_size - kEndSize + 1; at-- > 0;) {
    if (!HasSignature(tail, at, "PK\x05\x06")) continue;
    Directory found{NumberAt(tail, at + 16, 4), NumberAt(tail, at + 12, 4), NumberAt(tail, at + 10, 2)};
    if (at >= kLocatorSize && HasSignature(tail, at - kLocatorSize, "PK\x06\x07")) {
      const std::vector<uint8_t> end = ReadBytes(file, NumberAt(tail, at - kLocatorSize + 8, 8), kEnd64Size);
      if (!HasSignature(end, 0, "PK\x06\x06")) throw Damaged("The end of the archive is damaged.");
      found = {NumberAt(end, 48, 8), NumberAt(end, 40, 8), NumberAt(end, 32, 8)};
    }
    if (found.size > kLargestDirectory || found.count > found.size / kEntrySize) {
      throw Damaged("The archive's directory does not have the size that it says.");
    }
    return found;
  }
  throw Damaged("The file is no ZIP archive, or its end is missing.");
}

/// Takes the sizes that do not fit 32 bits from the entry's extra field, in their order.
void ReadZip64(Bytes extra, ArchiveRecord& record) {
  for (size_t at = 0; at + 4 <= extra.size();) {
    const uint64_t id = NumberAt(extra, at, 2);
    const uint64_t size = NumberAt(extra, at + 2, 2);
    at += 4;
    if (size > extra.size() - at) throw Damaged("The archive's directory is cut short.");
    if (id == 1) {
      const Bytes field = extra.subspan(at, size);
      size_t next = 0;
      for (uint64_t* value : {&record.size, &record.stored_size, &record.header}) {
        if (*value != 0xFFFFFFFF) continue;
        *value = NumberAt(field, next, 8);
        next += 8;
      }
    }
    at += size;
  }
}

/// Finds a record's bytes, which its own header comes before.
void Locate(const InputFile& file, ArchiveRecord& record) {
  const std::string which = "The archive's record \"" + record.name + "\" ";
  const std::vector<uint8_t> header = ReadBytes(file, record.header, kLocalHeaderSize);
  if (!HasSignature(header, 0, "PK\x03\x04")) throw Damaged(which + "is not where the directory says.");
  const uint64_t name_size = NumberAt(header, 26, 2);
  const std::vector<uint8_t> name = ReadBytes(file, record.header + kLocalHeaderSize, name_size);
  if (!std::equal(name.begin(), name.end(), record.name.begin(), record.name.end())) {
    throw Damaged(which + "has another name in its own header.");
  }
  record.offset = record.header + kLocalHeaderSize + name_size + NumberAt(header, 28, 2);
  if (record.offset > file.size() || record.stored_size > file.size() - record.offset) {
    throw Damaged(which + "is cut short.");
  }
  const bool fits =
      record.compressed ? record.size <= (record.stored_size + 1) * kLargestRatio : record.size == record.stored_size;
  if (!fits) throw Damaged(which + "does not have the size that the directory says.");
}

std::vector<ArchiveRecord> ReadRecords(const InputFile& file) {
  const Directory directory = FindDirectory(file);
  const std::vector<uint8_t> entries = ReadBytes(file, directory.offset, directory.size);
  std::vector<ArchiveRecord> records;
  size_t at = 0;
  for (uint64_t i = 0; i < directory.count; i++) {
    if (!HasSignature(entries, at, "PK\x01\x02")) throw Damaged("The archive's directory is damaged.");
    ArchiveRecord record;
    const uint64_t method = NumberAt(entries, at + 10, 2);
    record.crc = static_cast<uint32_t>(NumberAt(entries, at + 16, 4));
    record.stored_size = NumberAt(entries, at + 20, 4);
    record.size = NumberAt(entries, at + 24, 4);
    record.header = NumberAt(entries, at + 42, 4);
    const uint64_t name_size = NumberAt(entries, at + 28, 2);
    const uint64_t extra_size = NumberAt(entries, at + 30, 2);
    const uint64_t comment_size = NumberAt(entries, at + 32, 2);
    if (kEntrySize + name_size + extra_size + comment_size > entries.size() - at) {
      throw Damaged("The archive's directory is cut short.");
    }
    const Bytes rest = Bytes(entries).subspan(at + kEntrySize);
    record.name.assign(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(name_size));
    ReadZip64(rest.subspan(name_size, extra_size), record);
    if (method != 0 && method != 8) throw Damaged("The archive's record \"" + record.name + "\" is packed otherwise.");
    record.compressed = method == 8;
    Locate(file, record);
    records.push_back(std::move(record));
    at += kEntrySize + name_size + extra_size + comment_size;
  }
  return records;
}

/// Two records that share bytes are a damaged archive, or one that is made to unpack to more than it holds.
void CheckOverlap(std::vector<ArchiveRecord>& records) {
  std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.header < b.header; });
  for (size_t i = 1; i < records.size(); i++) {
    if (records[i - 1].offset + records[i - 1].stored_size > records[i].header) {
      throw Damaged("The archive's records \"" + records[i - 1].name + "\" and \"" + records[i].name + "\" overlap.");
    }
  }
}

/// Asks for a buffer's pages at once, which costs less than one after the other as they are written to.
void Populate([[maybe_unused]] void* buffer, [[maybe_unused]] size_t size) {
#ifdef MADV_POPULATE_WRITE
  constexpr size_t kWorthIt = size_t{1} << 18;
  if (size < kWorthIt) return;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (std::align(page, page, buffer, size) == nullptr) return;
  // A system that does not know it hands them out as ever.
  static_cast<void>(madvise(buffer, size - size % page, MADV_POPULATE_WRITE));
#endif
}

CodedError WrongChecksum(const std::string& name) {
  return Damaged("The archive's record \"" + name +
                 "\" is damaged: its checksum (CRC-32) is not the one it was written with.");
}

}  // namespace

InputFile::InputFile(const std::string& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) throw Damaged(std::string("The file cannot be opened: ") + std::strerror(errno) + ".");
  struct stat found {};
  if (fstat(descriptor_, &found) == 0) size_ = static_cast<uint64_t>(found.st_size);
}

InputFile::~InputFile() { close(descriptor_); }

size_t InputFile::Read(uint64_t position, void* buffer, size_t n) const {
  size_t done = 0;
  while (done < n) {
    const ssize_t got =
        pread(descriptor_, static_cast<char*>(buffer) + done, n - done, static_cast<off_t>(position + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

/// Follows the reads through a record, from its first byte to its last, so that nothing is read twice.
class ModuleArchive::CheckedReader final : public caffe2::serialize::ReadAdapterInterface {
 public:
  CheckedReader(std::shared_ptr<const InputFile> file, std::vector<ArchiveRecord> records)
      : file_(std::move(file)), records_(std::move(records)) {}

  size_t size() const override { return file_->size(); }

  size_t read(uint64_t position, void* buffer, size_t n, const char* /*what*/) const override {
    if (damaged_) return 0;
    size_t done = 0;
    // In steps that stay in the CPU's cache from the read to the checksum.
    while (done < n) {
      char* const to = static_cast<char*>(buffer) + done;
      const size_t step = std::min(n - done, kStep);
      Populate(to, step);
      const size_t got = file_->Read(position + done, to, step);
      if (got == 0) break;
      Follow(position + done, to, got);
      if (damaged_) return 0;  // libtorch then gives up; an exception would have to cross its C code
      done += got;
    }
    return done;
  }

  const std::optional<std::string>& damaged() const { return damaged_; }

 private:
  static constexpr size_t kStep = size_t{1} << 20;

  void Follow(uint64_t position, const char* bytes, size_t size) const {
    if (record_ == nullptr || position != next_) {
      const auto after = std::upper_bound(records_.begin(), records_.end(), position,
                                          [](uint64_t at, const ArchiveRecord& record) { return at < record.offset; });
      // Reads of headers, or of a record from its middle, are not followed.
      record_ = nullptr;
      if (after == records_.begin()) return;
      const ArchiveRecord& found = *std::prev(after);
      if (found.compressed || found.offset != position || found.size == 0) return;
      record_ = &found;
      crc_ = 0;
    }
    const uint64_t end = record_->offset + record_->size;
    const uint64_t part = std::min<uint64_t>(size, end - position);
    crc_ = Crc32(crc_, bytes, part);
    next_ = position + part;
    if (next_ < end) return;
    if (crc_ != record_->crc) damaged_ = record_->name;
    record_ = nullptr;
  }

  std::shared_ptr<const InputFile> file_;
  std::vector<ArchiveRecord> records_;  // by their offsets
  // libtorch's interface is const, though a file has a position. One thread reads.
  mutable const ArchiveRecord* record_ = nullptr;
  mutable uint64_t next_ = 0;
  mutable uint32_t crc_ = 0;
  mutable std::optional<std::string> damaged_;
};

ModuleArchive::ModuleArchive(const std::string& path)
    : file_(std::make_shared<const InputFile>(path)), records_(ReadRecords(*file_)) {
  CheckOverlap(records_);
}

std::shared_ptr<caffe2::serialize::ReadAdapterInterface> ModuleArchive::Reader() {
  return readers_.emplace_back(std::make_shared<CheckedReader>(file_, records_));
}

void ModuleArchive::CheckCompressed() {
  const auto is_compressed = [](const ArchiveRecord& record) { return record.compressed; };
  if (std::none_of(records_.begin(), records_.end(), is_compressed)) return;
  caffe2::serialize::PyTorchStreamReader reader(Reader());
  for (const ArchiveRecord& record : records_) {
    if (!record.compressed) continue;
    // libtorch names records without the folder that they are all in.
    const auto [data, size] = reader.getRecord(record.name.substr(record.name.find('/') + 1));
    if (size != record.size || Crc32(0, data.get(), size) != record.crc) throw WrongChecksum(record.name);
  }
}

void ModuleArchive::ThrowIfDamaged() const {
  for (const auto& reader : readers_) {
    if (reader->damaged()) throw WrongChecksum(*reader->damaged());
  }
}

}  // namespace neuron_blip
