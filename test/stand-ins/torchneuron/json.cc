#include "json.h"

#include <cstdlib>
#include <stdexcept>

namespace stand_in {

class Json::Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Json ReadAll() {
    Json value = Read();
    if (Peek() != '\0') Fail();
    return value;
  }

 private:
  Json Read() {
    switch (Peek()) {
      case '{':
        return Json(ReadObject());
      case '[':
        return Json(ReadArray());
      case '"':
        return Json(ReadString());
      default:
        return Json(ReadNumber());
    }
  }

  Object ReadObject() {
    Object object;
    Take('{');
    while (Peek() != '}') {
      if (!object.empty()) Take(',');
      std::string key = ReadString();
      Take(':');
      object.emplace_back(std::move(key), Read());
    }
    Take('}');
    return object;
  }

  Array ReadArray() {
    Array array;
    Take('[');
    while (Peek() != ']') {
      if (!array.empty()) Take(',');
      array.push_back(Read());
    }
    Take(']');
    return array;
  }

  std::string ReadString() {
    std::string string;
    Take('"');
    while (Current() != '"') {
      if (Current() == '\\') at_++;
      if (Current() == '\0') Fail();
      string += Current();
      at_++;
    }
    at_++;
    return string;
  }

  double ReadNumber() {
    Peek();
    const std::string rest(text_.substr(at_, 32));
    char* end = nullptr;
    const double number = std::strtod(rest.c_str(), &end);
    if (end == rest.c_str()) Fail();
    at_ += static_cast<size_t>(end - rest.c_str());
    return number;
  }

  char Current() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  char Peek() {
    while (Current() == ' ' || Current() == '\n') at_++;
    return Current();
  }

  void Take(char expected) {
    if (Peek() != expected) Fail();
    at_++;
  }

  [[noreturn]] void Fail() const {
    throw std::runtime_error("the stand-in's metaneff is not JSON that it can read, at byte " + std::to_string(at_));
  }

  std::string_view text_;
  size_t at_ = 0;
};

Json Json::Parse(std::string_view text) { return Reader(text).ReadAll(); }

template <typename T>
const T& Json::As(const char* what) const {
  if (const T* value = std::get_if<T>(&value_)) return *value;
  throw std::runtime_error(std::string("the stand-in's metaneff has something else where it should have ") + what);
}

const Json& Json::operator[](std::string_view key) const {
  for (const auto& [name, value] : As<Object>("an object")) {
    if (name == key) return value;
  }
  throw std::runtime_error("the stand-in's metaneff has no \"" + std::string(key) + "\"");
}

const Json::Array& Json::array() const { return As<Array>("an array"); }
const std::string& Json::string() const { return As<std::string>("a string"); }
double Json::number() const { return As<double>("a number"); }

}  // namespace stand_in
