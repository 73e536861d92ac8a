// A PE's sum of codes, each added (weight bit 1) or subtracted (weight bit 0), of what
// xh_code_pairs prepared: the sum of all codes less twice the sum of those with weight 0.
//
// Two weight bits choose what a pair of codes takes away: nothing, the one, the other or both.  That
// is a function of five bits, so the adder's LUTs take it in: a pair costs one LUT a bit.
// Inverted, and with its sign flipped where codes are signed, it is an unsigned number with a carry
// of 1; what this adds too much is a constant, which the prepared sum is without.
module xh_pair_sum #(
  parameter int unsigned SIMD       = 4,
  parameter int unsigned ACT_BITS   = 8,
  parameter bit          ACT_SIGNED = 1'b0,
  parameter int unsigned CHAIN      = 4,
  localparam int unsigned PAIRS     = (SIMD + 1) / 2,
  localparam int unsigned PAIR_BITS = 3 * ACT_BITS + 1,
  localparam int unsigned SUM_BITS  = ACT_BITS + $clog2(SIMD) + 1
) (
  input  logic [PAIRS*PAIR_BITS+SUM_BITS-1:0] prepared_i,
  input  logic [SIMD-1:0]                     weight_i,
  output logic [SUM_BITS-1:0]                 sum_o
);

  if (SIMD < 1 || ACT_BITS < 1) begin : gen_bad_size
    $error("xh_pair_sum: SIMD and ACT_BITS must be at least 1");
  end

  localparam int unsigned TERM = ACT_BITS + 1;   // bits of what a pair takes away

  logic [2*PAIRS-1:0] minus;
  logic [PAIRS*TERM-1:0] terms;
  logic [SUM_BITS-1:0] total;

  assign minus = (2 * PAIRS)'({~weight_i});
  assign total = prepared_i[PAIRS*PAIR_BITS+:SUM_BITS];

  for (genvar p = 0; p < PAIRS; p++) begin : gen_pair
    logic [ACT_BITS-1:0] one, other;
    logic [TERM-1:0] both, taken;

    assign {both, other, one} = prepared_i[p*PAIR_BITS+:PAIR_BITS];

    always_comb begin
      unique case (minus[2*p+:2])
        2'b00:   taken = '0;
        2'b01:   taken = {ACT_SIGNED && one[ACT_BITS-1], one};
        2'b10:   taken = {ACT_SIGNED && other[ACT_BITS-1], other};
        default: taken = both;
      endcase
    end

    assign terms[p*TERM+:TERM] = {taken[TERM-1] ^ !ACT_SIGNED, ~taken[TERM-2:0]};
  end

  // twice what is taken away: the lowest bit of the sum goes around it
  xh_chain_sum #(
    .TERMS(PAIRS), .BITS(TERM), .SUM_BITS(SUM_BITS - 1), .CHAIN(CHAIN)
  ) i_chains (
    .start_i(total[SUM_BITS-1:1]), .terms_i(terms), .carries_i('1), .sum_o(sum_o[SUM_BITS-1:1])
  );

  assign sum_o[0] = total[0];

endmodule : xh_pair_sum
