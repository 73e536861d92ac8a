#ifndef ACCEL_STAGES_H
#define ACCEL_STAGES_H

#include "accel.h"

namespace accel_stages {

void in_converter(hls::stream<ap_uint<64> > &source, hls::stream<ap_uint<16> > &target);
void lines(hls::stream<ap_uint<16> > &source, hls::stream<ap_uint<32> > &target);
void matrix(hls::stream<ap_uint<32> > &source, hls::stream<ap_uint<4> > &target);
void out_converter(hls::stream<ap_uint<4> > &source, hls::stream<ap_uint<64> > &target);

}  // namespace accel_stages

#endif
