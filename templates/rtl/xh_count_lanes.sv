// Number of lanes in which activation and weight agree, in one clock.
//
// Three lanes go through one 3:2 compressor: its two outputs are functions of six inputs, one
// 6-input LUT each, which leaves a third as many two-bit numbers for the adder tree.  The tree is
// a flat sum: tools build a better one than a tree drawn by hand (measured in docs/hardware).
module xh_count_lanes #(
  parameter int unsigned LANES = 16,
  localparam int unsigned COUNT_BITS = $clog2(LANES + 1)
) (
  input  logic [LANES-1:0]      activation_i,
  input  logic [LANES-1:0]      weight_i,
  output logic [COUNT_BITS-1:0] count_o
);

  if (LANES < 1) begin : gen_bad_size
    $error("xh_count_lanes: LANES must be at least 1");
  end

  localparam int unsigned TRIPLES = (LANES + 2) / 3;

  // missing lanes of the last triple disagree
  logic [3*TRIPLES-1:0] agree;
  logic [TRIPLES-1:0] ones, twos;

  assign agree = (3 * TRIPLES)'({activation_i ~^ weight_i});

  for (genvar t = 0; t < TRIPLES; t++) begin : gen_triple
    assign ones[t] = ^agree[3*t+:3];
    assign twos[t] = (agree[3*t] & agree[3*t+1]) | (agree[3*t] & agree[3*t+2])
                     | (agree[3*t+1] & agree[3*t+2]);
  end

  always_comb begin
    count_o = '0;
    for (int unsigned t = 0; t < TRIPLES; t++) begin
      count_o += COUNT_BITS'({twos[t], ones[t]});
    end
  end

endmodule : xh_count_lanes
