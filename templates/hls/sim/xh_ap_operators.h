// The operators of ap_uint and ap_int; a part of ap_int.h, which includes it.
#ifndef XH_SIM_AP_OPERATORS_H
#define XH_SIM_AP_OPERATORS_H

namespace xh_ap {

template <int W, bool S>
ap_int_base<1, false> number(const ap_bit_ref<W, S> &value) {
  return ap_int_base<1, false>(bool(value));
}

// Comparisons are those of the vendor's type, also where it is not those of the numbers: of a
// signed and an unsigned number that is as wide or wider (and 32 bits or wider), a negative one
// counts as larger than any other, and equality looks at the bits of the wider one (of the word,
// where both have one width).
template <int WA, bool SA, int WB, bool SB>
bool less(const ap_int_base<WA, SA> &a, const ap_int_base<WB, SB> &b) {
  const bool unsigned_wins = SA != SB && (SA ? WB >= WA : WA >= WB) && (WA >= 32 || WB >= 32);
  if (a.negative() != b.negative()) return a.negative() != unsigned_wins;
  for (int i = larger(int(a.words), int(b.words)) - 1; i >= 0; i--)
    if (a.limb(i) != b.limb(i)) return a.limb(i) < b.limb(i);
  return false;
}

template <int WA, bool SA, int WB, bool SB>
bool same(const ap_int_base<WA, SA> &a, const ap_int_base<WB, SB> &b) {
  const int bits = WA == WB && WA <= 64 ? 64 : larger(larger(WA, WB), 32);
  for (int i = 0; 64 * i < bits; i++) {
    const uint64_t difference = a.limb(i) ^ b.limb(i);
    const int left = bits - 64 * i;
    if (left < 64 ? difference << (64 - left) : difference) return false;
  }
  return true;
}

template <class R, int WA, bool SA, int WB, bool SB>
R product(const ap_int_base<WA, SA> &a, const ap_int_base<WB, SB> &b) {
  __extension__ typedef unsigned __int128 Wide;
  R result(0);
  for (int i = 0; i < R::words; i++) {
    uint64_t carry = 0;
    for (int j = 0; i + j < R::words; j++) {
      const Wide step = Wide(a.limb(i)) * b.limb(j) + result.word[i + j] + carry;
      result.word[i + j] = uint64_t(step);
      carry = uint64_t(step >> 64);
    }
  }
  result.trim();
  return result;
}

}  // namespace xh_ap

template <class A, class B, typename std::enable_if<xh_ap::Takes<A, B>::arithmetic, int>::type = 0>
typename xh_ap::Result<A, B>::plus operator+(const A &a, const B &b) {
  typename xh_ap::Result<A, B>::plus result(0);
  result.sum(xh_ap::number(a), xh_ap::number(b), 0, 0);
  return result;
}

template <class A, class B, typename std::enable_if<xh_ap::Takes<A, B>::arithmetic, int>::type = 0>
typename xh_ap::Result<A, B>::minus operator-(const A &a, const B &b) {
  typename xh_ap::Result<A, B>::minus result(0);
  result.sum(xh_ap::number(a), xh_ap::number(b), ~uint64_t(0), 1);
  return result;
}

template <class A, class B, typename std::enable_if<xh_ap::Takes<A, B>::arithmetic, int>::type = 0>
typename xh_ap::Result<A, B>::mult operator*(const A &a, const B &b) {
  return xh_ap::product<typename xh_ap::Result<A, B>::mult>(xh_ap::number(a), xh_ap::number(b));
}

#define XH_AP_LOGIC(OPERATOR)                                                                    \
  template <class A, class B, typename std::enable_if<xh_ap::Takes<A, B>::logic, int>::type = 0>   \
  typename xh_ap::Result<A, B>::logic operator OPERATOR(const A &a, const B &b) {                \
    const auto &x = xh_ap::number(a);                                                            \
    const auto &y = xh_ap::number(b);                                                            \
    typename xh_ap::Result<A, B>::logic result(0);                                               \
    for (int i = 0; i < result.words; i++) result.word[i] = x.limb(i) OPERATOR y.limb(i);        \
    result.trim();                                                                               \
    return result;                                                                               \
  }
XH_AP_LOGIC(&)
XH_AP_LOGIC(|)
XH_AP_LOGIC(^)
#undef XH_AP_LOGIC

#define XH_AP_COMPARE(OPERATOR, VALUE)                                                           \
  template <class A, class B, typename std::enable_if<xh_ap::Takes<A, B>::compare, int>::type = 0> \
  bool operator OPERATOR(const A &a, const B &b) {                                               \
    const auto &x = xh_ap::number(a);                                                            \
    const auto &y = xh_ap::number(b);                                                            \
    return VALUE;                                                                                \
  }
XH_AP_COMPARE(==, xh_ap::same(x, y))
XH_AP_COMPARE(!=, !xh_ap::same(x, y))
XH_AP_COMPARE(<, xh_ap::less(x, y))
XH_AP_COMPARE(>, xh_ap::less(y, x))
XH_AP_COMPARE(<=, !xh_ap::less(y, x))
XH_AP_COMPARE(>=, !xh_ap::less(x, y))
#undef XH_AP_COMPARE

// Without these a range would turn into a built-in integer of 64 bits by itself.
#define XH_AP_REFUSE(OPERATOR)                                                                     \
  template <class A, class B, typename std::enable_if<xh_ap::Takes<A, B>::refused, int>::type = 0> \
  void operator OPERATOR(const A &a, const B &b) = delete;
XH_AP_REFUSE(+)
XH_AP_REFUSE(-)
XH_AP_REFUSE(*)
XH_AP_REFUSE(==)
XH_AP_REFUSE(!=)
XH_AP_REFUSE(<)
XH_AP_REFUSE(<=)
XH_AP_REFUSE(>)
XH_AP_REFUSE(>=)
#undef XH_AP_REFUSE

// The result of a shift has the width of what is shifted.
template <int W, bool S, class B, typename std::enable_if<xh_ap::kind<B>::plain, int>::type = 0>
typename xh_ap::Named<W, S>::type operator<<(const ap_int_base<W, S> &a, const B &by) {
  typename xh_ap::Named<W, S>::type result(a);
  result <<= by;
  return result;
}

template <int W, bool S, class B, typename std::enable_if<xh_ap::kind<B>::plain, int>::type = 0>
typename xh_ap::Named<W, S>::type operator>>(const ap_int_base<W, S> &a, const B &by) {
  typename xh_ap::Named<W, S>::type result(a);
  result >>= by;
  return result;
}

#endif
