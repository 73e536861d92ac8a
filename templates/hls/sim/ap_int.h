// ap_uint<N> and ap_int<N> for simulation: the part of the vendor's integer types that the
// generated sources use, with the same widths, signs and values in every expression.
//
// It is found in front of nothing: the vendor's tool brings its own header of this name, and
// nothing here is ever read by it.  What the vendor's type accepts and the generated text does
// not use is absent, so that a use of it fails to compile instead of meaning something else.
#ifndef XH_SIM_AP_INT_H
#define XH_SIM_AP_INT_H

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <type_traits>

// As in the vendor's header: wider types are asked for by a definition in front of the include.
#ifndef AP_INT_MAX_W
#define AP_INT_MAX_W 1024
#endif
static_assert(AP_INT_MAX_W <= 4096, "AP_INT_MAX_W is 4096 at most");

template <int W, bool S>
struct ap_int_base;
template <int W, bool S>
struct ap_range_ref;
template <int W, bool S>
struct ap_bit_ref;
template <int W>
struct ap_int;
template <int W>
struct ap_uint;

namespace xh_ap {

[[noreturn]] inline void out_of_range(const char *what, int at, int width) {
  std::fprintf(stderr, "ap_int: %s %d lies outside of a value of %d bits\n", what, at, width);
  std::abort();
}

[[noreturn]] inline void bad_text(const char *text) {
  std::fprintf(stderr, "ap_int: \"%s\" is not a hexadecimal number after 0x\n", text);
  std::abort();
}

constexpr int larger(int a, int b) { return a > b ? a : b; }

// The named type of a width and a sign: what an operator returns.
template <int W, bool S>
struct Named {
  typedef ap_uint<W> type;
};
template <int W>
struct Named<W, true> {
  typedef ap_int<W> type;
};

// What an operand is, and what it counts as: a built-in integer as a number of its own width and
// sign, a bit as a number of one bit, a range as an unsigned one of its whole word's width.
// (Numbers, and no enumeration: its comparison would look among the operators below.)
struct Is {
  static const int number = 0, built_in = 1, bit = 2, range = 3, foreign = 4;
};
template <int WHAT, int W_, bool S_>
struct Kind {
  enum { W = W_ };
  static const bool S = S_;
  static const int what = WHAT;
  static const bool plain = WHAT == Is::number || WHAT == Is::built_in;
};
template <int W, bool S>
Kind<Is::number, W, S> class_kind(const ap_int_base<W, S> *);
template <int W, bool S>
Kind<Is::range, W, false> class_kind(const ap_range_ref<W, S> *);
template <int W, bool S>
Kind<Is::bit, 1, false> class_kind(const ap_bit_ref<W, S> *);
Kind<Is::foreign, 1, false> class_kind(const volatile void *);
template <class T, bool Integral>
struct KindOf {
  typedef decltype(class_kind(static_cast<const T *>(nullptr))) type;
};
template <class T>
struct KindOf<T, true> {
  typedef Kind<Is::built_in, std::is_same<T, bool>::value ? 1 : 8 * int(sizeof(T)), std::is_signed<T>::value> type;
};
template <class T>
using kind = typename KindOf<T, std::is_integral<T>::value>::type;

// The operands that an operator takes; one is a number or, for & | ^, a range.  For a range the
// vendor's type has more operators, which cut it to 64 bits: they are absent here, and so a range
// has to be made a number first.
template <class A, class B>
struct Takes {
  static const bool any_number = kind<A>::what == Is::number || kind<B>::what == Is::number;
  static const bool any_range = kind<A>::what == Is::range || kind<B>::what == Is::range;
  static const bool known = kind<A>::what != Is::foreign && kind<B>::what != Is::foreign;
  static const bool compare = any_number && kind<A>::plain && kind<B>::plain;
  static const bool arithmetic = any_number && known && !any_range;
  static const bool logic = known && (any_number || any_range);
  static const bool refused = known && any_range;
};

// Widths and signs of results.
template <class A, class B>
struct Result {
  typedef kind<A> KA;
  typedef kind<B> KB;
  static const bool any_sign = KA::S || KB::S;
  enum {
    logic_w = larger(int(KA::W) + (KB::S && !KA::S), int(KB::W) + (KA::S && !KB::S)),
    plus_w = logic_w + 1,
    mult_w = int(KA::W) + int(KB::W)
  };
  typedef typename Named<logic_w, any_sign>::type logic;
  typedef typename Named<plus_w, any_sign>::type plus;
  typedef typename Named<plus_w, true>::type minus;
  typedef typename Named<mult_w, any_sign>::type mult;
};

// The operand as a number: no copy where it is one already.
template <int W, bool S>
const ap_int_base<W, S> &number(const ap_int_base<W, S> &value) {
  return value;
}
template <int W, bool S>
ap_int_base<W, false> number(const ap_range_ref<W, S> &value) {
  return ap_int_base<W, false>(value);
}
template <int W, bool S>
ap_int_base<1, false> number(const ap_bit_ref<W, S> &value);
template <class T>
typename std::enable_if<std::is_integral<T>::value, ap_int_base<kind<T>::W, kind<T>::S> >::type number(T value) {
  return ap_int_base<kind<T>::W, kind<T>::S>(value);
}

}  // namespace xh_ap

