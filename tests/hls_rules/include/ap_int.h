// The documented surface of ap_int and ap_uint (UG1399, "C++ Arbitrary Precision Integer Types"),
// declared only: the checker reads sources against it, nothing is ever linked.  What is not here
// does not parse.
#ifndef RULES_AP_INT_H
#define RULES_AP_INT_H

#ifndef AP_INT_MAX_W
#define AP_INT_MAX_W 1024
#endif

namespace xh_rules {
enum { widest = AP_INT_MAX_W };
}

template <class T> struct xh_native;
#define XH_IS_NATIVE(T) \
  template <> struct xh_native<T> { typedef T type; };
XH_IS_NATIVE(bool) XH_IS_NATIVE(char) XH_IS_NATIVE(signed char) XH_IS_NATIVE(unsigned char) XH_IS_NATIVE(short)
XH_IS_NATIVE(unsigned short) XH_IS_NATIVE(int) XH_IS_NATIVE(unsigned) XH_IS_NATIVE(long)
XH_IS_NATIVE(unsigned long) XH_IS_NATIVE(long long) XH_IS_NATIVE(unsigned long long)

template <int W, bool S> struct ap_int_base;

template <int W, bool S> struct ap_range_ref {
  operator ap_int_base<W, false>() const;
  operator unsigned long long() const;
  template <int W2, bool S2> ap_range_ref &operator=(const ap_int_base<W2, S2> &value);
  ap_range_ref &operator=(const ap_range_ref &value);
  template <int W2, bool S2> ap_range_ref &operator=(const ap_range_ref<W2, S2> &value);
  ap_range_ref &operator=(unsigned long long value);
  int to_int() const;
  unsigned to_uint() const;
  bool and_reduce() const;
  bool or_reduce() const;
  bool xor_reduce() const;
};

template <int W, bool S> struct ap_bit_ref {
  operator bool() const;
  bool to_bool() const;
  ap_bit_ref &operator=(unsigned long long value);
  ap_bit_ref &operator=(const ap_bit_ref &value);
  template <int W2, bool S2> ap_bit_ref &operator=(const ap_bit_ref<W2, S2> &value);
  template <int W2, bool S2> ap_bit_ref &operator=(const ap_int_base<W2, S2> &value);
};

template <int W, bool S> struct ap_int_base {
  static const int width = W;
  ap_int_base();
  ap_int_base(bool value);
  ap_int_base(char value);
  ap_int_base(signed char value);
  ap_int_base(unsigned char value);
  ap_int_base(short value);
  ap_int_base(unsigned short value);
  ap_int_base(int value);
  ap_int_base(unsigned value);
  ap_int_base(long value);
  ap_int_base(unsigned long value);
  ap_int_base(long long value);
  ap_int_base(unsigned long long value);
  ap_int_base(const char *text);
  ap_int_base(const char *text, signed char radix);
  template <int W2, bool S2> ap_int_base(const ap_int_base<W2, S2> &value);
  template <int W2, bool S2> ap_int_base(const ap_range_ref<W2, S2> &value);
  template <int W2, bool S2> ap_int_base(const ap_bit_ref<W2, S2> &value);

  operator unsigned long long() const;
  int to_int() const;
  unsigned to_uint() const;
  long to_long() const;
  unsigned long to_ulong() const;
  long long to_int64() const;
  unsigned long long to_uint64() const;
  bool to_bool() const;
  int length() const;

  bool and_reduce() const;
  bool or_reduce() const;
  bool xor_reduce() const;
  bool nand_reduce() const;
  bool nor_reduce() const;
  bool xnor_reduce() const;
  bool is_zero() const;
  bool sign() const;
  void reverse();
  bool test(int place) const;
  void set(int place);
  void clear(int place);
  void set_bit(int place, bool value);
  bool get_bit(int place) const;

  template <class I> ap_bit_ref<W, S> operator[](const I &place);
  template <class I> bool operator[](const I &place) const;
  template <class H, class L> ap_range_ref<W, S> range(const H &high, const L &low);
  template <class H, class L> ap_range_ref<W, S> range(const H &high, const L &low) const;
  ap_range_ref<W, S> range() const;
  template <class H, class L> ap_range_ref<W, S> operator()(const H &high, const L &low);
  template <class H, class L> ap_range_ref<W, S> operator()(const H &high, const L &low) const;
  template <int W2, bool S2> ap_int_base<W + W2, false> concat(const ap_int_base<W2, S2> &low) const;

  ap_int_base operator++(int);
  ap_int_base operator--(int);
  ap_int_base &operator++();
  ap_int_base &operator--();
  ap_int_base<W + 1, true> operator-() const;
  ap_int_base operator+() const;
  ap_int_base operator~() const;
  bool operator!() const;
#define XH_ASSIGN(OP) \
  template <int W2, bool S2> ap_int_base &operator OP(const ap_int_base<W2, S2> &value); \
  template <int W2, bool S2> ap_int_base &operator OP(const ap_range_ref<W2, S2> &value); \
  template <class T, class = typename xh_native<T>::type> ap_int_base &operator OP(T value);
  XH_ASSIGN(+=) XH_ASSIGN(-=) XH_ASSIGN(*=) XH_ASSIGN(/=) XH_ASSIGN(%=)
  XH_ASSIGN(&=) XH_ASSIGN(|=) XH_ASSIGN(^=) XH_ASSIGN(<<=) XH_ASSIGN(>>=)
#undef XH_ASSIGN
};

