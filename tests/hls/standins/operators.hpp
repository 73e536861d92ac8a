// Every operator that generated sources may use, printed with its width, sign and value: compiled
// against our header and against the vendor's, the outputs have to be the same text.
#include <cstdio>
#include <string>
#include <type_traits>

#define AP_INT_MAX_W 4096
#include "ap_int.h"

template <int W, bool S>
void show(const char *what, const ap_int_base<W, S> &value) {
  std::printf("%s %d%c ", what, W, S ? 's' : 'u');
  for (int low = (W - 1) / 64 * 64, high = W - 1; low >= 0; high = low - 1, low -= 64)
    std::printf("%0*llx", (high - low) / 4 + 1, (unsigned long long)(value.range(high, low).to_uint64()));
  std::printf("\n");
}
inline void tell(const char *what, long long value) { std::printf("%s %lld\n", what, value); }

// Edge values and random ones, as hexadecimal text: zero, one, all ones, the sign bit alone, all
// but the sign bit, alternating bits.
inline std::string text(int width, int which, unsigned long long &state) {
  const int digits = (width + 3) / 4, top = (width - 1) % 4;
  std::string hex(std::size_t(digits), '0');
  switch (which) {
    case 0: break;
    case 1: hex.back() = '1'; break;
    case 2: hex.assign(std::size_t(digits), 'f'); hex[0] = "137f"[top]; break;
    case 3: hex[0] = "1248"[top]; break;
    case 4: hex.assign(std::size_t(digits), 'f'); hex[0] = "0137"[top]; break;
    case 5: hex.assign(std::size_t(digits), 'a'); hex[0] = "0122"[top]; break;
    default:
      for (char &digit : hex) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        digit = "0123456789abcdef"[state >> 60];
      }
  }
  return (which % 2 ? "0x" : "0X") + hex;
}
const int VALUES = 9;

template <class T, class I>
void with_built_in(const T &a, I n) {
  show("a+n", a + n);
  show("n+a", n + a);
  show("a-n", a - n);
  show("n-a", n - a);
  show("a*n", a * n);
  show("a&n", a & n);
  show("n|a", n | a);
  show("a^n", a ^ n);
  std::printf("compare %d%d%d%d%d%d %d%d%d\n", a == n, a != n, a < n, a <= n, a > n, a >= n, n == a, n < a, n >= a);
  T b = a;
  b += n;
  show("+=n", b);
  b -= n;
  b &= n;
  show("&=n", b);
  b = a;
  b |= n;
  show("|=n", b);
  b ^= n;
  show("^=n", b);
  b = n;
  show("=n", b);
  show("T(n)", T(n));
}

template <int W, bool S>
typename std::enable_if<(W <= 64)>::type implicit(const ap_int_base<W, S> &a) {
  const long long n = a;
  tell("long long", n);
  const unsigned long long u = a;
  tell("unsigned long long", (long long)u);
  const int i = a;
  tell("int", i);
  tell("condition", a ? 1 : 0);
  static const int table[4] = {3, 1, 4, 1};
  tell("index", table[ap_uint<2>(a)]);
}
template <int W, bool S>
typename std::enable_if<(W > 64)>::type implicit(const ap_int_base<W, S> &) {}

