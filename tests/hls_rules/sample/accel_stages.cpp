#include "accel_stages.h"
#include "accel_weights.h"
#include "xh_popcount.h"

namespace accel_stages {

// 32 beats of 64 bits to 128 words of 16.
void in_converter(hls::stream<ap_uint<64> > &source, hls::stream<ap_uint<16> > &target) {
  ap_uint<64> held = 0;
words:
  for (int word = 0; word < 32; word++) {
  parts:
    for (int part = 0; part < 4; part++) {
#pragma HLS PIPELINE II=1 rewind style=flp
#pragma HLS LOOP_FLATTEN
      ap_uint<64> bits = held;
      if (part == 0) bits = source.read();
      target.write(bits.range(15, 0));
      held = bits >> 16;
    }
  }
}

// Two words one above the other, of rows of 16.
void lines(hls::stream<ap_uint<16> > &source, hls::stream<ap_uint<32> > &target) {
  ap_uint<16> line[1][16];
#pragma HLS ARRAY_PARTITION variable=line type=complete dim=1
#pragma HLS BIND_STORAGE variable=line type=ram_2p impl=lutram
#pragma HLS DEPENDENCE variable=line type=inter direction=RAW distance=16 dependent=true
  ap_uint<16> column[3];
#pragma HLS ARRAY_PARTITION variable=column type=complete dim=0
  ap_uint<4> slot = 0;
  ap_uint<8> due = 16;
positions:
  for (int position = 0; position < 128; position++) {
#pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<16> here = source.read();
    const ap_uint<16> above = line[0][slot];
    line[0][slot] = here;
    if (slot == 15) {
      slot = 0;
    } else {
      slot = slot + 1;
    }
  shift:
    for (int k = 0; k < 2; k++) {
#pragma HLS UNROLL
      column[k] = column[k + 1];
    }
    column[2] = here;

    const bool leaves = position == due;
    if (leaves) {
      ap_uint<32> window = 0;
      window.range(15, 0) = above;
      window.range(31, 16) = column[2];
      target.write(window);
    }
    if (position == 127) {
      due = 16;
    } else if (leaves) {
      due = due + 1;
    }
  }
}

// PE 4 x SIMD 32, two folds.
void matrix(hls::stream<ap_uint<32> > &source, hls::stream<ap_uint<4> > &target) {
#pragma HLS ARRAY_PARTITION variable=matrix_weights type=complete dim=1
#pragma HLS BIND_STORAGE variable=matrix_weights type=rom_1p impl=lutram
#pragma HLS ARRAY_PARTITION variable=matrix_starts type=complete dim=1
  ap_int<8> accumulator[4];
#pragma HLS ARRAY_PARTITION variable=accumulator type=complete dim=0
  ap_uint<1> address = 0;
pixels:
  for (int pixel = 0; pixel < 56; pixel++) {
  folds:
    for (int fold = 0; fold < 2; fold++) {
#pragma HLS PIPELINE II=1 rewind style=flp
#pragma HLS LOOP_FLATTEN
      const ap_uint<32> activations = source.read();
      ap_uint<4> result = 0;
    processing_elements:
      for (int pe = 0; pe < 4; pe++) {
#pragma HLS UNROLL
        const ap_uint<32> weights = matrix_weights[pe][address];
        ap_int<8> sum = accumulator[pe];
        if (fold == 0) sum = matrix_starts[pe][0];
        sum += xh_popcount<32, 7>(~(activations ^ weights));
        accumulator[pe] = sum;
        result[pe] = sum >= 0;
      }
      if (fold == 1) target.write(result);
      if (address == 1) {
        address = 0;
      } else {
        address = address + 1;
      }
    }
  }
}

// 56 words of 4 bits to 4 beats of 64, the last one half full.
void out_converter(hls::stream<ap_uint<4> > &source, hls::stream<ap_uint<64> > &target) {
  ap_uint<64> held = 0;
  ap_uint<5> level = 0;
words:
  for (int word = 0; word < 56; word++) {
#pragma HLS PIPELINE II=1 rewind style=flp
    const bool last = word == 55;
    const bool whole = level >= 15;
    const ap_uint<64> bits = held | (ap_uint<64>(source.read()) << (level * 4));
    if (whole || last) target.write(bits);
    if (whole || last) {
      held = 0;
      level = 0;
    } else {
      held = bits;
      level = level + 1;
    }
  }
}

}  // namespace accel_stages