template <int W_, bool S_>
struct ap_int_base {
  static_assert(W_ >= 1, "an ap_int has one bit at least");
  static_assert(W_ <= (AP_INT_MAX_W + 1023) / 1024 * 1024, "wider than AP_INT_MAX_W: define it before ap_int.h is included");

  enum { width = W_, words = (W_ + 63) / 64, spare = words * 64 - W_ };
  static const bool sign_flag = S_;

  // Lowest word first.  The spare bits of the last word repeat the sign, or are zero.
  uint64_t word[words];

  // No value was given, so none may be relied on: a pattern that is easily told from zero.
  constexpr ap_int_base() : word() {
    for (int i = 0; i < words; i++) word[i] = 0xA5A5A5A5A5A5A5A5u;
    trim();
  }
  template <class T, typename std::enable_if<std::is_integral<T>::value, int>::type = 0>
  constexpr ap_int_base(T value) : word() {
    word[0] = uint64_t(value);
    for (int i = 1; i < words; i++) word[i] = value < T(0) ? ~uint64_t(0) : 0;
    trim();
  }
  template <int W, bool S>
  constexpr ap_int_base(const ap_int_base<W, S> &other) : word() {
    for (int i = 0; i < words; i++) word[i] = other.limb(i);
    trim();
  }
  template <int W, bool S>
  ap_int_base(const ap_range_ref<W, S> &range) {
    for (int i = 0; i < words; i++) word[i] = range.limb(i);
    trim();
  }
  template <int W, bool S>
  ap_int_base(const ap_bit_ref<W, S> &bit) : ap_int_base(bool(bit)) {}
  // A hexadecimal number; digits beyond the width are cut off.  The 0x is wanted, as the vendor's
  // type takes a number that begins with 0b or 0d for one of another radix.
  ap_int_base(const char *text, signed char radix) : word() {
    if (radix != 16) xh_ap::bad_text(text);
    const char *digit = text;
    if (digit[0] != '0' || (digit[1] != 'x' && digit[1] != 'X') || !digit[2]) xh_ap::bad_text(text);
    digit += 2;
    for (; *digit; digit++) {
      const char c = *digit;
      const int value = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (value < 0) xh_ap::bad_text(text);
      for (int i = words - 1; i > 0; i--) word[i] = word[i] << 4 | word[i - 1] >> 60;
      word[0] = word[0] << 4 | uint64_t(value);
    }
    trim();
  }

  // Brings the spare bits in order.
  constexpr void trim() {
    if (spare == 0) return;
    uint64_t &top = word[words - 1];
    const int used = (W_ - 1) % 64 + 1;
    const uint64_t mask = ~uint64_t(0) >> (spare & 63);
    if (S_ && (top >> (used - 1) & 1)) {
      top |= ~mask;
    } else {
      top &= mask;
    }
  }
  constexpr bool negative() const { return S_ && (word[words - 1] >> 63); }
  // The i-th word of the value in two's complement of any length.
  constexpr uint64_t limb(int i) const { return i < words ? word[i] : negative() ? ~uint64_t(0) : 0; }

