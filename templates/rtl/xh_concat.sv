// The channels of several maps one behind the other: for each pixel WORDS[0] words of input 0,
// then WORDS[1] words of input 1, and so on.
//
// No register on the way and no clock: a multiplexer whose choice, one bit an input, is kept in
// registers.
module xh_concat #(
  parameter int unsigned INPUTS = 2,
  parameter int unsigned WIDTH  = 8,
  // words of a pixel, 16 bits each, input 0 lowest
  parameter logic [INPUTS*16-1:0] WORDS = {INPUTS{16'd1}}
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  // input 0 lowest
  input  logic [INPUTS-1:0]       s_valid_i,
  output logic [INPUTS-1:0]       s_ready_o,
  input  logic [INPUTS*WIDTH-1:0] s_data_i,

  output logic                    m_valid_o,
  input  logic                    m_ready_i,
  output logic [WIDTH-1:0]        m_data_o
);

  function automatic int unsigned words_of(int unsigned number);
    words_of = {16'd0, WORDS[number*16+:16]};
  endfunction

  function automatic int unsigned most_words();
    most_words = 1;
    for (int unsigned n = 0; n < INPUTS; n++) begin
      if (words_of(n) > most_words) most_words = words_of(n);
    end
  endfunction

  function automatic bit good_words();
    good_words = 1'b1;
    for (int unsigned n = 0; n < INPUTS; n++) begin
      if (words_of(n) < 1) good_words = 1'b0;
    end
  endfunction

  if (INPUTS < 1 || WIDTH < 1 || !good_words()) begin : gen_bad_size
    $error("xh_concat: every size must be at least 1");
  end

  localparam int unsigned MOST      = most_words();
  localparam int unsigned WORD_BITS = (MOST > 1) ? $clog2(MOST) : 1;

  logic [INPUTS-1:0] turn_q;     // whose words leave
  logic [INPUTS-1:0] next_turn;
  logic [INPUTS-1:0] at_end;
  logic [WORD_BITS-1:0] word_q;  // how many of them have left
  logic move, last;

  for (genvar n = 0; n < INPUTS; n++) begin : gen_input
    assign next_turn[n] = turn_q[(n+INPUTS-1)%INPUTS];
    assign at_end[n]    = word_q == WORD_BITS'(words_of(n) - 1);
  end

  assign move = m_valid_o && m_ready_i;
  assign last = |(turn_q & at_end);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      turn_q <= INPUTS'(1);
      word_q <= '0;
    end else if (move) begin
      turn_q <= last ? next_turn : turn_q;
      word_q <= last ? '0 : word_q + 1'b1;
    end
  end

  always_comb begin
    m_data_o = '0;
    for (int unsigned n = 0; n < INPUTS; n++) begin
      m_data_o |= s_data_i[n*WIDTH+:WIDTH] & {WIDTH{turn_q[n]}};
    end
  end

  assign m_valid_o = |(s_valid_i & turn_q);
  assign s_ready_o = turn_q & {INPUTS{m_ready_i}};

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_concat: the output changed while it was stalled");
`endif

endmodule : xh_concat
