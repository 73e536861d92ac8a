// The top: streams between the stages, and nothing else.
#include "accel.h"
#include "accel_stages.h"

void accel_hls(hls::stream<ap_uint<64> > &s_axis, hls::stream<ap_uint<64> > &m_axis) {
#pragma HLS INTERFACE mode=ap_ctrl_none port=return
#pragma HLS INTERFACE mode=axis port=s_axis
#pragma HLS INTERFACE mode=axis port=m_axis
#pragma HLS DATAFLOW
  hls::stream<ap_uint<16>, 4> l0_window_codes_in("l0_window_codes_in");  // input
#pragma HLS STREAM variable=l0_window_codes_in depth=4 type=fifo
  hls::stream<ap_uint<6>, 6> l0_window_lines_in("l0_window_lines_in");  // input
#pragma HLS STREAM variable=l0_window_lines_in depth=6 type=fifo
  hls::stream<ap_uint<54>, 2> l0_window_taps_in("l0_window_taps_in");  // input
#pragma HLS STREAM variable=l0_window_taps_in depth=2 type=fifo
  hls::stream<ap_uint<6>, 4> l0_mvu_in("l0_mvu_in");  // input
#pragma HLS STREAM variable=l0_mvu_in depth=4 type=fifo
  hls::stream<ap_uint<2>, 3> l0_pool0_window_lines_in("l0_pool0_window_lines_in");  // sign0
#pragma HLS STREAM variable=l0_pool0_window_lines_in depth=3 type=fifo
  hls::stream<ap_uint<8>, 3> l0_pool0_window_taps_in("l0_pool0_window_taps_in");  // sign0
#pragma HLS STREAM variable=l0_pool0_window_taps_in depth=3 type=fifo
  hls::stream<ap_uint<4>, 4> l0_pool0_in("l0_pool0_in");  // sign0
#pragma HLS STREAM variable=l0_pool0_in depth=4 type=fifo
  hls::stream<ap_uint<2>, 3> l1_converter_in("l1_converter_in");  // pool1
#pragma HLS STREAM variable=l1_converter_in depth=3 type=fifo
  hls::stream<ap_uint<3>, 3> l1_window_in("l1_window_in");  // pool1
#pragma HLS STREAM variable=l1_window_in depth=3 type=fifo
  hls::stream<ap_uint<3>, 4> l1_mvu_in("l1_mvu_in");  // pool1
#pragma HLS STREAM variable=l1_mvu_in depth=4 type=fifo
  hls::stream<ap_uint<2>, 3> l2_converter_in("l2_converter_in");  // sign2
#pragma HLS STREAM variable=l2_converter_in depth=3 type=fifo
  hls::stream<ap_uint<5>, 3> l2_window_in("l2_window_in");  // sign2
#pragma HLS STREAM variable=l2_window_in depth=3 type=fifo
  hls::stream<ap_uint<5>, 4> l2_mvu_in("l2_mvu_in");  // sign2
#pragma HLS STREAM variable=l2_mvu_in depth=4 type=fifo
  hls::stream<ap_uint<32>, 4> output_converter_in("output_converter_in");  // layer3
#pragma HLS STREAM variable=output_converter_in depth=4 type=fifo

  accel_stages::l0_converter(s_axis, l0_window_codes_in);
  accel_stages::l0_window_codes(l0_window_codes_in, l0_window_lines_in);
  accel_stages::l0_window_lines(l0_window_lines_in, l0_window_taps_in);
  accel_stages::l0_window_taps(l0_window_taps_in, l0_mvu_in);
  accel_stages::l0_mvu(l0_mvu_in, l0_pool0_window_lines_in);
  accel_stages::l0_pool0_window_lines(l0_pool0_window_lines_in, l0_pool0_window_taps_in);
  accel_stages::l0_pool0_window_taps(l0_pool0_window_taps_in, l0_pool0_in);
  accel_stages::l0_pool0(l0_pool0_in, l1_converter_in);
  accel_stages::l1_converter(l1_converter_in, l1_window_in);
  accel_stages::l1_window(l1_window_in, l1_mvu_in);
  accel_stages::l1_mvu(l1_mvu_in, l2_converter_in);
  accel_stages::l2_converter(l2_converter_in, l2_window_in);
  accel_stages::l2_window(l2_window_in, l2_mvu_in);
  accel_stages::l2_mvu(l2_mvu_in, output_converter_in);
  accel_stages::output_converter(output_converter_in, m_axis);
}
