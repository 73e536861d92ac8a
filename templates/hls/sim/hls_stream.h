// hls::stream for simulation.
//
// By itself it is a queue without bounds, for C simulation: stages are called one after the
// other, each for a whole frame.  Where a scheduler runs (xh_scheduler.h), it holds as many words
// as its depth says, and who reads an empty or writes a full one waits.
//
// The word may be any type with the public interface of ap_uint.
#ifndef XH_SIM_HLS_STREAM_H
#define XH_SIM_HLS_STREAM_H

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace xh {

enum Exit { kDone = 0, kUsage = 2, kDeadlock = 3, kLeftOver = 4, kResults = 5, kNetwork = 6 };

// Says why and ends the program: what follows a broken stream rule means nothing.
[[noreturn]] __attribute__((format(printf, 2, 3))) inline void fail(Exit code, const char *form, ...) {
  std::fflush(nullptr);
  va_list rest;
  va_start(rest, form);
  std::vfprintf(stderr, form, rest);
  va_end(rest);
  std::fputc('\n', stderr);
  std::fflush(nullptr);
  std::_Exit(code);
}

struct Channel;

// Who decides when a process may go on: the scheduler, or nobody in C simulation.
class Host {
public:
  virtual void opened(Channel &channel) = 0;
  virtual void closed(Channel &channel) = 0;
  virtual void reading(Channel &channel) = 0;  // returns when there is a word
  virtual void was_read(Channel &channel) = 0;
  virtual void writing(Channel &channel) = 0;  // returns when there is room
  virtual void was_written(Channel &channel) = 0;
  virtual void looking(const Channel &channel) = 0;  // at whether it is empty or full

protected:
  ~Host() {}
};

// The host of the streams that are made from here on.
inline Host *&host() {
  static Host *current = nullptr;
  return current;
}

// Where a stream's words are written down, or null; asked once for each stream that is made.
typedef std::FILE *(*Observer)(const char *stream);
inline Observer &observer() {
  static Observer current = nullptr;
  return current;
}

// What of a stream does not depend on its type.
struct Channel {
  std::string name;
  std::size_t depth;
  std::size_t count = 0;  // words in it
  std::size_t most = 0;   // words that were in it at once
  std::uint64_t words = 0;  // words that went in
  Host *host;
  struct Link *link = nullptr;  // the host's record
  std::FILE *log;

  Channel(const char *given, std::size_t room)
      : name(given), depth(room), host(xh::host()), log(observer() ? observer()(given) : nullptr) {}
  Channel(const Channel &) = delete;
  Channel &operator=(const Channel &) = delete;
};

// A line of lower-case hexadecimal digits, as many as the width needs.
template <class T>
void print_word(std::FILE *file, const T &word) {
  const int width = T::width;
  for (int low = (width - 1) / 64 * 64, high = width - 1; low >= 0; high = low - 1, low -= 64)
    std::fprintf(file, "%0*llx", (high - low) / 4 + 1, (unsigned long long)(word.range(high, low).to_uint64()));
  std::fputc('\n', file);
}

}  // namespace xh

namespace hls {

template <typename T, int DEPTH = 0>
class stream;

template <typename T>
class stream<T, 0> : private xh::Channel {
public:
  // A stream without a depth holds two words, as the vendor's tool makes it in a dataflow region.
  explicit stream(const char *given = "") : stream(given, 2) {}
  ~stream() {
    if (host) {
      host->closed(*this);
    } else if (count) {
      xh::fail(xh::kLeftOver, "left over: %s %zu", name.c_str(), count);
    }
  }

  T read() {
    if (host) {
      host->reading(*this);
    } else if (!count) {
      xh::fail(xh::kDeadlock, "deadlock: stream %s is read while it is empty", name.c_str());
    }
    const T word = ring_[first_];
    first_ = first_ + 1 == ring_.size() ? 0 : first_ + 1;
    --count;
    if (host) host->was_read(*this);
    return word;
  }
  void read(T &word) { word = read(); }

  void write(const T &word) {
    if (host) {
      host->writing(*this);
    } else if (count == ring_.size()) {
      grow();
    }
    std::size_t place = first_ + count;
    if (place >= ring_.size()) place -= ring_.size();
    ring_[place] = word;
    ++count;
    ++words;
    if (count > most) most = count;
    if (log) xh::print_word(log, word);
    if (host) host->was_written(*this);
  }

  bool empty() const {
    if (host) host->looking(*this);
    return count == 0;
  }
  bool full() const {
    if (host) host->looking(*this);
    return host && count == depth;
  }
  std::size_t size() const {
    if (host) host->looking(*this);
    return count;
  }
  // The word that is read next; for what stands around the network, not for a stage.
  const T &front() const { return ring_[first_]; }
  xh::Channel &channel() { return *this; }

protected:
  stream(const char *given, std::size_t room) : xh::Channel(given, room), ring_(host ? room : 16) {
    if (host) host->opened(*this);
  }

private:
  void grow() {
    std::vector<T> wider(2 * ring_.size());
    for (std::size_t i = 0; i < count; ++i) wider[i] = ring_[(first_ + i) % ring_.size()];
    ring_.swap(wider);
    first_ = 0;
  }

  std::vector<T> ring_;
  std::size_t first_ = 0;
};

template <typename T, int DEPTH>
class stream : public stream<T, 0> {
  static_assert(DEPTH > 0, "a stream holds one word at least");

public:
  explicit stream(const char *given = "") : stream<T, 0>(given, DEPTH) {}
};

}  // namespace hls

#endif
