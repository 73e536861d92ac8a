// A core of four processes, right in every rule: the tests plant one fault at a time in it.
#ifndef ACCEL_H
#define ACCEL_H

#include "ap_int.h"
#include "hls_stream.h"

void accel_hls(hls::stream<ap_uint<64> > &s_axis, hls::stream<ap_uint<64> > &m_axis);

#endif
