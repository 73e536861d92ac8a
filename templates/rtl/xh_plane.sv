// Codes to one bipolar plane of them a term: bit = code > PLANES[term].
//
// A thermometer code is held as its number of ones; base n of it is +1 where the number exceeds n.
// The words of a pixel come once for each of the TERMS, FOLDS words a time.  The term's plane is
// kept in a register, so that a bit of a code of up to three bits is one LUT and the unit needs no
// stage of its own.
module xh_plane #(
  parameter int unsigned LANES = 8,
  parameter int unsigned BITS  = 2,
  parameter int unsigned FOLDS = 9,
  parameter int unsigned TERMS = 3,
  parameter logic [TERMS*BITS-1:0] PLANES = '0
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,

  input  logic                  s_valid_i,
  output logic                  s_ready_o,
  input  logic [LANES*BITS-1:0] s_data_i,

  output logic                  m_valid_o,
  input  logic                  m_ready_i,
  output logic [LANES-1:0]      m_data_o
);

  if (LANES < 1 || BITS < 1 || FOLDS < 1 || TERMS < 1) begin : gen_bad_size
    $error("xh_plane: every size must be at least 1");
  end

  localparam bit UNIFORM = PLANES == {TERMS{PLANES[0+:BITS]}};

  logic [BITS-1:0] plane;

  if (UNIFORM) begin : gen_one_plane

    assign plane = PLANES[0+:BITS];

    // combinational all the way: clock and reset stay for the unit's common form
    logic unused;
    assign unused = &{1'b0, clk_i, rst_ni};

  end else begin : gen_planes

    localparam int unsigned FOLD_BITS = (FOLDS > 1) ? $clog2(FOLDS) : 1;
    localparam int unsigned TERM_BITS = $clog2(TERMS);
    localparam logic [TERM_BITS-1:0] SECOND = (TERMS > 1) ? TERM_BITS'(1) : '0;

    logic move, last;
    logic [FOLD_BITS-1:0] fold;
    logic [TERM_BITS-1:0] next_q;   // the term after the one whose plane is in plane_q
    logic [BITS-1:0] plane_q;

    assign move = s_valid_i && m_ready_i;

    xh_counter #(.COUNT(FOLDS)) i_fold (
      .clk_i, .rst_ni, .step_i(move), .value_o(fold), .last_o(last)
    );

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        next_q  <= SECOND;
        plane_q <= PLANES[0+:BITS];
      end else if (move && last) begin
        next_q  <= (next_q == TERM_BITS'(TERMS - 1)) ? '0 : next_q + 1'b1;
        plane_q <= PLANES[next_q*BITS+:BITS];
      end
    end

    assign plane = plane_q;

    logic unused;
    assign unused = &{1'b0, fold};

  end

  if (UNIFORM && (&PLANES[0+:BITS])) begin : gen_never
    // no code exceeds the greatest one
    assign m_data_o = '0;

    logic unused_codes;
    assign unused_codes = &{1'b0, s_data_i, plane};
  end else begin : gen_compare
    for (genvar i = 0; i < LANES; i++) begin : gen_lane
      assign m_data_o[i] = s_data_i[i*BITS+:BITS] > plane;
    end
  end

  assign m_valid_o = s_valid_i;
  assign s_ready_o = m_ready_i;

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_plane: the output changed while it was stalled");
`endif

endmodule : xh_plane
