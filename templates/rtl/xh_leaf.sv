// The stream in front of adders that hold their own weights: which of DEPTH weight words meets the
// activation word that stands at s, and when the adders' registers move.
//
// The counts of a word are valid at m STAGES clocks after it was taken, and all stages move at once
// (en_o): what stands in them is never spread thinner than it came.  With STAGES 0 the adders are
// combinational and the streams are wires.  Of the weights there is no stream: they never run dry.
module xh_leaf #(
  parameter int unsigned DEPTH  = 4,
  parameter int unsigned STAGES = 0,
  localparam int unsigned WORD_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  input  logic                 s_valid_i,
  output logic                 s_ready_o,

  output logic [WORD_BITS-1:0] word_o,
  output logic                 en_o,

  output logic                 m_valid_o,
  input  logic                 m_ready_i
);

  if (DEPTH < 1 || DEPTH > 4) begin : gen_bad_depth
    $error("xh_leaf: DEPTH must be 1 to 4");
  end

  logic last;
  xh_counter #(.COUNT(DEPTH)) i_word (
    .clk_i, .rst_ni, .step_i(s_valid_i && s_ready_o), .value_o(word_o), .last_o(last)
  );

  logic unused;
  assign unused = last;

  if (STAGES > 0) begin : gen_stages
    // the youngest word lowest
    logic [STAGES-1:0] valid_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) valid_q <= '0;
      else if (en_o) valid_q <= STAGES'({valid_q, s_valid_i});
    end

    assign en_o      = !valid_q[STAGES-1] || m_ready_i;
    assign s_ready_o = en_o;
    assign m_valid_o = valid_q[STAGES-1];
  end else begin : gen_wires
    assign en_o      = 1'b1;
    assign s_ready_o = m_ready_i;
    assign m_valid_o = s_valid_i;
  end

endmodule : xh_leaf
