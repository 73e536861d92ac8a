// Gives each word to COPIES targets.
//
// A target takes the word as soon as it can and is then marked as served; the next word comes when
// all are.  Nobody waits for another target's ready before a word is offered to it, so two branches
// of different length that meet again cannot lock each other.  A word a clock while all are ready.
module xh_fork #(
  parameter int unsigned WIDTH  = 8,
  parameter int unsigned COPIES = 2
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,

  input  logic                    s_valid_i,
  output logic                    s_ready_o,
  input  logic [WIDTH-1:0]        s_data_i,

  // copy 0 lowest
  output logic [COPIES-1:0]       m_valid_o,
  input  logic [COPIES-1:0]       m_ready_i,
  output logic [COPIES*WIDTH-1:0] m_data_o
);

  if (WIDTH < 1 || COPIES < 1) begin : gen_bad_size
    $error("xh_fork: every size must be at least 1");
  end

  logic [COPIES-1:0] served_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) served_q <= '0;
    else if (s_valid_i) served_q <= s_ready_o ? '0 : served_q | m_ready_i;
  end

  assign s_ready_o = &(served_q | m_ready_i);
  assign m_valid_o = {COPIES{s_valid_i}} & ~served_q;
  assign m_data_o  = {COPIES{s_data_i}};

`ifndef SYNTHESIS
  for (genvar i = 0; i < COPIES; i++) begin : gen_rules
    assert property (@(posedge clk_i) disable iff (!rst_ni)
        m_valid_o[i] && !m_ready_i[i] |=> m_valid_o[i] && $stable(m_data_o[i*WIDTH+:WIDTH]))
      else $error("xh_fork: an output changed while it was stalled");
  end
`endif

endmodule : xh_fork
