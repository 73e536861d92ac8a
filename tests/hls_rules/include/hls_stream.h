// The documented surface of hls::stream (UG1399, "HLS Stream Library"), declared only.
#ifndef RULES_HLS_STREAM_H
#define RULES_HLS_STREAM_H

namespace hls {

template <typename T, int DEPTH = 0> class stream;

template <typename T> class stream<T, 0> {
public:
  stream();
  explicit stream(const char *name);
  stream(const stream &) = delete;
  stream &operator=(const stream &) = delete;
  T read();
  void read(T &value);
  void operator>>(T &value);
  bool read_nb(T &value);
  void write(const T &value);
  void operator<<(const T &value);
  bool write_nb(const T &value);
  bool empty() const;
  bool full() const;
  unsigned size() const;
  unsigned capacity() const;
};

template <typename T, int DEPTH> class stream : public stream<T, 0> {
public:
  stream();
  explicit stream(const char *name);
};

} // namespace hls

#endif
