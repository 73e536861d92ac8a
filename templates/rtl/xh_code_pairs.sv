// What all PEs of a unit need of a word of codes, once: of every two codes both and their sum, and
// the sum of all of them.  A register stands behind it.
//
// m_data_o: for each pair, lowest first, {sum, second code, first code}; then the sum of all codes
// less the constant that xh_pair_sum adds.  A word with an odd number of codes ends with a 0.
module xh_code_pairs #(
  parameter int unsigned SIMD       = 4,
  parameter int unsigned ACT_BITS   = 8,
  parameter bit          ACT_SIGNED = 1'b0,
  localparam int unsigned PAIRS     = (SIMD + 1) / 2,
  localparam int unsigned PAIR_BITS = 3 * ACT_BITS + 1,
  localparam int unsigned SUM_BITS  = ACT_BITS + $clog2(SIMD) + 1
) (
  input  logic                                clk_i,
  input  logic                                rst_ni,

  input  logic                                s_valid_i,
  output logic                                s_ready_o,
  input  logic [SIMD*ACT_BITS-1:0]            s_data_i,

  output logic                                m_valid_o,
  input  logic                                m_ready_i,
  output logic [PAIRS*PAIR_BITS+SUM_BITS-1:0] m_data_o
);

  if (SIMD < 1 || ACT_BITS < 1) begin : gen_bad_size
    $error("xh_code_pairs: SIMD and ACT_BITS must be at least 1");
  end

  localparam int unsigned TERM = ACT_BITS + 1;

  logic [2*PAIRS*ACT_BITS-1:0] codes;
  logic [PAIRS*PAIR_BITS-1:0] pairs;
  logic [PAIRS*TERM-1:0] sums;
  logic [SUM_BITS-1:0] constant, total;
  logic valid_q;

  assign codes = (2 * PAIRS * ACT_BITS)'(s_data_i);

  for (genvar p = 0; p < PAIRS; p++) begin : gen_pair
    logic [ACT_BITS-1:0] one, other;
    logic [TERM-1:0] both;

    assign {other, one} = codes[2*p*ACT_BITS+:2*ACT_BITS];
    assign both = {ACT_SIGNED && one[ACT_BITS-1], one} + {ACT_SIGNED && other[ACT_BITS-1], other};
    assign pairs[p*PAIR_BITS+:PAIR_BITS] = {both, other, one};
    // unsigned: the sign flipped
    assign sums[p*TERM+:TERM] = {both[TERM-1] ^ ACT_SIGNED, both[TERM-2:0]};
  end

  // a pair's sum is 2^(TERM-1) more by the sign flipped here; xh_pair_sum adds 2^TERM a pair, half of
  // it where it flips the sign, at twice the weight
  assign constant = -((SUM_BITS'(PAIRS) << TERM)
      + (ACT_SIGNED ? SUM_BITS'(PAIRS) << (TERM - 1) : SUM_BITS'(PAIRS) << TERM));

  xh_chain_sum #(
    .TERMS(PAIRS), .BITS(TERM), .SUM_BITS(SUM_BITS), .CHAIN(1)
  ) i_total (
    .start_i(constant), .terms_i(sums), .carries_i('0), .sum_o(total)
  );

  assign s_ready_o = !valid_q || m_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (s_ready_o) valid_q <= s_valid_i;
  end

  always_ff @(posedge clk_i) begin
    if (s_ready_o) m_data_o <= {total, pairs};
  end

  assign m_valid_o = valid_q;

endmodule : xh_code_pairs
