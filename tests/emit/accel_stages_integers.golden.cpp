// PE 2 x SIMD 6, weights of 6 bits, 3 folds, 2 channel groups, sums; 24 clocks a frame.
void l0_mvu(hls::stream<ap_uint<48> > &source, hls::stream<ap_uint<34> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l0_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l0_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l0_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l0_mvu_starts type=rom_1p impl=lutram
  ap_int<17> accumulator[2];
  #pragma HLS ARRAY_PARTITION variable=accumulator type=complete dim=0
  ap_uint<3> address = 0;  // of the weights
  columns:
  for (int x = 0; x < 4; x++) {
    groups:
    for (int group = 0; group < 2; group++) {
      folds:
      for (int fold = 0; fold < 3; fold++) {
        #pragma HLS PIPELINE II=1 rewind style=flp
        #pragma HLS LOOP_FLATTEN
        const ap_uint<48> activations = source.read();
        ap_uint<34> result = 0;
        processing_elements:
        for (int pe = 0; pe < 2; pe++) {
          #pragma HLS UNROLL
          const ap_uint<36> weights = l0_mvu_weights[pe][address];
          ap_int<17> sum = accumulator[pe];
          if (fold == 0) sum = l0_mvu_starts[pe][group];
          sum += xh_dsp_sum<6, 8, true, 6, 17>(activations, weights);
          accumulator[pe] = sum;
          result.range(pe * 17 + 16, pe * 17) = ap_int<17>(sum);
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

// PE 1 x SIMD 3, weights of 4 bits, 1 folds, 2 channel groups, thresholds; 8 clocks a frame.
void l1_mvu(hls::stream<ap_uint<6> > &source, hls::stream<ap_uint<1> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l1_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l1_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l1_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l1_mvu_starts type=rom_1p impl=lutram
  ap_uint<1> address = 0;  // of the weights
  columns:
  for (int x = 0; x < 4; x++) {
    groups:
    for (int group = 0; group < 2; group++) {
      #pragma HLS PIPELINE II=1 rewind style=flp
      #pragma HLS LOOP_FLATTEN
      const ap_uint<6> activations = source.read();
      ap_uint<1> result = 0;
      processing_elements:
      for (int pe = 0; pe < 1; pe++) {
        #pragma HLS UNROLL
        const ap_uint<12> weights = l1_mvu_weights[pe][address];
        ap_int<6> sum = l1_mvu_starts[pe][group];
        sum += xh_lut_sum<3, 2, false, 4, 8>(activations, weights);
        result[pe] = sum >= 0;
      }
      target.write(result);
      if (address == 1) {
        address = 0;
      } else {
        address = address + 1;
      }
    }
  }
}

// PE 2 x SIMD 1, weights of 8 bits, 8 folds, 1 channel groups, sums; 8 clocks a frame.
void l3_mvu(hls::stream<ap_uint<1> > &source, hls::stream<ap_uint<64> > &target) {
  #pragma HLS ARRAY_PARTITION variable=l3_mvu_weights type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l3_mvu_weights type=rom_1p impl=lutram
  #pragma HLS ARRAY_PARTITION variable=l3_mvu_starts type=complete dim=1
  #pragma HLS BIND_STORAGE variable=l3_mvu_starts type=rom_1p impl=lutram
  ap_int<11> accumulator[2];
  #pragma HLS ARRAY_PARTITION variable=accumulator type=complete dim=0
  ap_uint<3> address = 0;  // of the weights
  folds:
  for (int fold = 0; fold < 8; fold++) {
    #pragma HLS PIPELINE II=1 rewind style=flp
    const ap_uint<1> activations = source.read();
    ap_uint<64> result = 0;
    processing_elements:
    for (int pe = 0; pe < 2; pe++) {
      #pragma HLS UNROLL
      const ap_uint<8> weights = l3_mvu_weights[pe][address];
      ap_int<11> sum = accumulator[pe];
      if (fold == 0) sum = l3_mvu_starts[pe][0];
      sum += xh_sign_sum<1, 8, 10>(activations, weights);
      accumulator[pe] = sum;
      result.range(pe * 32 + 31, pe * 32) = ap_int<32>(sum);
    }
    if (fold == 7) target.write(result);
    if (address == 7) {
      address = 0;
    } else {
      address = address + 1;
    }
  }
}
