// each word to 2 readers; 6 clocks a frame.
void input_fork(hls::stream<ap_uint<64> > &source, hls::stream<ap_uint<64> > &target0, hls::stream<ap_uint<64> > &target1) {
  words:
  for (int word = 0; word < 6; word++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<64> value = source.read();
    target0.write(value);
    target1.write(value);
  }
}

// the sum of a pixel's magnitudes, 3 words of 1; 48 clocks a frame.
void j1_abs_sum(hls::stream<ap_uint<6> > &source, hls::stream<ap_uint<8> > &target) {
  ap_int<8> partial = 0;
  pixels:
  for (int pixel = 0; pixel < 16; pixel++) {
    words:
    for (int word = 0; word < 3; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<6> values = source.read();
      ap_int<7> sum = 0;
      lanes:
      for (int lane = 0; lane < 1; lane++) {
        #pragma HLS UNROLL
        const ap_int<6> value = values.range(lane * 6 + 5, lane * 6);
        ap_int<7> magnitude = value;
        if (value < 0) magnitude = -value;
        sum += magnitude;
      }
      ap_int<8> total = partial;
      if (word == 0) total = 0;
      total += sum;
      partial = total;
      if (word == 2) target.write(total);
    }
  }
}

// sum of 1 of 9 taps a clock, 1 lanes; 144 clocks a frame.
void j1_pool0(hls::stream<ap_uint<8> > &source, hls::stream<ap_uint<11> > &target) {
  ap_int<11> partial[1];
  #pragma HLS ARRAY_PARTITION variable=partial type=complete dim=0
  words:
  for (int word = 0; word < 16; word++) {
    groups:
    for (int group = 0; group < 9; group++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<8> taps = source.read();
      ap_uint<11> result = 0;
      lanes:
      for (int lane = 0; lane < 1; lane++) {
        #pragma HLS UNROLL
        ap_int<11> sum = 0;
      window:
        for (int tap = 0; tap < 1; tap++) {
          #pragma HLS UNROLL
          const ap_int<8> value = taps.range((tap * 1 + lane) * 8 + 7, (tap * 1 + lane) * 8);
          sum += value;
        }
        ap_int<11> before = partial[lane];
        if (group == 0) before = 0;
        sum += before;
        partial[lane] = sum;
        result.range(lane * 11 + 10, lane * 11) = sum;
      }
      if (group == 8) target.write(result);
    }
  }
}

// values times a factor a pixel, 1 lanes; 32 clocks a frame.
void j2_multiply(hls::stream<ap_uint<7> > &source0, hls::stream<ap_uint<11> > &source1, hls::stream<ap_uint<16> > &target) {
  ap_int<11> held = 0;  // the pixel's factor
  pixels:
  for (int pixel = 0; pixel < 16; pixel++) {
    words:
    for (int word = 0; word < 2; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<7> values = source0.read();
      ap_int<11> factor = held;
      if (word == 0) factor = source1.read();
      held = factor;
      ap_uint<16> result = 0;
      lanes:
      for (int lane = 0; lane < 1; lane++) {
        #pragma HLS UNROLL
        const ap_int<7> value = values.range(lane * 7 + 6, lane * 7);
        const ap_int<16> product = value * factor;
        result.range(lane * 16 + 15, lane * 16) = product;
      }
      target.write(result);
    }
  }
}

// each word to 2 readers; 32 clocks a frame.
void j2_fork(hls::stream<ap_uint<2> > &source, hls::stream<ap_uint<2> > &target0, hls::stream<ap_uint<2> > &target1) {
  words:
  for (int word = 0; word < 32; word++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<2> value = source.read();
    target0.write(value);
    target1.write(value);
  }
}

// 2 + 2 words a pixel, one map's channels behind the other's; 64 clocks a frame.
void j3_concat(hls::stream<ap_uint<2> > &source0, hls::stream<ap_uint<2> > &source1, hls::stream<ap_uint<2> > &target) {
  pixels:
  for (int pixel = 0; pixel < 16; pixel++) {
    words:
    for (int word = 0; word < 4; word++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      ap_uint<2> value = 0;
      if (word < 2) {
        value = source0.read();
      } else {
        value = source1.read();
      }
      target.write(value);
    }
  }
}

// each word to 2 readers; 64 clocks a frame.
void j3_fork(hls::stream<ap_uint<1> > &source, hls::stream<ap_uint<1> > &target0, hls::stream<ap_uint<1> > &target1) {
  words:
  for (int word = 0; word < 64; word++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<1> value = source.read();
    target0.write(value);
    target1.write(value);
  }
}

// source0 + source1 * 2, 1 lanes; 64 clocks a frame.
void j4_add(hls::stream<ap_uint<6> > &source0, hls::stream<ap_uint<1> > &source1, hls::stream<ap_uint<7> > &target) {
  words:
  for (int word = 0; word < 64; word++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<6> word0 = source0.read();
    const ap_uint<1> word1 = source1.read();
    ap_uint<7> result = 0;
    lanes:
    for (int lane = 0; lane < 1; lane++) {
      #pragma HLS UNROLL
      const ap_int<6> value0 = word0.range(lane * 6 + 5, lane * 6);
      const ap_int<2> value1 = word1[lane] ? 1 : -1;
      const ap_int<7> sum = value0 + value1 * 2;
      result.range(lane * 7 + 6, lane * 7) = sum;
    }
    target.write(result);
  }
}

// 1 of 4 taps a clock, 1 lanes; 64 clocks a frame.
void j4_pool0(hls::stream<ap_uint<7> > &source, hls::stream<ap_uint<7> > &target) {
  ap_uint<7> partial[1];
  #pragma HLS ARRAY_PARTITION variable=partial type=complete dim=0
  pixels:
  for (int pixel = 0; pixel < 4; pixel++) {
    words:
    for (int word = 0; word < 4; word++) {
      groups:
      for (int group = 0; group < 4; group++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        const ap_uint<7> taps = source.read();
        const ap_uint<1> invert = j4_pool0_invert[word];
        ap_uint<7> result = 0;
        lanes:
        for (int lane = 0; lane < 1; lane++) {
          #pragma HLS UNROLL
          // the least of codes is the complement of the greatest complement
          // codes with their sign bit turned are in order
          ap_uint<7> flip = 64;
          if (invert[lane]) flip = 63;
          ap_uint<7> most = 0;
        window:
          for (int tap = 0; tap < 1; tap++) {
            #pragma HLS UNROLL
            const ap_uint<7> code = ap_uint<7>(taps.range((tap * 1 + lane) * 7 + 6, (tap * 1 + lane) * 7)) ^ flip;
            if (code > most) most = code;
          }
          ap_uint<7> before = partial[lane];
          if (group == 0) before = 0;
          if (before > most) most = before;
          partial[lane] = most;
          result.range(lane * 7 + 6, lane * 7) = most ^ flip;
        }
        if (group == 3) target.write(result);
      }
    }
  }
}
