// Matrix unit: PE rows of SIMD weights times a stream of activation words, summed over FOLDS words,
// thresholded or not.
//
// Takes one activation word and one weight word a clock (PE p's weights at bits p * SIMD *
// WEIGHT_BITS), and with the first word of a sum one start word, and gives one word of PE results
// a sum.  How many sums make a pixel (GROUPS) is the business of who orders the streams.
// Binary weights (WEIGHT_BITS 1):
//   bipolar activations (ACT_BIPOLAR): a word adds p = popcount(x xnor w);
//   codes: a word adds the sum of +x or -x, by the weight bit.
// Integer weights, in two's complement (WEIGHT_BITS 2 to 8):
//   bipolar activations: a word adds the sum of +w or -w, by the activation bit;
//   codes: a word adds the sum of x * w.
// THRESHOLDED: the accumulator begins at the start value, the result is accumulator >= 0, its
// inverted sign, so a threshold costs no comparator.  Otherwise the sum leaves, sign-extended to
// OUT_BITS: start + sum, but start + 2p where signs meet signs.  There the accumulator
// holds start >> 1 plus p and the lowest bit of the start goes around it, so the last addition
// disappears.  Arithmetic is modulo 2^ACC_BITS: exact where the final value fits.
//
// Two stages: the words' sums in a register, then the accumulators, which are the output
// registers as well.  Products x * w are a stage in front of these, or two where DSPs form them; so are
// the COUNT_STAGES registers in a count.  What several PEs share of a word of codes stands in a register of
// the activations' stream.
// LEAF: the weights are in the adders of a unit in front, and what comes with a word on the port w is each
// PE's count of agreements instead (PE p's at bits p * clog2(SIMD + 1)); s_data_i is not looked at.
// DSP_PES: the sums of the first so many PEs are formed by columns of DSPs, one DSP a code for PACKED PEs
// (codes with binary weights on 7 series alone).  All words then go through the columns' registers, and a
// start word is taken when its sum begins behind them.
// PIXELS: so many pixels at once, pixel by pixel in the words of activations, starts and results; they share the
// weights.
// m_ready_i reaches the three ready outputs combinationally.
module xh_mvu #(
  parameter int unsigned PE          = 4,
  parameter int unsigned SIMD        = 16,
  parameter int unsigned ACT_BITS    = 1,
  parameter bit          ACT_SIGNED  = 1'b0,
  parameter bit          ACT_BIPOLAR = 1'b1,
  parameter int unsigned FOLDS       = 9,
  parameter int unsigned GROUPS      = 1,
  parameter int unsigned START_BITS  = 8,
  parameter int unsigned ACC_BITS    = 8,
  parameter int unsigned WEIGHT_BITS = 1,
  parameter bit          THRESHOLDED = 1'b1,
  parameter int unsigned OUT_BITS    = 1,
  parameter int unsigned COUNT_STAGES = 0,
  parameter bit          LEAF        = 1'b0,
  parameter int unsigned DSP_PES     = 0,
  parameter int unsigned PACKED      = 1,
  parameter int unsigned PIXELS      = 1,
  localparam int unsigned ROWS       = PIXELS * PE,
  localparam int unsigned W_BITS     = LEAF ? PE * $clog2(SIMD + 1) : PE * SIMD * WEIGHT_BITS
) (
  input  logic                            clk_i,
  input  logic                            rst_ni,

  input  logic                            s_valid_i,
  output logic                            s_ready_o,
  input  logic [PIXELS*SIMD*ACT_BITS-1:0] s_data_i,

  input  logic                            w_valid_i,
  output logic                            w_ready_o,
  input  logic [W_BITS-1:0]               w_data_i,

  input  logic                            t_valid_i,
  output logic                            t_ready_o,
  input  logic [ROWS*START_BITS-1:0]      t_data_i,

  output logic                            m_valid_o,
  input  logic                            m_ready_i,
  output logic [ROWS*OUT_BITS-1:0]        m_data_o
);

  // raw bipolar results are one bit longer than the accumulator
  localparam bit HALVED = ACT_BIPOLAR && !THRESHOLDED && WEIGHT_BITS == 1;
  localparam int unsigned RESULT_BITS = HALVED ? ACC_BITS + 1 : ACC_BITS;

  if (PE < 1 || SIMD < 1 || FOLDS < 1 || GROUPS < 1 || START_BITS < 1 || ACC_BITS < 1) begin : gen_bad_size
    $error("xh_mvu: every size must be at least 1");
  end
  if (ACT_BITS < 1 || ACT_BITS > 8) begin : gen_bad_act
    $error("xh_mvu: ACT_BITS must be 1 to 8");
  end
  if (WEIGHT_BITS < 1 || WEIGHT_BITS > 8) begin : gen_bad_weight
    $error("xh_mvu: WEIGHT_BITS must be 1 to 8");
  end
  if (ACT_BIPOLAR && (ACT_BITS != 1 || ACT_SIGNED)) begin : gen_bad_bipolar
    $error("xh_mvu: a bipolar activation is one unsigned bit");
  end
  if (START_BITS > RESULT_BITS) begin : gen_bad_start
    $error("xh_mvu: ACC_BITS cannot hold the start value");
  end
  if (THRESHOLDED ? OUT_BITS != 1 : OUT_BITS < RESULT_BITS) begin : gen_bad_out
    $error("xh_mvu: OUT_BITS must be 1 with a threshold and hold the sum without");
  end

  // signs that meet signs are counted, all others added; x * w is a stage of its own, or two
  localparam bit COUNTS     = ACT_BIPOLAR && WEIGHT_BITS == 1;
  localparam bit MULTIPLIES = !ACT_BIPOLAR && WEIGHT_BITS > 1;
  // several PEs share what can be added before the weights are known
  localparam bit SHARES = !ACT_BIPOLAR && WEIGHT_BITS == 1 && PE > 1 && SIMD > 1;
  localparam int unsigned X_BITS = SHARES
      ? (SIMD + 1) / 2 * (3 * ACT_BITS + 1) + ACT_BITS + $clog2(SIMD) + 1 : SIMD * ACT_BITS;
  // a DSP a product, where both factors have 4 bits or more and together 9
  localparam bit IN_DSP = ACT_BITS >= 4 && WEIGHT_BITS >= 4 && ACT_BITS + WEIGHT_BITS >= 9;
  // registers in front of the sums'; columns have one for four codes, and two of factors and products
  localparam bit COLUMNS = DSP_PES > 0;
  localparam int unsigned STAGES = COUNTS ? COUNT_STAGES
      : COLUMNS ? 2 + (SIMD + 3) / 4 : !MULTIPLIES ? 0 : IN_DSP ? 2 : 1;

  if (COUNT_STAGES > 0 && (!COUNTS || LEAF)) begin : gen_bad_stages
    $error("xh_mvu: only a count of signs has COUNT_STAGES");
  end
  if (LEAF && !COUNTS) begin : gen_bad_leaf
    $error("xh_mvu: only signs meet weights in leaves");
  end
  if (PIXELS < 1 || (PIXELS > 1 && (LEAF || COLUMNS))) begin : gen_bad_pixels
    $error("xh_mvu: PIXELS must be 1 where counts come in or columns of DSPs add");
  end
  if (DSP_PES > PE || (COLUMNS && !SHARES)) begin : gen_bad_columns
    $error("xh_mvu: columns of DSPs add codes with binary weights, of several PEs and lanes");
  end

  // a word's sum: unsigned where it is a count
  localparam int unsigned SUM_BITS = COUNTS ? $clog2(SIMD + 1) : ACT_BITS + WEIGHT_BITS + $clog2(SIMD);

  // half a sum in a column of DSPs: the codes' largest magnitude times their number, and 2
  localparam int unsigned LANE_BITS = $clog2(SIMD * (ACT_SIGNED ? 1 << (ACT_BITS - 1) : (1 << ACT_BITS) - 1) + 2);

  // sums are taken modulo 2^ACC_BITS: what lies above does not matter
  localparam int unsigned KEPT_BITS = (SUM_BITS < ACC_BITS) ? SUM_BITS : ACC_BITS;

  typedef logic signed [ACC_BITS-1:0] acc_t;

  logic first, last;
  logic take;           // one word of each stream enters
  logic word_ready;     // the first register can take a word
  logic word_valid, word_first, word_last;  // what stands before the sums' register
  logic sum_ready;      // the sums' register can take a word
  logic start_here;     // the start of the word in front of it is there, or none is needed
  logic sum_valid_q, sum_first_q, sum_last_q;
  logic acc_ready;      // the accumulators can take the sums
  logic begins;         // the sum of one word begins with it, and needs no multiplexer
  logic done_q;         // the accumulators hold a result

  assign acc_ready = !done_q || m_ready_i;
  assign sum_ready = !sum_valid_q || acc_ready;
  assign begins    = FOLDS == 1 || sum_first_q;

  // what the PEs take in of a word of activations
  logic x_valid, x_ready;
  logic [PIXELS*X_BITS-1:0] x_data;

  if (SHARES) begin : gen_shared
    // all pixels move at once
    logic [PIXELS-1:0] pair_valid, pair_ready;

    for (genvar m = 0; m < PIXELS; m++) begin : gen_pixel
      xh_code_pairs #(.SIMD(SIMD), .ACT_BITS(ACT_BITS), .ACT_SIGNED(ACT_SIGNED)) i_pairs (
        .clk_i, .rst_ni,
        .s_valid_i, .s_ready_o(pair_ready[m]), .s_data_i(s_data_i[m*SIMD*ACT_BITS+:SIMD*ACT_BITS]),
        .m_valid_o(pair_valid[m]), .m_ready_i(x_ready), .m_data_o(x_data[m*X_BITS+:X_BITS])
      );
    end

    logic unused;
    assign unused    = ^{pair_valid, pair_ready};
    assign x_valid   = pair_valid[0];
    assign s_ready_o = pair_ready[0];
  end else begin : gen_alone
    assign x_valid   = s_valid_i;
    assign s_ready_o = x_ready;
    assign x_data    = s_data_i;
  end

  // starts enter with the words, or with the sums where there are many registers between these
  logic start_now;
  assign start_now  = COLUMNS || t_valid_i || !first;
  assign start_here = !COLUMNS || t_valid_i || !word_first;

  assign take      = x_valid && w_valid_i && start_now && word_ready;
  assign x_ready   = word_ready && w_valid_i && start_now;
  assign w_ready_o = word_ready && x_valid && start_now;
  assign t_ready_o = COLUMNS ? sum_ready && word_valid && word_first
                             : word_ready && x_valid && w_valid_i && first;

  if (FOLDS > 1) begin : gen_folds
    logic [$clog2(FOLDS)-1:0] fold;
    xh_counter #(.COUNT(FOLDS)) i_fold (
      .clk_i, .rst_ni, .step_i(take), .value_o(fold), .last_o(last)
    );
    assign first = fold == '0;
  end else begin : gen_one_fold
    assign first = 1'b1;
    assign last  = 1'b1;
  end

  if (STAGES > 0) begin : gen_stages
    // the youngest word lowest; all move at once
    logic [STAGES-1:0] stage_valid_q, stage_first_q, stage_last_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        stage_valid_q <= '0;
        stage_first_q <= '0;
        stage_last_q  <= '0;
      end else if (word_ready) begin
        stage_valid_q <= STAGES'({stage_valid_q, take});
        stage_first_q <= STAGES'({stage_first_q, first});
        stage_last_q  <= STAGES'({stage_last_q, last});
      end
    end

    assign word_ready = !stage_valid_q[STAGES-1] || (sum_ready && start_here);
    assign word_valid = stage_valid_q[STAGES-1];
    assign word_first = stage_first_q[STAGES-1];
    assign word_last  = stage_last_q[STAGES-1];
  end else begin : gen_no_stages
    assign word_ready = sum_ready;
    assign word_valid = take;
    assign word_first = first;
    assign word_last  = last;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      sum_valid_q <= 1'b0;
      sum_first_q <= 1'b0;
      sum_last_q  <= 1'b0;
      done_q      <= 1'b0;
    end else begin
      if (sum_ready) begin
        sum_valid_q <= word_valid && start_here;
        sum_first_q <= word_first;
        sum_last_q  <= word_last;
      end
      if (acc_ready) done_q <= sum_valid_q && sum_last_q;
    end
  end

  // what columns of DSPs give: halves of sums, and the lowest bit of all of them
  logic [(COLUMNS ? DSP_PES * LANE_BITS : 1)-1:0] lanes;
  logic odd;

  if (COLUMNS) begin : gen_columns
    xh_code_columns #(
      .PE(DSP_PES), .PACKED(PACKED), .SIMD(SIMD), .ACT_BITS(ACT_BITS), .ACT_SIGNED(ACT_SIGNED)
    ) i_columns (
      .clk_i, .en_i(word_ready), .prepared_i(x_data), .weight_i(w_data_i[0+:DSP_PES*SIMD]), .lane_o(lanes),
      .odd_o(odd)
    );
  end else begin : gen_no_columns
    logic unused;
    assign unused = ^{lanes, odd};
    assign {lanes, odd} = '0;
  end

  for (genvar r = 0; r < ROWS; r++) begin : gen_pe

    localparam int unsigned P = r % PE;   // whose weights they are
    localparam int unsigned M = r / PE;   // the pixel
    localparam bit IN_COLUMN = P < DSP_PES;
    // A column's lanes are half of a sum less 1, the last of PACKED minus half of it.  There the
    // accumulator holds its inverse, which grows by what is taken away.
    localparam bit FALLS = IN_COLUMN && PACKED > 1 && P % PACKED == PACKED - 1;
    logic [SUM_BITS-1:0] sum;
    logic [KEPT_BITS-1:0] sum_q;
    logic signed [START_BITS-1:0] start_d, start_q, start;
    acc_t addend, init;
    acc_t acc_q;

    if (KEPT_BITS < SUM_BITS) begin : gen_dropped
      logic unused;
      assign unused = ^sum[SUM_BITS-1:KEPT_BITS];
    end

    if (LEAF) begin : gen_leaf
      assign sum    = w_data_i[P*SUM_BITS+:SUM_BITS];
      assign addend = acc_t'({1'b0, sum_q});
    end else if (COUNTS) begin : gen_bipolar
      xh_popcount #(.SIMD(SIMD), .STAGES(COUNT_STAGES)) i_popcount (
        .clk_i, .en_i(word_ready), .activation_i(x_data[M*X_BITS+:X_BITS]),
        .weight_i(w_data_i[P*SIMD+:SIMD]), .count_o(sum)
      );
      assign addend = acc_t'({1'b0, sum_q});
    end else if (MULTIPLIES) begin : gen_integers
      xh_int_sum #(
        .SIMD(SIMD), .ACT_BITS(ACT_BITS), .ACT_SIGNED(ACT_SIGNED), .WEIGHT_BITS(WEIGHT_BITS), .DSP(IN_DSP)
      ) i_int_sum (
        .clk_i, .en_i(word_ready), .activation_i(x_data[M*X_BITS+:X_BITS]),
        .weight_i(w_data_i[P*SIMD*WEIGHT_BITS+:SIMD*WEIGHT_BITS]), .sum_o(sum)
      );
      assign addend = acc_t'($signed(sum_q));
    end else if (ACT_BIPOLAR) begin : gen_signs
      // the weights are what is added, and the activations say with which sign
      xh_code_sum #(.SIMD(SIMD), .ACT_BITS(WEIGHT_BITS), .ACT_SIGNED(1'b1)) i_code_sum (
        .activation_i(w_data_i[P*SIMD*WEIGHT_BITS+:SIMD*WEIGHT_BITS]),
        .weight_i(x_data[M*X_BITS+:X_BITS]), .sum_o(sum)
      );
      assign addend = acc_t'($signed(sum_q));
    end else if (IN_COLUMN) begin : gen_column
      assign sum    = SUM_BITS'($signed({lanes[P*LANE_BITS+:LANE_BITS], FALLS ? odd : !odd}));
      assign addend = acc_t'($signed(sum_q));
    end else if (SHARES) begin : gen_pairs
      logic [SUM_BITS-1:0] now;
      xh_pair_sum #(.SIMD(SIMD), .ACT_BITS(ACT_BITS), .ACT_SIGNED(ACT_SIGNED)) i_pair_sum (
        .prepared_i(x_data[M*X_BITS+:X_BITS]), .weight_i(w_data_i[P*SIMD+:SIMD]), .sum_o(now)
      );
      if (COLUMNS) begin : gen_late
        // as long as the columns' PEs need
        logic [STAGES*SUM_BITS-1:0] late_q;
        always_ff @(posedge clk_i) begin
          if (word_ready) late_q <= (STAGES*SUM_BITS)'({late_q, now});
        end
        assign sum = late_q[(STAGES-1)*SUM_BITS+:SUM_BITS];
      end else begin : gen_now
        assign sum = now;
      end
      assign addend = acc_t'($signed(sum_q));
    end else begin : gen_codes
      xh_code_sum #(.SIMD(SIMD), .ACT_BITS(ACT_BITS), .ACT_SIGNED(ACT_SIGNED)) i_code_sum (
        .activation_i(x_data[M*X_BITS+:X_BITS]), .weight_i(w_data_i[P*SIMD+:SIMD]), .sum_o(sum)
      );
      assign addend = acc_t'($signed(sum_q));
    end

    if (STAGES > 0 && !COLUMNS) begin : gen_late_start
      logic [STAGES*START_BITS-1:0] late_q;
      always_ff @(posedge clk_i) begin
        if (word_ready) late_q <= (STAGES*START_BITS)'({late_q, t_data_i[r*START_BITS+:START_BITS]});
      end
      assign start_d = late_q[(STAGES-1)*START_BITS+:START_BITS];
    end else begin : gen_start
      assign start_d = t_data_i[r*START_BITS+:START_BITS];
    end

    always_ff @(posedge clk_i) begin
      if (sum_ready) begin
        sum_q <= KEPT_BITS'(sum);
        if (word_first) start_q <= start_d;
      end
    end

    assign start = HALVED ? start_q >>> 1 : start_q;
    assign init  = acc_t'(start);

    if (START_BITS > ACC_BITS) begin : gen_start_sign
      // the highest bit of a half is a copy of the one below
      logic unused;
      assign unused = start[START_BITS-1];
    end

    if (IN_COLUMN && !FALLS) begin : gen_one_more
      // a difference of the inverse: the carry-in is the 1, and only this operand's logic is the adder's
      always_ff @(posedge clk_i) begin
        if (sum_valid_q && acc_ready) acc_q <= addend - ~(begins ? init : acc_q);
      end
    end else begin : gen_add
      always_ff @(posedge clk_i) begin
        if (sum_valid_q && acc_ready) acc_q <= (begins ? (FALLS ? ~init : init) : acc_q) + addend;
      end
    end

    acc_t result;
    assign result = FALLS ? ~acc_q : acc_q;

    if (THRESHOLDED) begin : gen_threshold
      assign m_data_o[r] = !result[ACC_BITS-1];
    end else if (HALVED) begin : gen_halved
      logic odd_q;
      always_ff @(posedge clk_i) begin
        if (sum_valid_q && sum_first_q && acc_ready) odd_q <= start_q[0];
      end
      assign m_data_o[r*OUT_BITS+:OUT_BITS] = OUT_BITS'($signed({result, odd_q}));
    end else begin : gen_sum
      assign m_data_o[r*OUT_BITS+:OUT_BITS] = OUT_BITS'(result);
    end

  end

  if (LEAF) begin : gen_no_activations
    logic unused;
    assign unused = ^x_data;
  end

  assign m_valid_o = done_q;

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_mvu: the output changed while it was stalled");
`endif

endmodule : xh_mvu
