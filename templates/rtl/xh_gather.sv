// Handshake of an accumulator that takes COUNT words for each one that it gives.
//
// take_o: a word enters the accumulator, first_o: it is the first of its COUNT.  The accumulator is
// the output register as well: it waits only while a finished result is not taken, and the first
// word of the next result enters in the clock in which that result leaves.
module xh_gather #(
  parameter int unsigned COUNT = 4
) (
  input  logic clk_i,
  input  logic rst_ni,

  input  logic s_valid_i,
  output logic s_ready_o,

  output logic take_o,
  output logic first_o,

  output logic m_valid_o,
  input  logic m_ready_i
);

  if (COUNT < 1) begin : gen_bad_count
    $error("xh_gather: COUNT must be at least 1");
  end

  localparam int unsigned BITS = (COUNT > 1) ? $clog2(COUNT) : 1;

  logic [BITS-1:0] number;
  logic last;
  logic done_q;

  xh_counter #(.COUNT(COUNT)) i_number (
    .clk_i, .rst_ni, .step_i(take_o), .value_o(number), .last_o(last)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) done_q <= 1'b0;
    else if (s_ready_o) done_q <= s_valid_i && last;
  end

  assign s_ready_o = !done_q || m_ready_i;
  assign take_o    = s_valid_i && s_ready_o;
  assign first_o   = number == '0;
  assign m_valid_o = done_q;

endmodule : xh_gather
