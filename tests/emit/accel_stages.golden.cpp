// The stages of accel_hls: one flat loop nest each, a turn a clock, frame after frame.
//
// What is declared before a loop is back at its first value when the loop ends, as `rewind`
// starts the next frame without passing the declarations again. Where the slots of delay lines
// stand does not matter: what the last frame left in them is in no window.
//
// A pipeline that stalls when no word comes would keep the last results of a frame until the first
// word of the next one: `style=flp` lets what is in a pipeline leave.
#include "accel_stages.h"
#include "accel_weights.h"
#include "xh_popcount.h"

namespace accel_stages {

// ---- layer0 ----------------------------------------------------------------

// words of 64 bits to words of 16; 16 clocks a frame.
void l0_converter(hls::stream<ap_uint<64> > &source, hls::stream<ap_uint<16> > &target) {
  ap_uint<64> held = 0;
  words:
  for (int word = 0; word < 4; word++) {
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

// codes of 3 bits out of lanes of 8; 16 clocks a frame.
void l0_window_codes(hls::stream<ap_uint<16> > &source, hls::stream<ap_uint<6> > &target) {
  words:
  for (int word = 0; word < 16; word++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<16> bytes = source.read();
    ap_uint<6> codes = 0;
    lanes:
    for (int lane = 0; lane < 2; lane++) {
      #pragma HLS UNROLL
      codes.range(lane * 3 + 2, lane * 3) = bytes.range(lane * 8 + 2, lane * 8);
    }
    target.write(codes);
  }
}

// all taps of a 3x3 window, map 4 x 4 to 4 x 4; 21 clocks a frame.
void l0_window_lines(hls::stream<ap_uint<6> > &source, hls::stream<ap_uint<54> > &target) {
  ap_uint<6> line[2][4];  // delays from one row of taps to the next
  #pragma HLS ARRAY_PARTITION variable=line type=complete dim=0
  ap_uint<2> line_slot = 0;
  ap_uint<6> column[3][2][1];  // delays from tap to tap in a row
  #pragma HLS ARRAY_PARTITION variable=column type=complete dim=0
  // the window that leaves next: its place in the output, its first tap's place on the map
  ap_uint<5> due = 5;
  ap_uint<2> out_y = 0;
  ap_uint<2> out_x = 0;
  ap_int<4> top = -1;
  ap_int<4> left = -1;
  positions:
  for (int position = 0; position < 21; position++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const bool on_map = position < 16;
    ap_uint<6> here = 0;
    if (on_map) here = source.read();

    ap_uint<6> tap[3][3];
    #pragma HLS ARRAY_PARTITION variable=tap type=complete dim=0
    tap[2][2] = here;
    delayed_rows:
    for (int ky = 0; ky < 2; ky++) {
      #pragma HLS UNROLL
      tap[ky][2] = line[ky][line_slot];
    }
    delayed_columns:
    for (int ky = 0; ky < 3; ky++) {
      #pragma HLS UNROLL
      for (int kx = 0; kx < 2; kx++) {
        #pragma HLS UNROLL
        tap[ky][kx] = column[ky][kx][0];
      }
    }
    delay_rows:
    for (int ky = 0; ky < 2; ky++) {
      #pragma HLS UNROLL
      line[ky][line_slot] = tap[ky + 1][2];
    }
    if (line_slot == 3) {
      line_slot = 0;
    } else {
      line_slot = line_slot + 1;
    }
    delay_columns:
    for (int ky = 0; ky < 3; ky++) {
      #pragma HLS UNROLL
      for (int kx = 0; kx < 2; kx++) {
        #pragma HLS UNROLL
        column[ky][kx][0] = tap[ky][kx + 1];
      }
    }

    const bool leaves = position == due;
    if (leaves) {
      ap_uint<54> window = 0;
    taps:
      for (int ky = 0; ky < 3; ky++) {
        #pragma HLS UNROLL
        for (int kx = 0; kx < 3; kx++) {
          #pragma HLS UNROLL
          ap_uint<6> value = tap[ky][kx];
          const int y = top + ky;
          const int x = left + kx;
          const bool inside = y >= 0 && y < 4 && x >= 0 && x < 4;
          if (!inside) value = 0;
          window.range((ky * 3 + kx) * 6 + 5, (ky * 3 + kx) * 6) = value;
        }
      }
      target.write(window);
    }

    if (leaves) {
      const bool row_ends = out_x == 3;
      const bool map_ends = row_ends && out_y == 3;
      if (map_ends) {
        due = 5;
        out_y = 0;
        out_x = 0;
        top = -1;
        left = -1;
      } else if (row_ends) {
        due = due + 1;
        out_y = out_y + 1;
        out_x = 0;
        top = top + 1;
        left = -1;
      } else {
        due = due + 1;
        out_x = out_x + 1;
        left = left + 1;
      }
    }
  }
}

// a window in 9 parts, 2 times; 288 clocks a frame.
void l0_window_taps(hls::stream<ap_uint<54> > &source, hls::stream<ap_uint<6> > &target) {
  ap_uint<54> window[1];  // of one pixel
  #pragma HLS ARRAY_PARTITION variable=window type=complete dim=0
  pixels:
  for (int pixel = 0; pixel < 16; pixel++) {
    repeats:
    for (int repeat = 0; repeat < 2; repeat++) {
      groups:
      for (int group = 0; group < 9; group++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        ap_uint<54> taps = window[0];
        if (repeat == 0 && group == 0) {
          taps = source.read();
          window[0] = taps;
        }
        ap_uint<6> chosen = 0;
        choice:
        for (int i = 0; i < 9; i++) {
          #pragma HLS UNROLL
          if (group == i) chosen = taps.range(i * 6 + 5, i * 6);
        }
        target.write(chosen);
      }
    }
  }
}

// PE 2 x SIMD 2, 9 folds, 2 channel groups, thresholds; 288 clocks a frame.
void l0_mvu(hls::stream<ap_uint<6> > &source, hls::stream<ap_uint<2> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l0_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l0_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l0_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l0_mvu_starts type=rom_1p impl=lutram
  ap_int<8> accumulator[2];
  #pragma HLS ARRAY_PARTITION variable=accumulator type=complete dim=0
  ap_uint<5> address = 0;  // of the weights
  columns:
  for (int x = 0; x < 16; x++) {
    groups:
    for (int group = 0; group < 2; group++) {
      folds:
      for (int fold = 0; fold < 9; fold++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        const ap_uint<6> activations = source.read();
        ap_uint<2> result = 0;
        processing_elements:
        for (int pe = 0; pe < 2; pe++) {
          #pragma HLS UNROLL
          const ap_uint<2> weights = l0_mvu_weights[pe][address];
          ap_int<8> sum = accumulator[pe];
          if (fold == 0) sum = l0_mvu_starts[pe][group];
          sum += xh_code_sum<2, 3, false, 6>(activations, weights);
          accumulator[pe] = sum;
          result[pe] = sum >= 0;
        }
        if (fold == 8) target.write(result);
        if (address == 17) {
          address = 0;
        } else {
          address = address + 1;
        }
      }
    }
  }
}

// all taps of a 2x2 window, map 4 x 4 to 2 x 2; 32 clocks a frame.
void l0_pool0_window_lines(hls::stream<ap_uint<2> > &source, hls::stream<ap_uint<8> > &target) {
  ap_uint<2> line[1][8];  // delays from one row of taps to the next
  #pragma HLS ARRAY_PARTITION variable=line type=complete dim=0
  ap_uint<3> line_slot = 0;
  ap_uint<2> column[2][1][2];  // delays from tap to tap in a row
  #pragma HLS ARRAY_PARTITION variable=column type=complete dim=0
  ap_uint<1> column_slot = 0;
  // the window that leaves next: its place in the output, its first tap's place on the map
  ap_uint<5> due = 5;
  ap_uint<1> out_y = 0;
  ap_uint<1> out_x = 0;
  positions:
  for (int position = 0; position < 16; position++) {
    words:
    for (int word = 0; word < 2; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<2> here = source.read();

      ap_uint<2> tap[2][2];
      #pragma HLS ARRAY_PARTITION variable=tap type=complete dim=0
      tap[1][1] = here;
      delayed_rows:
      for (int ky = 0; ky < 1; ky++) {
        #pragma HLS UNROLL
        tap[ky][1] = line[ky][line_slot];
      }
      delayed_columns:
      for (int ky = 0; ky < 2; ky++) {
        #pragma HLS UNROLL
        for (int kx = 0; kx < 1; kx++) {
          #pragma HLS UNROLL
          tap[ky][kx] = column[ky][kx][column_slot];
        }
      }
      delay_rows:
      for (int ky = 0; ky < 1; ky++) {
        #pragma HLS UNROLL
        line[ky][line_slot] = tap[ky + 1][1];
      }
      if (line_slot == 7) {
        line_slot = 0;
      } else {
        line_slot = line_slot + 1;
      }
      delay_columns:
      for (int ky = 0; ky < 2; ky++) {
        #pragma HLS UNROLL
        for (int kx = 0; kx < 1; kx++) {
          #pragma HLS UNROLL
          column[ky][kx][column_slot] = tap[ky][kx + 1];
        }
      }
      if (column_slot == 1) {
        column_slot = 0;
      } else {
        column_slot = column_slot + 1;
      }

      const bool leaves = position == due;
      if (leaves) {
        ap_uint<8> window = 0;
      taps:
        for (int ky = 0; ky < 2; ky++) {
          #pragma HLS UNROLL
          for (int kx = 0; kx < 2; kx++) {
            #pragma HLS UNROLL
            ap_uint<2> value = tap[ky][kx];
            window.range((ky * 2 + kx) * 2 + 1, (ky * 2 + kx) * 2) = value;
          }
        }
        target.write(window);
      }

      if (leaves && word == 1) {
        const bool row_ends = out_x == 1;
        const bool map_ends = row_ends && out_y == 1;
        if (map_ends) {
          due = 5;
          out_y = 0;
          out_x = 0;
        } else if (row_ends) {
          due = due + 6;
          out_y = out_y + 1;
          out_x = 0;
        } else {
          due = due + 2;
          out_x = out_x + 1;
        }
      }
    }
  }
}

// a window in 2 parts; 16 clocks a frame.
void l0_pool0_window_taps(hls::stream<ap_uint<8> > &source, hls::stream<ap_uint<4> > &target) {
  ap_uint<8> window = 0;
  pixels:
  for (int pixel = 0; pixel < 4; pixel++) {
    words:
    for (int word = 0; word < 2; word++) {
      groups:
      for (int group = 0; group < 2; group++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        if (group == 0) {
          window = source.read();
        } else {
          window = window >> 4;
        }
        target.write(window.range(3, 0));
      }
    }
  }
}

// 2 of 4 taps a clock, 2 lanes; 16 clocks a frame.
void l0_pool0(hls::stream<ap_uint<4> > &source, hls::stream<ap_uint<2> > &target) {
  ap_uint<2> partial = 0;
  pixels:
  for (int pixel = 0; pixel < 4; pixel++) {
    words:
    for (int word = 0; word < 2; word++) {
      groups:
      for (int group = 0; group < 2; group++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        const ap_uint<4> taps = source.read();
        const ap_uint<2> invert = l0_pool0_invert[word];
        ap_uint<2> any = 0;
        if (group > 0) any = partial;
        window:
        for (int tap = 0; tap < 2; tap++) {
          #pragma HLS UNROLL
          any |= ap_uint<2>(taps.range(tap * 2 + 1, tap * 2)) ^ invert;
        }
        partial = any;
        if (group == 1) target.write(any ^ invert);
      }
    }
  }
}

// ---- layer2 ----------------------------------------------------------------

// words of 2 bits to words of 3; 8 clocks a frame.
void l1_converter(hls::stream<ap_uint<2> > &source, hls::stream<ap_uint<3> > &target) {
  ap_uint<4> held = 0;  // bits of the packet that came in and did not leave yet
  ap_uint<3> level = 0;  // their number
  packets:
  for (int packet = 0; packet < 4; packet++) {
    words:
    for (int word = 0; word < 2; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const bool last = word == 1;
      const bool whole = level >= 1;
      const ap_uint<4> bits = held | (ap_uint<4>(source.read()) << (level));
      ap_uint<3> word_out = bits.range(2, 0);
      if (whole || last) target.write(word_out);
      if (last) {
        held = 0;
        level = 0;
      } else if (whole) {
        held = bits >> 3;
        level = level - 1;
      } else {
        held = bits;
        level = level + 2;
      }
    }
  }
}

// blocks of 4 words, 3 times; 12 clocks a frame.
void l1_window(hls::stream<ap_uint<3> > &source, hls::stream<ap_uint<3> > &target) {
  ap_uint<3> block[4];
  #pragma HLS ARRAY_PARTITION variable=block type=complete dim=0
  repeats:
  for (int repeat = 0; repeat < 3; repeat++) {
    words:
    for (int word = 0; word < 4; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      ap_uint<3> value = block[word];
      if (repeat == 0) {
        value = source.read();
        block[word] = value;
      }
      target.write(value);
    }
  }
}

// PE 2 x SIMD 3, 4 folds, 3 channel groups, thresholds; 12 clocks a frame.
void l1_mvu(hls::stream<ap_uint<3> > &source, hls::stream<ap_uint<2> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l1_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l1_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l1_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l1_mvu_starts type=rom_1p impl=lutram
  ap_int<4> accumulator[2];
  #pragma HLS ARRAY_PARTITION variable=accumulator type=complete dim=0
  ap_uint<4> address = 0;  // of the weights
  groups:
  for (int group = 0; group < 3; group++) {
    folds:
    for (int fold = 0; fold < 4; fold++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<3> activations = source.read();
      ap_uint<2> result = 0;
      processing_elements:
      for (int pe = 0; pe < 2; pe++) {
        #pragma HLS UNROLL
        const ap_uint<3> weights = l1_mvu_weights[pe][address];
        ap_int<4> sum = accumulator[pe];
        if (fold == 0) sum = l1_mvu_starts[pe][group];
        sum += xh_popcount<3, 3>(~(activations ^ weights));
        accumulator[pe] = sum;
        result[pe] = sum >= 0;
      }
      if (fold == 3) target.write(result);
      if (address == 11) {
        address = 0;
      } else {
        address = address + 1;
      }
    }
  }
}

// ---- layer3 ----------------------------------------------------------------

// words of 2 bits to words of 5; 3 clocks a frame.
void l2_converter(hls::stream<ap_uint<2> > &source, hls::stream<ap_uint<5> > &target) {
  ap_uint<6> held = 0;  // bits of the packet that came in and did not leave yet
  ap_uint<3> level = 0;  // their number
  words:
  for (int word = 0; word < 3; word++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const bool last = word == 2;
    const bool whole = level >= 3;
    const ap_uint<6> bits = held | (ap_uint<6>(source.read()) << (level));
    ap_uint<5> word_out = bits.range(4, 0);
    if (whole || last) target.write(word_out);
    if (last) {
      held = 0;
      level = 0;
    } else if (whole) {
      held = bits >> 5;
      level = level - 3;
    } else {
      held = bits;
      level = level + 2;
    }
  }
}

// blocks of 1 words, 2 times; 2 clocks a frame.
void l2_window(hls::stream<ap_uint<5> > &source, hls::stream<ap_uint<5> > &target) {
  ap_uint<5> block[1];
  #pragma HLS ARRAY_PARTITION variable=block type=complete dim=0
  repeats:
  for (int repeat = 0; repeat < 2; repeat++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    ap_uint<5> value = block[0];
    if (repeat == 0) {
      value = source.read();
      block[0] = value;
    }
    target.write(value);
  }
}

// PE 1 x SIMD 5, 1 folds, 2 channel groups, sums; 2 clocks a frame.
void l2_mvu(hls::stream<ap_uint<5> > &source, hls::stream<ap_uint<32> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l2_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l2_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l2_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l2_mvu_starts type=rom_1p impl=lutram
  ap_uint<1> address = 0;  // of the weights
  groups:
  for (int group = 0; group < 2; group++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<5> activations = source.read();
    ap_uint<32> result = 0;
    processing_elements:
    for (int pe = 0; pe < 1; pe++) {
      #pragma HLS UNROLL
      const ap_uint<5> weights = l2_mvu_weights[pe][address];
      ap_int<4> sum = l2_mvu_starts[pe][group];
      sum += xh_popcount<5, 5>(~(activations ^ weights)) << 1;
      result.range(pe * 32 + 31, pe * 32) = ap_int<32>(sum);
    }
    target.write(result);
    if (address == 1) {
      address = 0;
    } else {
      address = address + 1;
    }
  }
}

// words of 32 bits to words of 64; 2 clocks a frame.
void output_converter(hls::stream<ap_uint<32> > &source, hls::stream<ap_uint<64> > &target) {
  ap_uint<64> held = 0;
  parts:
  for (int part = 0; part < 2; part++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    ap_uint<64> bits = held >> 32;
    bits.range(63, 32) = source.read();
    if (part == 1) target.write(bits);
    held = bits;
  }
}

}  // namespace accel_stages
