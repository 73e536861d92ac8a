// Collects WORDS words to one, the first lowest, and gives it REPEATS times.
//
// While a word is given the next one is collected, so WORDS of at most REPEATS cost no clock.  The
// parts wait in registers of their own, and all move to the register that is read at once: there
// is no multiplexer.
module xh_hold #(
  parameter int unsigned WIDTH   = 8,
  parameter int unsigned WORDS   = 3,
  parameter int unsigned REPEATS = 4
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   s_valid_i,
  output logic                   s_ready_o,
  input  logic [WIDTH-1:0]       s_data_i,

  output logic                   m_valid_o,
  input  logic                   m_ready_i,
  output logic [WORDS*WIDTH-1:0] m_data_o
);

  if (WIDTH < 1 || WORDS < 2 || REPEATS < 1) begin : gen_bad_size
    $error("xh_hold: WIDTH and REPEATS must be at least 1, WORDS at least 2");
  end

  localparam int unsigned PLACE_BITS  = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam int unsigned REPEAT_BITS = (REPEATS > 1) ? $clog2(REPEATS) : 1;

  logic [PLACE_BITS-1:0] place;
  logic [REPEAT_BITS-1:0] unused_repeat;
  logic take, whole, give, last_repeat;
  logic [(WORDS-1)*WIDTH-1:0] parts_q;

  assign take      = s_valid_i && s_ready_o;
  assign give      = m_valid_o && m_ready_i;
  assign s_ready_o = !whole || !m_valid_o || (m_ready_i && last_repeat);

  xh_counter #(.COUNT(WORDS)) i_place (
    .clk_i, .rst_ni, .step_i(take), .value_o(place), .last_o(whole)
  );

  xh_counter #(.COUNT(REPEATS)) i_repeat (
    .clk_i, .rst_ni, .step_i(give), .value_o(unused_repeat), .last_o(last_repeat)
  );

  for (genvar i = 0; i < WORDS - 1; i++) begin : gen_part
    always_ff @(posedge clk_i) begin
      if (take && place == PLACE_BITS'(i)) parts_q[i*WIDTH+:WIDTH] <= s_data_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) m_valid_o <= 1'b0;
    else if (take && whole) m_valid_o <= 1'b1;
    else if (give && last_repeat) m_valid_o <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (take && whole) m_data_o <= {s_data_i, parts_q};
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_hold: the output changed while it was stalled");
`endif

endmodule : xh_hold