  // Conversions.  A value of more than 64 bits does not turn into a built-in integer by itself.
  typedef typename std::conditional<S_, long long, unsigned long long>::type BuiltIn;
  operator BuiltIn() const {
    static_assert(W_ <= 64, "a value of more than 64 bits is no built-in integer: say to_uint64()");
    return BuiltIn(word[0]);
  }
  bool to_bool() const { return *this != 0; }
  int to_int() const { return int(word[0]); }
  unsigned to_uint() const { return unsigned(word[0]); }
  long to_long() const { return long(word[0]); }
  unsigned long to_ulong() const { return (unsigned long)(word[0]); }
  long long to_int64() const { return (long long)(word[0]); }
  unsigned long long to_uint64() const { return word[0]; }
  int length() const { return W_; }

  // Bits and ranges.
  bool get_bit(int at) const {
    if (at < 0 || at >= W_) xh_ap::out_of_range("bit", at, W_);
    return word[at / 64] >> (at % 64) & 1;
  }
  void set_bit(int at, bool value) {
    if (at < 0 || at >= W_) xh_ap::out_of_range("bit", at, W_);
    const uint64_t mask = uint64_t(1) << (at % 64);
    word[at / 64] = value ? word[at / 64] | mask : word[at / 64] & ~mask;
    if (S_ && at == W_ - 1) trim();
  }
  bool test(int at) const { return get_bit(at); }
  bool operator[](int at) const { return get_bit(at); }
  ap_bit_ref<W_, S_> operator[](int at) {
    if (at < 0 || at >= W_) xh_ap::out_of_range("bit", at, W_);
    return ap_bit_ref<W_, S_>(*this, at);
  }
  template <int W, bool S>
  bool operator[](const ap_int_base<W, S> &at) const {
    return get_bit(at.to_int());
  }
  template <int W, bool S>
  ap_bit_ref<W_, S_> operator[](const ap_int_base<W, S> &at) {
    return operator[](at.to_int());
  }
  ap_range_ref<W_, S_> range(int high, int low) { return ap_range_ref<W_, S_>(*this, high, low); }
  // Const, and still a reference that could be written, as in the vendor's header.
  ap_range_ref<W_, S_> range(int high, int low) const {
    return ap_range_ref<W_, S_>(const_cast<ap_int_base &>(*this), high, low);
  }
  ap_range_ref<W_, S_> range() { return range(W_ - 1, 0); }
  ap_range_ref<W_, S_> range() const { return range(W_ - 1, 0); }
  ap_range_ref<W_, S_> operator()(int high, int low) { return range(high, low); }
  ap_range_ref<W_, S_> operator()(int high, int low) const { return range(high, low); }

  // Operators that keep the width.
  bool operator!() const {
    for (int i = 0; i < words; i++)
      if (word[i]) return false;
    return true;
  }
  typename xh_ap::Named<W_, S_>::type operator~() const {
    typename xh_ap::Named<W_, S_>::type result(*this);
    for (int i = 0; i < words; i++) result.word[i] = ~word[i];
    result.trim();
    return result;
  }
  ap_int<xh_ap::larger(W_, S_ ? 2 : 1) + 1> operator-() const {
    ap_int<xh_ap::larger(W_, S_ ? 2 : 1) + 1> result(0);
    result -= *this;
    return result;
  }
  void shift_left(unsigned by) {
    const int whole = by < unsigned(W_) ? int(by / 64) : words, part = int(by % 64);
    for (int i = words - 1; i >= 0; i--) {
      const int from = i - whole;
      uint64_t bits = from >= 0 ? word[from] << part : 0;
      if (part && from >= 1) bits |= word[from - 1] >> (64 - part);
      word[i] = bits;
    }
    trim();
  }
  void shift_right(unsigned by) {
    const uint64_t beyond = negative() ? ~uint64_t(0) : 0;
    const int whole = by < unsigned(W_) ? int(by / 64) : words, part = int(by % 64);
    for (int i = 0; i < words; i++) {
      const int from = i + whole;
      uint64_t bits = (from < words ? word[from] : beyond) >> part;
      if (part) bits |= (from + 1 < words ? word[from + 1] : beyond) << (64 - part);
      word[i] = bits;
    }
    trim();
  }
  // A negative distance shifts the other way.
  template <class T, typename std::enable_if<xh_ap::kind<T>::plain, int>::type = 0>
  ap_int_base &operator<<=(const T &by) {
    shift(by, false);
    return *this;
  }
  template <class T, typename std::enable_if<xh_ap::kind<T>::plain, int>::type = 0>
  ap_int_base &operator>>=(const T &by) {
    shift(by, true);
    return *this;
  }

