#ifndef XH_POPCOUNT_H
#define XH_POPCOUNT_H

#include "ap_int.h"

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

#endif
