// Sums over the lanes of a word where weights are integers in two's complement.
//
// A product stands in a variable of its own, which is bound to DSPs or to LUTs; the additions are the
// loops of xh_popcount.h again.
#ifndef XH_PRODUCTS_H
#define XH_PRODUCTS_H

#include "ap_int.h"

// Code number `lane` of BITS bits, with a sign bit more.
template <int SIMD, int BITS, bool SIGNED>
ap_int<BITS + 1> xh_lane_code(const ap_uint<SIMD * BITS> &codes, int lane) {
#pragma HLS INLINE
  const ap_uint<BITS> bits = codes.range(lane * BITS + BITS - 1, lane * BITS);
  ap_int<BITS + 1> code = bits;
  if (SIGNED && bits[BITS - 1]) code[BITS] = 1;
  return code;
}

// The sum of SIMD codes of BITS bits, each times its weight of WEIGHT_BITS bits, a DSP a product.
template <int SIMD, int BITS, bool SIGNED, int WEIGHT_BITS, int SUM_BITS>
ap_int<SUM_BITS> xh_dsp_sum(const ap_uint<SIMD * BITS> &codes, const ap_uint<SIMD * WEIGHT_BITS> &weights) {
#pragma HLS INLINE
  ap_int<SUM_BITS> sum = 0;
lanes:
  for (int lane = 0; lane < SIMD; lane++) {
#pragma HLS UNROLL
    const ap_int<BITS + 1> code = xh_lane_code<SIMD, BITS, SIGNED>(codes, lane);
    const ap_int<WEIGHT_BITS> weight = weights.range(lane * WEIGHT_BITS + WEIGHT_BITS - 1, lane * WEIGHT_BITS);
    const ap_int<BITS + 1 + WEIGHT_BITS> product = code * weight;
#pragma HLS BIND_OP variable=product op=mul impl=dsp
    sum += product;
  }
  return sum;
}

// The same in LUTs, where codes or weights have few bits.
template <int SIMD, int BITS, bool SIGNED, int WEIGHT_BITS, int SUM_BITS>
ap_int<SUM_BITS> xh_lut_sum(const ap_uint<SIMD * BITS> &codes, const ap_uint<SIMD * WEIGHT_BITS> &weights) {
#pragma HLS INLINE
  ap_int<SUM_BITS> sum = 0;
lanes:
  for (int lane = 0; lane < SIMD; lane++) {
#pragma HLS UNROLL
    const ap_int<BITS + 1> code = xh_lane_code<SIMD, BITS, SIGNED>(codes, lane);
    const ap_int<WEIGHT_BITS> weight = weights.range(lane * WEIGHT_BITS + WEIGHT_BITS - 1, lane * WEIGHT_BITS);
    const ap_int<BITS + 1 + WEIGHT_BITS> product = code * weight;
#pragma HLS BIND_OP variable=product op=mul impl=fabric
    sum += product;
  }
  return sum;
}

// The sum of SIMD weights of WEIGHT_BITS bits, each added where its sign is one and subtracted where
// it is zero.
template <int SIMD, int WEIGHT_BITS, int SUM_BITS>
ap_int<SUM_BITS> xh_sign_sum(const ap_uint<SIMD> &signs, const ap_uint<SIMD * WEIGHT_BITS> &weights) {
#pragma HLS INLINE
  ap_int<SUM_BITS> sum = 0;
lanes:
  for (int lane = 0; lane < SIMD; lane++) {
#pragma HLS UNROLL
    const ap_int<WEIGHT_BITS> given = weights.range(lane * WEIGHT_BITS + WEIGHT_BITS - 1, lane * WEIGHT_BITS);
    const ap_int<WEIGHT_BITS + 1> weight = given;
    const ap_int<WEIGHT_BITS + 1> negative = 0 - weight;
    sum += signs[lane] ? weight : negative;
  }
  return sum;
}

#endif