  template <class T, typename std::enable_if<xh_ap::kind<T>::plain, int>::type = 0>
  ap_int_base &operator+=(const T &other) {
    const auto &b = xh_ap::number(other);
    sum(*this, b, 0, 0);
    return *this;
  }
  template <class T, typename std::enable_if<xh_ap::kind<T>::plain, int>::type = 0>
  ap_int_base &operator-=(const T &other) {
    const auto &b = xh_ap::number(other);
    sum(*this, b, ~uint64_t(0), 1);
    return *this;
  }
  template <class T, typename std::enable_if<xh_ap::kind<T>::plain, int>::type = 0>
  ap_int_base &operator&=(const T &other) {
    const auto &b = xh_ap::number(other);
    for (int i = 0; i < words; i++) word[i] &= b.limb(i);
    trim();
    return *this;
  }
  template <class T, typename std::enable_if<xh_ap::kind<T>::plain, int>::type = 0>
  ap_int_base &operator|=(const T &other) {
    const auto &b = xh_ap::number(other);
    for (int i = 0; i < words; i++) word[i] |= b.limb(i);
    trim();
    return *this;
  }
  template <class T, typename std::enable_if<xh_ap::kind<T>::plain, int>::type = 0>
  ap_int_base &operator^=(const T &other) {
    const auto &b = xh_ap::number(other);
    for (int i = 0; i < words; i++) word[i] ^= b.limb(i);
    trim();
    return *this;
  }
  ap_int_base &operator++() { return *this += 1; }
  ap_int_base &operator--() { return *this -= 1; }
  typename xh_ap::Named<W_, S_>::type operator++(int) {
    const ap_int_base before(*this);
    *this += 1;
    return before;
  }
  typename xh_ap::Named<W_, S_>::type operator--(int) {
    const ap_int_base before(*this);
    *this -= 1;
    return before;
  }

  // *this = a + (b ^ flip) + carry: a sum, or with all flipped and a carry a difference.
  template <int WA, bool SA, int WB, bool SB>
  void sum(const ap_int_base<WA, SA> &a, const ap_int_base<WB, SB> &b, uint64_t flip, unsigned carry) {
    for (int i = 0; i < words; i++) {
      const uint64_t x = a.limb(i), y = b.limb(i) ^ flip;
      const uint64_t first = x + y, total = first + carry;
      carry = unsigned(first < x) | unsigned(total < first);
      word[i] = total;
    }
    trim();
  }

private:
  template <class T>
  void shift(const T &distance, bool right) {
    const auto &by = xh_ap::number(distance);
    const bool back = by.negative();
    const unsigned steps = back ? 0u - by.to_uint() : by.to_uint();
    if (right != back) {
      shift_right(steps);
    } else {
      shift_left(steps);
    }
  }
};

// A part of a word, to be read as an unsigned number or to be written.
template <int W_, bool S_>
struct ap_range_ref {
  ap_int_base<W_, S_> &of;
  int high, low;

  ap_range_ref(ap_int_base<W_, S_> &word, int high_bit, int low_bit) : of(word), high(high_bit), low(low_bit) {
    if (high < 0 || high >= W_) xh_ap::out_of_range("a range's upper bit", high, W_);
    if (low < 0 || low > high) xh_ap::out_of_range("a range's lower bit", low, high + 1);
  }
  ap_range_ref(const ap_range_ref &) = default;

  // The i-th word of the number.
  uint64_t limb(int i) const {
    const int at = low + 64 * i;
    if (at > high) return 0;
    const int word = at / 64, shift = at % 64, left = high - at + 1;
    uint64_t bits = of.word[word] >> shift;
    if (shift && word + 1 < ap_int_base<W_, S_>::words) bits |= of.word[word + 1] << (64 - shift);
    return left < 64 ? bits & ~(~uint64_t(0) << left) : bits;
  }

