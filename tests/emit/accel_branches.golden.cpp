// The top: streams between the stages, and nothing else.
#include "accel.h"
#include "accel_stages.h"

void accel_hls(hls::stream<ap_uint<64> > &s_axis, hls::stream<ap_uint<64> > &m_axis) {
#pragma HLS INTERFACE mode=ap_ctrl_none port=return
#pragma HLS INTERFACE mode=axis port=s_axis
#pragma HLS INTERFACE mode=axis port=m_axis
#pragma HLS DATAFLOW
  hls::stream<ap_uint<64>, 3> j0_converter_in("j0_converter_in");  // input
#pragma HLS STREAM variable=j0_converter_in depth=3 type=fifo
  hls::stream<ap_uint<64>, 3> j1_converter_in("j1_converter_in");  // input
#pragma HLS STREAM variable=j1_converter_in depth=3 type=fifo
  hls::stream<ap_uint<8>, 4> j0_levels_codes_in("j0_levels_codes_in");  // input
#pragma HLS STREAM variable=j0_levels_codes_in depth=4 type=fifo
  hls::stream<ap_uint<6>, 4> j0_levels_in("j0_levels_in");  // input
#pragma HLS STREAM variable=j0_levels_in depth=4 type=fifo
  hls::stream<ap_uint<1>, 4> l0_converter_in("l0_converter_in");  // act1
#pragma HLS STREAM variable=l0_converter_in depth=4 type=fifo
  hls::stream<ap_uint<3>, 3> l0_window_lines_in("l0_window_lines_in");  // act1
#pragma HLS STREAM variable=l0_window_lines_in depth=3 type=fifo
  hls::stream<ap_uint<27>, 2> l0_window_taps_in("l0_window_taps_in");  // act1
#pragma HLS STREAM variable=l0_window_taps_in depth=2 type=fifo
  hls::stream<ap_uint<3>, 4> l0_mvu_in("l0_mvu_in");  // act1
#pragma HLS STREAM variable=l0_mvu_in depth=4 type=fifo
  hls::stream<ap_uint<7>, 3> j2_multiply_in0("j2_multiply_in0");  // conv2
#pragma HLS STREAM variable=j2_multiply_in0 depth=3 type=fifo
  hls::stream<ap_uint<8>, 4> j1_abs_sum_codes_in("j1_abs_sum_codes_in");  // input
#pragma HLS STREAM variable=j1_abs_sum_codes_in depth=4 type=fifo
  hls::stream<ap_uint<6>, 4> j1_abs_sum_in("j1_abs_sum_in");  // input
#pragma HLS STREAM variable=j1_abs_sum_in depth=4 type=fifo
  hls::stream<ap_uint<8>, 3> j1_pool0_window_lines_in("j1_pool0_window_lines_in");  // k3:magnitudes
#pragma HLS STREAM variable=j1_pool0_window_lines_in depth=3 type=fifo
  hls::stream<ap_uint<72>, 2> j1_pool0_window_taps_in("j1_pool0_window_taps_in");  // k3:magnitudes
#pragma HLS STREAM variable=j1_pool0_window_taps_in depth=2 type=fifo
  hls::stream<ap_uint<8>, 4> j1_pool0_in("j1_pool0_in");  // k3:magnitudes
#pragma HLS STREAM variable=j1_pool0_in depth=4 type=fifo
  hls::stream<ap_uint<11>, 7> j2_multiply_in1("j2_multiply_in1");  // k3
#pragma HLS STREAM variable=j2_multiply_in1 depth=7 type=fifo
  hls::stream<ap_uint<16>, 3> j2_levels_in("j2_levels_in");  // scaled4
#pragma HLS STREAM variable=j2_levels_in depth=3 type=fifo
  hls::stream<ap_uint<2>, 3> j2_fork_in("j2_fork_in");  // act5
#pragma HLS STREAM variable=j2_fork_in depth=3 type=fifo
  hls::stream<ap_uint<2>, 3> l1_converter_in("l1_converter_in");  // act5
#pragma HLS STREAM variable=l1_converter_in depth=3 type=fifo
  hls::stream<ap_uint<2>, 6> j3_concat_in0("j3_concat_in0");  // act5
#pragma HLS STREAM variable=j3_concat_in0 depth=6 type=fifo
  hls::stream<ap_uint<4>, 3> l1_window_in("l1_window_in");  // act5
#pragma HLS STREAM variable=l1_window_in depth=3 type=fifo
  hls::stream<ap_uint<4>, 4> l1_mvu_in("l1_mvu_in");  // act5
#pragma HLS STREAM variable=l1_mvu_in depth=4 type=fifo
  hls::stream<ap_uint<4>, 4> l1_levels_in("l1_levels_in");  // conv6
#pragma HLS STREAM variable=l1_levels_in depth=4 type=fifo
  hls::stream<ap_uint<2>, 4> j3_concat_in1("j3_concat_in1");  // act7
#pragma HLS STREAM variable=j3_concat_in1 depth=4 type=fifo
  hls::stream<ap_uint<2>, 4> j3_values_in("j3_values_in");  // cat8
#pragma HLS STREAM variable=j3_values_in depth=4 type=fifo
  hls::stream<ap_uint<4>, 4> j3_levels_in("j3_levels_in");  // cat8
#pragma HLS STREAM variable=j3_levels_in depth=4 type=fifo
  hls::stream<ap_uint<1>, 4> j3_fork_in("j3_fork_in");  // act9
#pragma HLS STREAM variable=j3_fork_in depth=4 type=fifo
  hls::stream<ap_uint<1>, 4> l2_converter_in("l2_converter_in");  // act9
#pragma HLS STREAM variable=l2_converter_in depth=4 type=fifo
  hls::stream<ap_uint<1>, 45> j4_add_in1("j4_add_in1");  // act9
#pragma HLS STREAM variable=j4_add_in1 depth=45 type=fifo
  hls::stream<ap_uint<2>, 12> l2_window_lines_in("l2_window_lines_in");  // act9
#pragma HLS STREAM variable=l2_window_lines_in depth=12 type=fifo
  hls::stream<ap_uint<18>, 2> l2_window_taps_in("l2_window_taps_in");  // act9
#pragma HLS STREAM variable=l2_window_taps_in depth=2 type=fifo
  hls::stream<ap_uint<2>, 4> l2_mvu_in("l2_mvu_in");  // act9
#pragma HLS STREAM variable=l2_mvu_in depth=4 type=fifo
  hls::stream<ap_uint<6>, 3> l2_requant_in("l2_requant_in");  // conv10
#pragma HLS STREAM variable=l2_requant_in depth=3 type=fifo
  hls::stream<ap_uint<6>, 3> j4_add_in0("j4_add_in0");  // grid11
#pragma HLS STREAM variable=j4_add_in0 depth=3 type=fifo
  hls::stream<ap_uint<7>, 3> j4_pool0_window_lines_in("j4_pool0_window_lines_in");  // add12
#pragma HLS STREAM variable=j4_pool0_window_lines_in depth=3 type=fifo
  hls::stream<ap_uint<28>, 6> j4_pool0_window_taps_in("j4_pool0_window_taps_in");  // add12
#pragma HLS STREAM variable=j4_pool0_window_taps_in depth=6 type=fifo
  hls::stream<ap_uint<7>, 4> j4_pool0_in("j4_pool0_in");  // add12
#pragma HLS STREAM variable=j4_pool0_in depth=4 type=fifo
  hls::stream<ap_uint<7>, 3> j5_requant_in("j5_requant_in");  // pool13
#pragma HLS STREAM variable=j5_requant_in depth=3 type=fifo
  hls::stream<ap_uint<5>, 3> j6_levels_in("j6_levels_in");  // grid14
#pragma HLS STREAM variable=j6_levels_in depth=3 type=fifo
  hls::stream<ap_uint<1>, 3> l3_converter_in("l3_converter_in");  // act15
#pragma HLS STREAM variable=l3_converter_in depth=3 type=fifo
  hls::stream<ap_uint<4>, 3> l3_window_in("l3_window_in");  // act15
#pragma HLS STREAM variable=l3_window_in depth=3 type=fifo
  hls::stream<ap_uint<4>, 4> l3_mvu_in("l3_mvu_in");  // act15
#pragma HLS STREAM variable=l3_mvu_in depth=4 type=fifo
  hls::stream<ap_uint<32>, 3> output_converter_in("output_converter_in");  // fc16
#pragma HLS STREAM variable=output_converter_in depth=3 type=fifo

  accel_stages::input_fork(s_axis, j0_converter_in, j1_converter_in);
  accel_stages::j0_converter(j0_converter_in, j0_levels_codes_in);
  accel_stages::j0_levels_codes(j0_levels_codes_in, j0_levels_in);
  accel_stages::j0_levels(j0_levels_in, l0_converter_in);
  accel_stages::l0_converter(l0_converter_in, l0_window_lines_in);
  accel_stages::l0_window_lines(l0_window_lines_in, l0_window_taps_in);
  accel_stages::l0_window_taps(l0_window_taps_in, l0_mvu_in);
  accel_stages::l0_mvu(l0_mvu_in, j2_multiply_in0);
  accel_stages::j1_converter(j1_converter_in, j1_abs_sum_codes_in);
  accel_stages::j1_abs_sum_codes(j1_abs_sum_codes_in, j1_abs_sum_in);
  accel_stages::j1_abs_sum(j1_abs_sum_in, j1_pool0_window_lines_in);
  accel_stages::j1_pool0_window_lines(j1_pool0_window_lines_in, j1_pool0_window_taps_in);
  accel_stages::j1_pool0_window_taps(j1_pool0_window_taps_in, j1_pool0_in);
  accel_stages::j1_pool0(j1_pool0_in, j2_multiply_in1);
  accel_stages::j2_multiply(j2_multiply_in0, j2_multiply_in1, j2_levels_in);
  accel_stages::j2_levels(j2_levels_in, j2_fork_in);
  accel_stages::j2_fork(j2_fork_in, l1_converter_in, j3_concat_in0);
  accel_stages::l1_converter(l1_converter_in, l1_window_in);
  accel_stages::l1_window(l1_window_in, l1_mvu_in);
  accel_stages::l1_mvu(l1_mvu_in, l1_levels_in);
  accel_stages::l1_levels(l1_levels_in, j3_concat_in1);
  accel_stages::j3_concat(j3_concat_in0, j3_concat_in1, j3_values_in);
  accel_stages::j3_values(j3_values_in, j3_levels_in);
  accel_stages::j3_levels(j3_levels_in, j3_fork_in);
  accel_stages::j3_fork(j3_fork_in, l2_converter_in, j4_add_in1);
  accel_stages::l2_converter(l2_converter_in, l2_window_lines_in);
  accel_stages::l2_window_lines(l2_window_lines_in, l2_window_taps_in);
  accel_stages::l2_window_taps(l2_window_taps_in, l2_mvu_in);
  accel_stages::l2_mvu(l2_mvu_in, l2_requant_in);
  accel_stages::l2_requant(l2_requant_in, j4_add_in0);
  accel_stages::j4_add(j4_add_in0, j4_add_in1, j4_pool0_window_lines_in);
  accel_stages::j4_pool0_window_lines(j4_pool0_window_lines_in, j4_pool0_window_taps_in);
  accel_stages::j4_pool0_window_taps(j4_pool0_window_taps_in, j4_pool0_in);
  accel_stages::j4_pool0(j4_pool0_in, j5_requant_in);
  accel_stages::j5_requant(j5_requant_in, j6_levels_in);
  accel_stages::j6_levels(j6_levels_in, l3_converter_in);
  accel_stages::l3_converter(l3_converter_in, l3_window_in);
  accel_stages::l3_window(l3_window_in, l3_mvu_in);
  accel_stages::l3_mvu(l3_mvu_in, output_converter_in);
  accel_stages::output_converter(output_converter_in, m_axis);
}
