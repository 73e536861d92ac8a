// Sum of multi-bit activations, each added (weight bit 1) or subtracted (weight bit 0).
//
// -x is ~x + 1: the adders' LUTs take the inversion in, and the 1 is the carry of the term.
// Flipped signs make unsigned numbers of the terms; what that adds too much is a constant.
module xh_code_sum #(
  parameter int unsigned SIMD       = 4,
  parameter int unsigned ACT_BITS   = 8,
  parameter bit          ACT_SIGNED = 1'b0,
  parameter int unsigned CHAIN      = 4,
  localparam int unsigned SUM_BITS  = ACT_BITS + $clog2(SIMD) + 1
) (
  input  logic [SIMD*ACT_BITS-1:0] activation_i,
  input  logic [SIMD-1:0]          weight_i,
  output logic [SUM_BITS-1:0]      sum_o
);

  if (SIMD < 1 || ACT_BITS < 1) begin : gen_bad_size
    $error("xh_code_sum: SIMD and ACT_BITS must be at least 1");
  end

  // an unsigned code gets a sign by being subtracted
  localparam int unsigned TERM = ACT_SIGNED ? ACT_BITS : ACT_BITS + 1;

  logic [SIMD*TERM-1:0] terms;

  for (genvar i = 0; i < SIMD; i++) begin : gen_term
    logic [TERM-1:0] code;
    assign code = TERM'(activation_i[i*ACT_BITS+:ACT_BITS]) ^ {TERM{!weight_i[i]}};
    assign terms[i*TERM+:TERM] = code ^ (TERM'(1) << (TERM - 1));
  end

  xh_chain_sum #(
    .TERMS(SIMD), .BITS(TERM), .SUM_BITS(SUM_BITS), .CHAIN(CHAIN)
  ) i_chains (
    .start_i(-(SUM_BITS'(SIMD) << (TERM - 1))), .terms_i(terms), .carries_i(~weight_i), .sum_o
  );

endmodule : xh_code_sum