template <class T>
void alone(int which, unsigned long long &state) {
  const int W = T::width;
  const T a(text(W, which, state).c_str(), 16);
  show("a", a);
  show("~a", ~a);
  show("-a", -a);
  tell("!a", !a);
  tell("to_int", a.to_int());
  tell("to_uint", a.to_uint());
  tell("to_int64", a.to_int64());
  tell("to_uint64", (long long)a.to_uint64());
  tell("length", a.length());
  implicit(a);
  const int steps[] = {0, 1, 2, W / 2, W - 1, W, W + 3, 63, 64, 65, -1, -W};
  for (int by : steps) {
    show("<<", a << by);
    show(">>", a >> by);
    T b = a;
    b <<= by;
    show("<<=", b);
    b = a;
    b >>= by;
    show(">>=", b);
  }
  for (int by = 0; by < 8; by++) {
    show("<<u", a << ap_uint<3>(by));
    show(">>u", a >> ap_uint<3>(by));
    show("<<s", a << ap_int<3>(by));
    show(">>s", a >> ap_int<3>(by));
    show(">>bool", a >> (by > 3));
    show("<<unsigned", a << unsigned(by));
  }
  T b = a;
  show("++", ++b);
  show("++.", b++);
  show("--.", b--);
  show("--", --b);
  with_built_in(a, 0);
  with_built_in(a, -1);
  with_built_in(a, 5u);
  with_built_in(a, true);
  with_built_in(a, (long long)(0x8000000000000000ull));
  with_built_in(a, 0xFEDCBA9876543210ull);
  with_built_in(a, (short)(-300));
  with_built_in(a, (unsigned char)(200));
  for (int at = 0; at < W; at += W > 70 ? 37 : 3) {
    tell("bit", a[at]);
    tell("bit of int", a[ap_uint<13>(at)]);
    tell("get", a.get_bit(at));
    tell("test", a.test(at));
    b = a;
    b[at] = 1;
    show("set", b);
    b[at] = 0;
    show("cleared", b);
    b[W - 1 - at] = a[at];
    b[at] = !b[W - 1 - at];
    b[at] = b[0];
    show("moved", b);
    b[ap_uint<13>(at)] = b == a;
    b[W - 1] = b[at] ^ a[0];
    show("chosen", b);
    tell("~bit", ~b[at]);
    show("bit+", ap_uint<1>(b[at]) + b[0]);
  }
  const int edges[] = {0, 1, W / 3, 31, 32, 63, 64, W / 2, W - 2, W - 1};
  for (int low : edges)
    for (int high : edges) {
      if (low < 0 || high < low || high >= W) continue;
      show("range", ap_uint<T::width>(a.range(high, low)));
      show("()", ap_uint<5>(a(high, low)));
      show("wider", ap_int<T::width + 70>(a.range(high, low)));
      tell("range 64", (long long)a.range(high, low).to_uint64());
      tell("range int", a.range(high, low).to_int());
      b = a;
      b.range(high, low) = 5;
      show("range=5", b);
      b.range(high, low) = -1;
      show("range=-1", b);
      b = a;
      b.range(high, low) = ~a;
      show("range=~a", b);
      b = a;
      b(high, low) = a.range(W - 1, W - 1 - (high - low));
      show("range=range", b);
      b = a;
      b.range(high, low) = ap_int<3>(-3);
      show("range=ap_int", b);
      b.range(high, low) = ap_uint<200>("0x123456789abcdef0fedcba98765432100f1e2d3c4b5a6978", 16);
      show("range=wide", b);
      show("range^", ap_uint<T::width>(a.range(high, low) ^ ap_uint<T::width>(b)));
      show("range&", ap_uint<T::width>(b & a.range(high, low)));
    }
}

template <class T, class U>
void pair(unsigned long long &state) {
  for (int i = 0; i < VALUES; i++)
    for (int j = 0; j < VALUES; j++) {
      const T a(text(T::width, i, state).c_str(), 16);
      const U b(text(U::width, j, state).c_str(), 16);
      show("a+b", a + b);
      show("a-b", a - b);
      show("a*b", a * b);
      show("a&b", a & b);
      show("a|b", a | b);
      show("a^b", a ^ b);
      std::printf("compare %d%d%d%d%d%d\n", a == b, a != b, a < b, a <= b, a > b, a >= b);
      T c = a;
      c += b;
      show("+=", c);
      c -= b;
      c -= b;
      show("-=", c);
      c &= b;
      show("&=", c);
      c = a;
      c |= b;
      show("|=", c);
      c ^= b;
      show("^=", c);
      c = b;
      show("=", c);
      show("T(b)", T(b));
      show("a?b", i > j ? T(b) : a);
      c[0] = b;
      show("bit=b", c);
    }
}
