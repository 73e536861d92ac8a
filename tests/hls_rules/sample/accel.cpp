#include "accel.h"
#include "accel_stages.h"

void accel_hls(hls::stream<ap_uint<64> > &s_axis, hls::stream<ap_uint<64> > &m_axis) {
#pragma HLS INTERFACE mode=ap_ctrl_none port=return
#pragma HLS INTERFACE mode=axis port=s_axis
#pragma HLS INTERFACE mode=axis port=m_axis
#pragma HLS DATAFLOW
  hls::stream<ap_uint<16>, 2> lines_in("lines_in");
#pragma HLS STREAM variable=lines_in depth=2 type=fifo
  hls::stream<ap_uint<32>, 20> matrix_in("matrix_in");
#pragma HLS STREAM variable=matrix_in depth=20 type=fifo
  hls::stream<ap_uint<4>, 2> out_in("out_in");
#pragma HLS STREAM variable=out_in depth=2 type=fifo

  accel_stages::in_converter(s_axis, lines_in);
  accel_stages::lines(lines_in, matrix_in);
  accel_stages::matrix(matrix_in, out_in);
  accel_stages::out_converter(out_in, m_axis);
}