  ap_range_ref &operator=(const ap_range_ref &other) { return set(ap_int_base<W_, false>(other)); }
  template <int W, bool S>
  ap_range_ref &operator=(const ap_range_ref<W, S> &other) {
    return set(ap_int_base<W, false>(other));
  }
  template <class T, typename std::enable_if<xh_ap::kind<T>::plain, int>::type = 0>
  ap_range_ref &operator=(const T &value) {
    return set(xh_ap::number(value));
  }

  operator unsigned long long() const { return limb(0); }
  int to_int() const { return int(limb(0)); }
  unsigned to_uint() const { return unsigned(limb(0)); }
  long long to_int64() const { return (long long)(limb(0)); }
  unsigned long long to_uint64() const { return limb(0); }
  int length() const { return high - low + 1; }
  ap_uint<W_> operator~() const { return ~ap_uint<W_>(*this); }

private:
  template <int W, bool S>
  ap_range_ref &set(const ap_int_base<W, S> &value) {
    for (int at = low, i = 0; at <= high; at += 64, i++) {
      const int word = at / 64, shift = at % 64, left = high - at + 1;
      const uint64_t mask = left < 64 ? ~(~uint64_t(0) << left) : ~uint64_t(0);
      const uint64_t bits = value.limb(i) & mask;
      of.word[word] = (of.word[word] & ~(mask << shift)) | bits << shift;
      if (shift && word + 1 < ap_int_base<W_, S_>::words)
        of.word[word + 1] = (of.word[word + 1] & ~(mask >> (64 - shift))) | bits >> (64 - shift);
    }
    of.trim();
    return *this;
  }
};

// One bit of a word, to be read as a bool or to be written.
template <int W_, bool S_>
struct ap_bit_ref {
  ap_int_base<W_, S_> &of;
  int at;

  ap_bit_ref(ap_int_base<W_, S_> &word, int index) : of(word), at(index) {}
  ap_bit_ref(const ap_bit_ref &) = default;

  operator bool() const { return of.word[at / 64] >> (at % 64) & 1; }
  bool to_bool() const { return *this; }
  bool operator~() const { return !bool(*this); }
  ap_bit_ref &operator=(const ap_bit_ref &other) { return *this = bool(other); }
  // Any number that is not zero sets the bit.
  ap_bit_ref &operator=(bool value) {
    of.set_bit(at, value);
    return *this;
  }
  template <class T, typename std::enable_if<xh_ap::kind<T>::plain && !std::is_same<T, bool>::value, int>::type = 0>
  ap_bit_ref &operator=(const T &value) {
    return *this = !!xh_ap::number(value);
  }
  template <int W, bool S>
  ap_bit_ref &operator=(const ap_bit_ref<W, S> &other) {
    return *this = bool(other);
  }
};

template <int W_>
struct ap_uint : ap_int_base<W_, false> {
  typedef ap_int_base<W_, false> Base;
  constexpr ap_uint() : Base() {}
  template <class T, typename std::enable_if<std::is_integral<T>::value, int>::type = 0>
  constexpr ap_uint(T value) : Base(value) {}
  template <int W, bool S>
  constexpr ap_uint(const ap_int_base<W, S> &other) : Base(other) {}
  template <int W, bool S>
  ap_uint(const ap_range_ref<W, S> &range) : Base(range) {}
  template <int W, bool S>
  ap_uint(const ap_bit_ref<W, S> &bit) : Base(bit) {}
  ap_uint(const char *text, signed char radix) : Base(text, radix) {}
};

template <int W_>
struct ap_int : ap_int_base<W_, true> {
  typedef ap_int_base<W_, true> Base;
  constexpr ap_int() : Base() {}
  template <class T, typename std::enable_if<std::is_integral<T>::value, int>::type = 0>
  constexpr ap_int(T value) : Base(value) {}
  template <int W, bool S>
  constexpr ap_int(const ap_int_base<W, S> &other) : Base(other) {}
  template <int W, bool S>
  ap_int(const ap_range_ref<W, S> &range) : Base(range) {}
  template <int W, bool S>
  ap_int(const ap_bit_ref<W, S> &bit) : Base(bit) {}
  ap_int(const char *text, signed char radix) : Base(text, radix) {}
};

#include "xh_ap_operators.h"

#endif
