// Sum of multi-bit activations, each added (weight bit 1) or subtracted (weight bit 0).
//
// -x is ~x + 1: the lanes with weight 0 are inverted bit by bit, which the adders' LUTs absorb,
// and their number is added once.
module xh_code_sum #(
  parameter int unsigned SIMD       = 4,
  parameter int unsigned ACT_BITS   = 8,
  parameter bit          ACT_SIGNED = 1'b0,
  localparam int unsigned SUM_BITS  = ACT_BITS + $clog2(SIMD) + 1
) (
  input  logic [SIMD*ACT_BITS-1:0] activation_i,
  input  logic [SIMD-1:0]          weight_i,
  output logic [SUM_BITS-1:0]      sum_o
);

  if (SIMD < 1 || ACT_BITS < 1) begin : gen_bad_size
    $error("xh_code_sum: SIMD and ACT_BITS must be at least 1");
  end

  always_comb begin
    sum_o = '0;
    for (int unsigned i = 0; i < SIMD; i++) begin
      sum_o += {{(SUM_BITS - ACT_BITS) {ACT_SIGNED && activation_i[i*ACT_BITS+ACT_BITS-1]}},
                activation_i[i*ACT_BITS+:ACT_BITS]} ^ {SUM_BITS{!weight_i[i]}};
      sum_o += SUM_BITS'({!weight_i[i]});
    end
  end

endmodule : xh_code_sum
