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

// words of 64 bits to words of 16; 36 clocks a frame.
void l0_converter(hls::stream<ap_uint<64> > &source, hls::stream<ap_uint<16> > &target) {
  ap_uint<64> held = 0;
  words:
  for (int word = 0; word < 9; word++) {
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

// codes of 4 bits out of lanes of 8; 36 clocks a frame.
void l0_window_codes(hls::stream<ap_uint<16> > &source, hls::stream<ap_uint<8> > &target) {
  words:
  for (int word = 0; word < 36; word++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<16> bytes = source.read();
    ap_uint<8> codes = 0;
    lanes:
    for (int lane = 0; lane < 2; lane++) {
      #pragma HLS UNROLL
      codes.range(lane * 4 + 3, lane * 4) = bytes.range(lane * 8 + 3, lane * 8);
    }
    target.write(codes);
  }
}

// all taps of a 3x3 window, map 6 x 6 to 4 x 4; 36 clocks a frame.
void l0_window_lines(hls::stream<ap_uint<8> > &source, hls::stream<ap_uint<72> > &target) {
  ap_uint<8> line[2][6];  // delays from one row of taps to the next
  #pragma HLS ARRAY_PARTITION variable=line type=complete dim=0
  ap_uint<3> line_slot = 0;
  ap_uint<8> column[3][2][1];  // delays from tap to tap in a row
  #pragma HLS ARRAY_PARTITION variable=column type=complete dim=0
  // the window that leaves next: its place in the output, its first tap's place on the map
  ap_uint<6> due = 14;
  ap_uint<2> out_y = 0;
  ap_uint<2> out_x = 0;
  positions:
  for (int position = 0; position < 36; position++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<8> here = source.read();

    ap_uint<8> tap[3][3];
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
    if (line_slot == 5) {
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
      ap_uint<72> window = 0;
    taps:
      for (int ky = 0; ky < 3; ky++) {
        #pragma HLS UNROLL
        for (int kx = 0; kx < 3; kx++) {
          #pragma HLS UNROLL
          ap_uint<8> value = tap[ky][kx];
          window.range((ky * 3 + kx) * 8 + 7, (ky * 3 + kx) * 8) = value;
        }
      }
      target.write(window);
    }

    if (leaves) {
      const bool row_ends = out_x == 3;
      const bool map_ends = row_ends && out_y == 3;
      if (map_ends) {
        due = 14;
        out_y = 0;
        out_x = 0;
      } else if (row_ends) {
        due = due + 3;
        out_y = out_y + 1;
        out_x = 0;
      } else {
        due = due + 1;
        out_x = out_x + 1;
      }
    }
  }
}

// a window in 3 parts, 2 times; 96 clocks a frame.
void l0_window_taps(hls::stream<ap_uint<72> > &source, hls::stream<ap_uint<24> > &target) {
  ap_uint<72> window[1];  // of one pixel
  #pragma HLS ARRAY_PARTITION variable=window type=complete dim=0
  pixels:
  for (int pixel = 0; pixel < 16; pixel++) {
    repeats:
    for (int repeat = 0; repeat < 2; repeat++) {
      groups:
      for (int group = 0; group < 3; group++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        ap_uint<72> taps = window[0];
        if (repeat == 0 && group == 0) {
          taps = source.read();
          window[0] = taps;
        }
        ap_uint<24> chosen = 0;
        choice:
        for (int i = 0; i < 3; i++) {
          #pragma HLS UNROLL
          if (group == i) chosen = taps.range(i * 24 + 23, i * 24);
        }
        target.write(chosen);
      }
    }
  }
}

// PE 2 x SIMD 6, 3 folds, 2 channel groups, sums; 96 clocks a frame.
void l0_mvu(hls::stream<ap_uint<24> > &source, hls::stream<ap_uint<18> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l0_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l0_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l0_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l0_mvu_starts type=rom_1p impl=lutram
  ap_int<9> accumulator[2];
  #pragma HLS ARRAY_PARTITION variable=accumulator type=complete dim=0
  ap_uint<3> address = 0;  // of the weights
  columns:
  for (int x = 0; x < 16; x++) {
    groups:
    for (int group = 0; group < 2; group++) {
      folds:
      for (int fold = 0; fold < 3; fold++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        const ap_uint<24> activations = source.read();
        ap_uint<18> result = 0;
        processing_elements:
        for (int pe = 0; pe < 2; pe++) {
          #pragma HLS UNROLL
          const ap_uint<6> weights = l0_mvu_weights[pe][address];
          ap_int<9> sum = accumulator[pe];
          if (fold == 0) sum = l0_mvu_starts[pe][group];
          sum += xh_code_sum<6, 4, false, 8>(activations, weights);
          accumulator[pe] = sum;
          result.range(pe * 9 + 8, pe * 9) = ap_int<9>(sum);
        }
        if (fold == 2) target.write(result);
        if (address == 5) {
          address = 0;
        } else {
          address = address + 1;
        }
      }
    }
  }
}

// how many of 3 levels a sum has passed, 2 lanes; 32 clocks a frame.
void l0_levels(hls::stream<ap_uint<18> > &source, hls::stream<ap_uint<4> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l0_levels_table type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l0_levels_table type=rom_1p impl=lutram
  rounds:
  for (int round = 0; round < 16; round++) {
    words:
    for (int word = 0; word < 2; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<18> sums = source.read();
      ap_uint<4> result = 0;
      lanes:
      for (int lane = 0; lane < 2; lane++) {
        #pragma HLS UNROLL
        const ap_uint<28> table = l0_levels_table[lane][word];
        const ap_int<9> sum = sums.range(lane * 9 + 8, lane * 9);
        const bool flip = table[27];
        ap_uint<2> code = 0;
      levels:
        for (int level = 0; level < 3; level++) {
          #pragma HLS UNROLL
          const ap_int<9> least = table.range(level * 9 + 8, level * 9);
          code += ap_uint<1>((sum >= least) != flip);
        }
        result.range(lane * 2 + 1, lane * 2) = code;
      }
      target.write(result);
    }
  }
}

// all taps of a 2x2 window, map 4 x 4 to 2 x 2; 32 clocks a frame.
void l0_pool0_window_lines(hls::stream<ap_uint<4> > &source, hls::stream<ap_uint<16> > &target) {
  ap_uint<4> line[1][8];  // delays from one row of taps to the next
  #pragma HLS ARRAY_PARTITION variable=line type=complete dim=0
  ap_uint<3> line_slot = 0;
  ap_uint<4> column[2][1][2];  // delays from tap to tap in a row
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
      const ap_uint<4> here = source.read();

      ap_uint<4> tap[2][2];
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
        ap_uint<16> window = 0;
      taps:
        for (int ky = 0; ky < 2; ky++) {
          #pragma HLS UNROLL
          for (int kx = 0; kx < 2; kx++) {
            #pragma HLS UNROLL
            ap_uint<4> value = tap[ky][kx];
            window.range((ky * 2 + kx) * 4 + 3, (ky * 2 + kx) * 4) = value;
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
void l0_pool0_window_taps(hls::stream<ap_uint<16> > &source, hls::stream<ap_uint<8> > &target) {
  ap_uint<16> window = 0;
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
          window = window >> 8;
        }
        target.write(window.range(7, 0));
      }
    }
  }
}

// 2 of 4 taps a clock, 2 lanes; 16 clocks a frame.
void l0_pool0(hls::stream<ap_uint<8> > &source, hls::stream<ap_uint<4> > &target) {
  ap_uint<2> partial[2];
  #pragma HLS ARRAY_PARTITION variable=partial type=complete dim=0
  pixels:
  for (int pixel = 0; pixel < 4; pixel++) {
    words:
    for (int word = 0; word < 2; word++) {
      groups:
      for (int group = 0; group < 2; group++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        const ap_uint<8> taps = source.read();
        const ap_uint<2> invert = l0_pool0_invert[word];
        ap_uint<4> result = 0;
        lanes:
        for (int lane = 0; lane < 2; lane++) {
          #pragma HLS UNROLL
          // the least of codes is the complement of the greatest complement
          ap_uint<2> flip = 0;
          if (invert[lane]) flip = 3;
          ap_uint<2> most = 0;
        window:
          for (int tap = 0; tap < 2; tap++) {
            #pragma HLS UNROLL
            const ap_uint<2> code = ap_uint<2>(taps.range((tap * 2 + lane) * 2 + 1, (tap * 2 + lane) * 2)) ^ flip;
            if (code > most) most = code;
          }
          ap_uint<2> before = partial[lane];
          if (group == 0) before = 0;
          if (before > most) most = before;
          partial[lane] = most;
          result.range(lane * 2 + 1, lane * 2) = most ^ flip;
        }
        if (group == 1) target.write(result);
      }
    }
  }
}

// ---- layer2 ----------------------------------------------------------------

// words of 4 bits to words of 6; 8 clocks a frame.
void l1_converter(hls::stream<ap_uint<4> > &source, hls::stream<ap_uint<6> > &target) {
  ap_uint<8> held = 0;  // bits of the packet that came in and did not leave yet
  ap_uint<3> level = 0;  // their number, in steps of 2
  packets:
  for (int packet = 0; packet < 4; packet++) {
    words:
    for (int word = 0; word < 2; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const bool last = word == 1;
      const bool whole = level >= 1;
      const ap_uint<8> bits = held | (ap_uint<8>(source.read()) << (level * 2));
      ap_uint<6> word_out = bits.range(5, 0);
      if (whole || last) target.write(word_out);
      if (last) {
        held = 0;
        level = 0;
      } else if (whole) {
        held = bits >> 6;
        level = level - 1;
      } else {
        held = bits;
        level = level + 2;
      }
    }
  }
}

// blocks of 1 words, 4 times; 16 clocks a frame.
void l1_window(hls::stream<ap_uint<6> > &source, hls::stream<ap_uint<6> > &target) {
  ap_uint<6> block[1];
  #pragma HLS ARRAY_PARTITION variable=block type=complete dim=0
  blocks:
  for (int number = 0; number < 4; number++) {
    repeats:
    for (int repeat = 0; repeat < 4; repeat++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      ap_uint<6> value = block[0];
      if (repeat == 0) {
        value = source.read();
        block[0] = value;
      }
      target.write(value);
    }
  }
}

// planes of 3 codes: > 0, > 2; 16 clocks a frame.
void l1_plane(hls::stream<ap_uint<6> > &source, hls::stream<ap_uint<3> > &target) {
  rounds:
  for (int round = 0; round < 8; round++) {
    terms:
    for (int term = 0; term < 2; term++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<6> codes = source.read();
      const ap_uint<2> plane = l1_plane_planes[term];
      ap_uint<3> result = 0;
      lanes:
      for (int lane = 0; lane < 3; lane++) {
        #pragma HLS UNROLL
        const ap_uint<2> code = codes.range(lane * 2 + 1, lane * 2);
        result[lane] = code > plane;
      }
      target.write(result);
    }
  }
}

// PE 1 x SIMD 3, 1 folds, 2 channel groups x 2 terms, sums; 16 clocks a frame.
void l1_mvu(hls::stream<ap_uint<3> > &source, hls::stream<ap_uint<3> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l1_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l1_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l1_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l1_mvu_starts type=rom_1p impl=lutram
  ap_uint<2> address = 0;  // of the weights
  columns:
  for (int x = 0; x < 4; x++) {
    groups:
    for (int group = 0; group < 4; group++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<3> activations = source.read();
      ap_uint<3> result = 0;
      processing_elements:
      for (int pe = 0; pe < 1; pe++) {
        #pragma HLS UNROLL
        const ap_uint<3> weights = l1_mvu_weights[pe][address];
        ap_int<3> sum = l1_mvu_starts[pe][group];
        sum += xh_popcount<3, 4>(~(activations ^ weights)) << 1;
        result.range(pe * 3 + 2, pe * 3) = ap_int<3>(sum);
      }
      target.write(result);
      if (address == 3) {
        address = 0;
      } else {
        address = address + 1;
      }
    }
  }
}

// weighted sum of terms: 3, -1; 1 lanes; 16 clocks a frame.
void l1_terms(hls::stream<ap_uint<3> > &source, hls::stream<ap_uint<5> > &target) {
  ap_int<5> total[1];
  #pragma HLS ARRAY_PARTITION variable=total type=complete dim=0
  words:
  for (int word = 0; word < 8; word++) {
    terms:
    for (int term = 0; term < 2; term++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<3> sums = source.read();
      ap_uint<5> result = 0;
      lanes:
      for (int lane = 0; lane < 1; lane++) {
        #pragma HLS UNROLL
        const ap_int<3> sum = sums.range(lane * 3 + 2, lane * 3);
        const ap_int<5> weighted = sum * l1_terms_coefficients[term];
        ap_int<5> added = total[lane];
        if (term == 0) added = 0;
        added += weighted;
        total[lane] = added;
        result.range(lane * 5 + 4, lane * 5) = added;
      }
      if (term == 1) target.write(result);
    }
  }
}

// (sum * multiplier + addend) >> 12 within 0..31, 1 lanes; 8 clocks a frame.
void l1_requant(hls::stream<ap_uint<5> > &source, hls::stream<ap_uint<5> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l1_requant_table type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l1_requant_table type=rom_1p impl=lutram
  rounds:
  for (int round = 0; round < 4; round++) {
    words:
    for (int word = 0; word < 2; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<5> sums = source.read();
      ap_uint<5> result = 0;
      lanes:
      for (int lane = 0; lane < 1; lane++) {
        #pragma HLS UNROLL
        const ap_uint<32> factors = l1_requant_table[lane][word];
        const ap_int<5> sum = sums.range(lane * 5 + 4, lane * 5);
        const ap_int<15> multiplier = factors.range(14, 0);
        const ap_int<17> addend = factors.range(31, 15);
        const ap_int<21> scaled = sum * multiplier + addend;
        ap_int<21> code = scaled >> 12;
        if (code < 0) code = 0;
        if (code > 31) code = 31;
        result.range(lane * 5 + 4, lane * 5) = code;
      }
      target.write(result);
    }
  }
}

// all taps of a 2x2 window, map 2 x 2 to 1 x 1; 8 clocks a frame.
void l1_pool0_window_lines(hls::stream<ap_uint<5> > &source, hls::stream<ap_uint<20> > &target) {
  ap_uint<5> line[1][4];  // delays from one row of taps to the next
  #pragma HLS ARRAY_PARTITION variable=line type=complete dim=0
  ap_uint<2> line_slot = 0;
  ap_uint<5> column[2][1][2];  // delays from tap to tap in a row
  #pragma HLS ARRAY_PARTITION variable=column type=complete dim=0
  ap_uint<1> column_slot = 0;
  // the window that leaves next: its place in the output, its first tap's place on the map
  ap_uint<4> due = 3;
  ap_uint<1> out_y = 0;
  ap_uint<1> out_x = 0;
  positions:
  for (int position = 0; position < 4; position++) {
    words:
    for (int word = 0; word < 2; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<5> here = source.read();

      ap_uint<5> tap[2][2];
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
      if (line_slot == 3) {
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
        ap_uint<20> window = 0;
      taps:
        for (int ky = 0; ky < 2; ky++) {
          #pragma HLS UNROLL
          for (int kx = 0; kx < 2; kx++) {
            #pragma HLS UNROLL
            ap_uint<5> value = tap[ky][kx];
            window.range((ky * 2 + kx) * 5 + 4, (ky * 2 + kx) * 5) = value;
          }
        }
        target.write(window);
      }

      if (leaves && word == 1) {
        const bool row_ends = out_x == 0;
        const bool map_ends = row_ends && out_y == 0;
        if (map_ends) {
          due = 3;
          out_y = 0;
          out_x = 0;
        } else if (row_ends) {
          due = due + 4;
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

// a window in 4 parts; 8 clocks a frame.
void l1_pool0_window_taps(hls::stream<ap_uint<20> > &source, hls::stream<ap_uint<5> > &target) {
  ap_uint<20> window = 0;
  words:
  for (int word = 0; word < 2; word++) {
    groups:
    for (int group = 0; group < 4; group++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      if (group == 0) {
        window = source.read();
      } else {
        window = window >> 5;
      }
      target.write(window.range(4, 0));
    }
  }
}

// sum of 1 of 4 taps a clock, 1 lanes; 8 clocks a frame.
void l1_pool0(hls::stream<ap_uint<5> > &source, hls::stream<ap_uint<8> > &target) {
  ap_int<8> partial[1];
  #pragma HLS ARRAY_PARTITION variable=partial type=complete dim=0
  words:
  for (int word = 0; word < 2; word++) {
    groups:
    for (int group = 0; group < 4; group++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<5> taps = source.read();
      ap_uint<8> result = 0;
      lanes:
      for (int lane = 0; lane < 1; lane++) {
        #pragma HLS UNROLL
        ap_int<8> sum = 0;
      window:
        for (int tap = 0; tap < 1; tap++) {
          #pragma HLS UNROLL
          const ap_uint<5> value = taps.range((tap * 1 + lane) * 5 + 4, (tap * 1 + lane) * 5);
          sum += value;
        }
        ap_int<8> before = partial[lane];
        if (group == 0) before = 0;
        sum += before;
        partial[lane] = sum;
        result.range(lane * 8 + 7, lane * 8) = sum;
      }
      if (group == 3) target.write(result);
    }
  }
}

// how many of 3 levels a sum has passed, 1 lanes; 2 clocks a frame.
void l1_pool0_levels(hls::stream<ap_uint<8> > &source, hls::stream<ap_uint<2> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l1_pool0_levels_table type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l1_pool0_levels_table type=rom_1p impl=lutram
  words:
  for (int word = 0; word < 2; word++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<8> sums = source.read();
    ap_uint<2> result = 0;
    lanes:
    for (int lane = 0; lane < 1; lane++) {
      #pragma HLS UNROLL
      const ap_uint<25> table = l1_pool0_levels_table[lane][word];
      const ap_int<8> sum = sums.range(lane * 8 + 7, lane * 8);
      const bool flip = table[24];
      ap_uint<2> code = 0;
    levels:
      for (int level = 0; level < 3; level++) {
        #pragma HLS UNROLL
        const ap_int<8> least = table.range(level * 8 + 7, level * 8);
        code += ap_uint<1>((sum >= least) != flip);
      }
      result.range(lane * 2 + 1, lane * 2) = code;
    }
    target.write(result);
  }
}

// ---- layer4 ----------------------------------------------------------------

// blocks of 2 words, 2 times; 4 clocks a frame.
void l2_window(hls::stream<ap_uint<2> > &source, hls::stream<ap_uint<2> > &target) {
  ap_uint<2> block[2];
  #pragma HLS ARRAY_PARTITION variable=block type=complete dim=0
  repeats:
  for (int repeat = 0; repeat < 2; repeat++) {
    words:
    for (int word = 0; word < 2; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      ap_uint<2> value = block[word];
      if (repeat == 0) {
        value = source.read();
        block[word] = value;
      }
      target.write(value);
    }
  }
}

// PE 2 x SIMD 1, 2 folds, 1 channel groups x 2 terms, sums; 4 clocks a frame.
void l2_mvu(hls::stream<ap_uint<2> > &source, hls::stream<ap_uint<8> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l2_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l2_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l2_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l2_mvu_starts type=rom_1p impl=lutram
  ap_int<4> accumulator[2];
  #pragma HLS ARRAY_PARTITION variable=accumulator type=complete dim=0
  ap_uint<2> address = 0;  // of the weights
  groups:
  for (int group = 0; group < 2; group++) {
    folds:
    for (int fold = 0; fold < 2; fold++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<2> activations = source.read();
      ap_uint<8> result = 0;
      processing_elements:
      for (int pe = 0; pe < 2; pe++) {
        #pragma HLS UNROLL
        const ap_uint<1> weights = l2_mvu_weights[pe][address];
        ap_int<4> sum = accumulator[pe];
        if (fold == 0) sum = l2_mvu_starts[pe][group];
        sum += xh_code_sum<1, 2, false, 4>(activations, weights);
        accumulator[pe] = sum;
        result.range(pe * 4 + 3, pe * 4) = ap_int<4>(sum);
      }
      if (fold == 1) target.write(result);
      if (address == 3) {
        address = 0;
      } else {
        address = address + 1;
      }
    }
  }
}

// weighted sum of terms: 1, 2; 2 lanes; 2 clocks a frame.
void l2_terms(hls::stream<ap_uint<8> > &source, hls::stream<ap_uint<64> > &target) {
  ap_int<32> total[2];
  #pragma HLS ARRAY_PARTITION variable=total type=complete dim=0
  terms:
  for (int term = 0; term < 2; term++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<8> sums = source.read();
    ap_uint<64> result = 0;
    lanes:
    for (int lane = 0; lane < 2; lane++) {
      #pragma HLS UNROLL
      const ap_int<4> sum = sums.range(lane * 4 + 3, lane * 4);
      const ap_int<32> weighted = ap_int<32>(sum) << term;
      ap_int<32> added = total[lane];
      if (term == 0) added = 0;
      added += weighted;
      total[lane] = added;
      result.range(lane * 32 + 31, lane * 32) = added;
    }
    if (term == 1) target.write(result);
  }
}

}  // namespace accel_stages