#define XH_SAME ap_int_base<W, S>
#define XH_WIDER(A, B) ((A) > (B) ? (A) : (B))
#define XH_NATIVE(OP, RESULT) \
  template <int W, bool S, class T, class = typename xh_native<T>::type> \
  RESULT operator OP(const ap_int_base<W, S> &a, T b); \
  template <class T, int W, bool S, class = typename xh_native<T>::type> \
  RESULT operator OP(T a, const ap_int_base<W, S> &b); \
  template <int W, bool S, class T, class = typename xh_native<T>::type> \
  RESULT operator OP(const ap_range_ref<W, S> &a, T b); \
  template <class T, int W, bool S, class = typename xh_native<T>::type> \
  RESULT operator OP(T a, const ap_range_ref<W, S> &b);
#define XH_BINARY(OP, BITS) \
  template <int W, bool S, int W2, bool S2> \
  ap_int_base<(BITS), (S || S2)> operator OP(const ap_int_base<W, S> &a, const ap_int_base<W2, S2> &b); \
  template <int W, bool S, int W2, bool S2> \
  ap_int_base<(BITS), (S || S2)> operator OP(const ap_int_base<W, S> &a, const ap_range_ref<W2, S2> &b); \
  template <int W, bool S, int W2, bool S2> \
  ap_int_base<(BITS), (S || S2)> operator OP(const ap_range_ref<W, S> &a, const ap_int_base<W2, S2> &b); \
  template <int W, bool S, int W2, bool S2> \
  ap_int_base<(BITS), (S || S2)> operator OP(const ap_range_ref<W, S> &a, const ap_range_ref<W2, S2> &b); \
  XH_NATIVE(OP, XH_SAME)
#define XH_COMPARE(OP) \
  template <int W, bool S, int W2, bool S2> bool operator OP(const ap_int_base<W, S> &a, const ap_int_base<W2, S2> &b); \
  template <int W, bool S, int W2, bool S2> bool operator OP(const ap_int_base<W, S> &a, const ap_range_ref<W2, S2> &b); \
  template <int W, bool S, int W2, bool S2> bool operator OP(const ap_range_ref<W, S> &a, const ap_int_base<W2, S2> &b); \
  template <int W, bool S, int W2, bool S2> bool operator OP(const ap_range_ref<W, S> &a, const ap_range_ref<W2, S2> &b); \
  XH_NATIVE(OP, bool)
XH_BINARY(+, XH_WIDER(W, W2) + 2)
XH_BINARY(-, XH_WIDER(W, W2) + 2)
XH_BINARY(*, W + W2)
XH_BINARY(/, W + 1)
XH_BINARY(%, XH_WIDER(W, W2))
XH_BINARY(&, XH_WIDER(W, W2))
XH_BINARY(|, XH_WIDER(W, W2))
XH_BINARY(^, XH_WIDER(W, W2))
XH_BINARY(<<, W)
XH_BINARY(>>, W)
XH_COMPARE(==)
XH_COMPARE(!=)
XH_COMPARE(<)
XH_COMPARE(<=)
XH_COMPARE(>)
XH_COMPARE(>=)
template <int W, bool S, int W2, bool S2>
ap_int_base<W + W2, false> operator,(const ap_int_base<W, S> &high, const ap_int_base<W2, S2> &low);

template <int W> struct ap_int : ap_int_base<W, true> {
  using ap_int_base<W, true>::ap_int_base;
  ap_int();
  template <int W2, bool S2> ap_int(const ap_int_base<W2, S2> &value);
  template <int W2, bool S2> ap_int(const ap_range_ref<W2, S2> &value);
  template <int W2, bool S2> ap_int(const ap_bit_ref<W2, S2> &value);
};

template <int W> struct ap_uint : ap_int_base<W, false> {
  using ap_int_base<W, false>::ap_int_base;
  ap_uint();
  template <int W2, bool S2> ap_uint(const ap_int_base<W2, S2> &value);
  template <int W2, bool S2> ap_uint(const ap_range_ref<W2, S2> &value);
  template <int W2, bool S2> ap_uint(const ap_bit_ref<W2, S2> &value);
};

#endif
