// Sums over the lanes of a word: agreements of signs, and codes added or subtracted.
//
// Loops of additions on local variables, unrolled, a term a turn and none on a condition: a form that
// the tool is expected to balance into adder trees.
#ifndef XH_POPCOUNT_H
#define XH_POPCOUNT_H

#include "ap_int.h"

// The number of ones among SIMD bits, as a signed number of SUM_BITS bits.
template <int SIMD, int SUM_BITS>
ap_int<SUM_BITS> xh_popcount(const ap_uint<SIMD> &agree) {
#pragma HLS INLINE
  ap_int<SUM_BITS> ones = 0;
lanes:
  for (int lane = 0; lane < SIMD; lane++) {
#pragma HLS UNROLL
    ones += ap_uint<1>(agree[lane]);
  }
  return ones;
}

// The sum of SIMD codes of BITS bits, each added where its weight bit is one and subtracted where
// it is zero.
template <int SIMD, int BITS, bool SIGNED, int SUM_BITS>
ap_int<SUM_BITS> xh_code_sum(const ap_uint<SIMD * BITS> &codes, const ap_uint<SIMD> &weights) {
#pragma HLS INLINE
  ap_int<SUM_BITS> sum = 0;
lanes:
  for (int lane = 0; lane < SIMD; lane++) {
#pragma HLS UNROLL
    const ap_uint<BITS> bits = codes.range(lane * BITS + BITS - 1, lane * BITS);
    ap_int<BITS + 1> code = bits;
    if (SIGNED && bits[BITS - 1]) code[BITS] = 1;
    const ap_int<BITS + 1> negative = 0 - code;
    sum += weights[lane] ? code : negative;
  }
  return sum;
}

#endif
