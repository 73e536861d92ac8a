// Handshake of STAGES registers in a row: load_o[i] says that stage i takes what stands before it.
//
// A stage loads when it is empty or when any stage behind it moves on, so words close up and no
// bubble stays.  The data registers are the unit's own; what they load from an empty stage does
// not matter.  m_ready_i reaches s_ready_o combinationally.
module xh_pipeline #(
  parameter int unsigned STAGES = 2
) (
  input  logic              clk_i,
  input  logic              rst_ni,

  input  logic              s_valid_i,
  output logic              s_ready_o,

  output logic [STAGES-1:0] load_o,

  output logic              m_valid_o,
  input  logic              m_ready_i
);

  if (STAGES < 1) begin : gen_bad_stages
    $error("xh_pipeline: STAGES must be at least 1");
  end

  logic [STAGES-1:0] valid_q;

  for (genvar i = 0; i < STAGES; i++) begin : gen_stage
    // one gate over all stages behind, not a chain of them
    assign load_o[i] = m_ready_i || !(&valid_q[STAGES-1:i]);

    if (i == 0) begin : gen_first
      always_ff @(posedge clk_i) begin
        if (!rst_ni) valid_q[i] <= 1'b0;
        else if (load_o[i]) valid_q[i] <= s_valid_i;
      end
    end else begin : gen_next
      always_ff @(posedge clk_i) begin
        if (!rst_ni) valid_q[i] <= 1'b0;
        else if (load_o[i]) valid_q[i] <= valid_q[i-1];
      end
    end
  end

  assign s_ready_o = load_o[0];
  assign m_valid_o = valid_q[STAGES-1];

endmodule : xh_pipeline
