// Weighted sum of the terms that a matrix unit gives in turn: word t of each TERMS words times
// coefficient t, added per lane.
//
// Coefficients 1, 2, 4, ... (the bit planes of k-bit weights) need no multiplier: the accumulator
// moves down one bit a word and the word is added at its top, so the adder is as long as a word.
// It is then the only stage.  Any other coefficients (the bases of weights) are multiplied: word,
// product, accumulator, the registers of a DSP block.
//
// Arithmetic is modulo 2^OUT_BITS: exact where the final value fits, and the bits above those
// that a sum can have are copies of its sign.
module xh_terms #(
  parameter int unsigned LANES     = 4,
  parameter int unsigned IN_BITS   = 10,
  parameter int unsigned TERMS     = 2,
  parameter int unsigned COEF_BITS = 4,
  parameter logic [TERMS*COEF_BITS-1:0] COEFFICIENTS = '0,
  parameter int unsigned OUT_BITS  = 14
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,

  input  logic                      s_valid_i,
  output logic                      s_ready_o,
  input  logic [LANES*IN_BITS-1:0]  s_data_i,

  output logic                      m_valid_o,
  input  logic                      m_ready_i,
  output logic [LANES*OUT_BITS-1:0] m_data_o
);

  if (LANES < 1 || IN_BITS < 1 || TERMS < 1 || COEF_BITS < 1 || OUT_BITS < 1) begin : gen_bad_size
    $error("xh_terms: every size must be at least 1");
  end

  // modulo 2^OUT_BITS: what lies above does not matter
  localparam int unsigned WORD_BITS = (IN_BITS < OUT_BITS) ? IN_BITS : OUT_BITS;

  // coefficient t is 2^t, and a positive number of COEF_BITS bits
  function automatic bit doubles();
    doubles = TERMS < COEF_BITS;
    for (int unsigned t = 0; t < TERMS; t++) begin
      for (int unsigned b = 0; b < COEF_BITS; b++) begin
        if (COEFFICIENTS[t*COEF_BITS+b] != (b == t)) doubles = 1'b0;
      end
    end
  endfunction

  localparam bit DOUBLES = doubles();

  logic take, first;
  logic word_valid, word_ready;

  xh_gather #(.COUNT(TERMS)) i_gather (
    .clk_i, .rst_ni,
    .s_valid_i(word_valid), .s_ready_o(word_ready),
    .take_o(take), .first_o(first),
    .m_valid_o, .m_ready_i
  );

  logic [LANES*WORD_BITS-1:0] words;

  for (genvar i = 0; i < LANES; i++) begin : gen_word
    assign words[i*WORD_BITS+:WORD_BITS] = s_data_i[i*IN_BITS+:WORD_BITS];

    if (WORD_BITS < IN_BITS) begin : gen_dropped
      logic unused;
      assign unused = ^s_data_i[i*IN_BITS+WORD_BITS+:IN_BITS-WORD_BITS];
    end
  end

  if (DOUBLES) begin : gen_doubles

    // the last word's weight is 2^(TERMS - 1), and so is every word's when it is added
    localparam int unsigned TOP_BITS = WORD_BITS + 1;
    localparam int unsigned ACC_BITS = TOP_BITS + TERMS - 1;

    assign word_valid = s_valid_i;
    assign s_ready_o  = word_ready;

    for (genvar i = 0; i < LANES; i++) begin : gen_lane

      logic signed [WORD_BITS-1:0] word;
      logic signed [ACC_BITS-1:0] acc_q;
      logic signed [TOP_BITS-1:0] last, half, sum;

      assign word = words[i*WORD_BITS+:WORD_BITS];
      assign last = acc_q[ACC_BITS-1-:TOP_BITS];
      assign half = last >>> 1;
      assign sum  = (first ? '0 : half) + TOP_BITS'(word);

      if (TERMS > 1) begin : gen_low
        always_ff @(posedge clk_i) begin
          if (take) acc_q <= {sum, acc_q[TERMS-1:1]};
        end
      end else begin : gen_one
        always_ff @(posedge clk_i) begin
          if (take) acc_q <= sum;
        end
      end

      assign m_data_o[i*OUT_BITS+:OUT_BITS] = OUT_BITS'(acc_q);

    end

  end else begin : gen_multiplied

    localparam int unsigned TERM_BITS    = (TERMS > 1) ? $clog2(TERMS) : 1;
    localparam int unsigned FACTOR_BITS  = (COEF_BITS < OUT_BITS) ? COEF_BITS : OUT_BITS;
    localparam int unsigned LONG_BITS    = WORD_BITS + FACTOR_BITS;
    localparam int unsigned SUM_BITS     = LONG_BITS + $clog2(TERMS);
    localparam int unsigned PRODUCT_BITS = (LONG_BITS < OUT_BITS) ? LONG_BITS : OUT_BITS;
    localparam int unsigned ACC_BITS     = (SUM_BITS < OUT_BITS) ? SUM_BITS : OUT_BITS;

    typedef logic signed [ACC_BITS-1:0] acc_t;

    logic [1:0] load;
    logic [TERM_BITS-1:0] term;
    logic unused_last;
    logic signed [FACTOR_BITS-1:0] coefficient_q;

    xh_pipeline #(.STAGES(2)) i_pipeline (
      .clk_i, .rst_ni,
      .s_valid_i, .s_ready_o,
      .load_o(load),
      .m_valid_o(word_valid), .m_ready_i(word_ready)
    );

    xh_counter #(.COUNT(TERMS)) i_term (
      .clk_i, .rst_ni, .step_i(s_valid_i && s_ready_o), .value_o(term), .last_o(unused_last)
    );

    always_ff @(posedge clk_i) begin
      if (load[0]) coefficient_q <= COEFFICIENTS[term*COEF_BITS+:FACTOR_BITS];
    end

    for (genvar i = 0; i < LANES; i++) begin : gen_lane

      logic signed [WORD_BITS-1:0] word_q;
      logic signed [PRODUCT_BITS-1:0] product_q;
      acc_t acc_q;

      always_ff @(posedge clk_i) begin
        if (load[0]) word_q <= words[i*WORD_BITS+:WORD_BITS];
        if (load[1]) product_q <= PRODUCT_BITS'(word_q) * PRODUCT_BITS'(coefficient_q);
        if (take) acc_q <= (first ? '0 : acc_q) + acc_t'(product_q);
      end

      assign m_data_o[i*OUT_BITS+:OUT_BITS] = OUT_BITS'(acc_q);

    end

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_terms: the output changed while it was stalled");
`endif

endmodule : xh_terms
