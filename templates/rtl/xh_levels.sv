// Signed sums to codes: per lane the number of levels that the sum has passed.
//
// Takes one word of LANES sums, and with it one word of levels on the stream l: a lane's LEVELS
// levels of IN_BITS bits, the lowest first, then its flip.  A level t is passed where (sum >= t)
// differs from the flip: behind a batch norm with a negative factor sum <= t is !(sum >= t + 1).
//
// Two stages: the comparators' results in a register, then their number.
module xh_levels #(
  parameter int unsigned LANES    = 4,
  parameter int unsigned IN_BITS  = 12,
  parameter int unsigned LEVELS   = 3,
  parameter int unsigned OUT_BITS = 2
) (
  input  logic                                clk_i,
  input  logic                                rst_ni,

  input  logic                                s_valid_i,
  output logic                                s_ready_o,
  input  logic [LANES*IN_BITS-1:0]            s_data_i,

  input  logic                                l_valid_i,
  output logic                                l_ready_o,
  input  logic [LANES*(LEVELS*IN_BITS+1)-1:0] l_data_i,

  output logic                                m_valid_o,
  input  logic                                m_ready_i,
  output logic [LANES*OUT_BITS-1:0]           m_data_o
);

  if (LANES < 1 || IN_BITS < 1 || LEVELS < 1) begin : gen_bad_size
    $error("xh_levels: every size must be at least 1");
  end
  if (OUT_BITS < $clog2(LEVELS + 1)) begin : gen_bad_out
    $error("xh_levels: OUT_BITS cannot hold the number of levels");
  end

  localparam int unsigned LINE_BITS = LEVELS * IN_BITS + 1;   // a lane's part of a word of levels

  typedef logic signed [IN_BITS-1:0] sum_t;

  logic [1:0] load;
  logic ready;

  assign s_ready_o = ready && l_valid_i;
  assign l_ready_o = ready && s_valid_i;

  xh_pipeline #(.STAGES(2)) i_pipeline (
    .clk_i, .rst_ni,
    .s_valid_i(s_valid_i && l_valid_i), .s_ready_o(ready),
    .load_o(load),
    .m_valid_o, .m_ready_i
  );

  for (genvar i = 0; i < LANES; i++) begin : gen_lane

    sum_t sum;
    logic [LINE_BITS-1:0] line;
    logic [LEVELS-1:0] reached, reached_q;
    logic flip_q;
    logic [OUT_BITS-1:0] count, count_q;

    assign sum  = s_data_i[i*IN_BITS+:IN_BITS];
    assign line = l_data_i[i*LINE_BITS+:LINE_BITS];

    for (genvar t = 0; t < LEVELS; t++) begin : gen_level
      sum_t level;
      assign level      = line[t*IN_BITS+:IN_BITS];
      assign reached[t] = sum >= level;
    end

    // the flip waits for the second stage, where the LUTs that count have an input to spare
    always_ff @(posedge clk_i) begin
      if (load[0]) begin
        reached_q <= reached;
        flip_q    <= line[LINE_BITS-1];
      end
    end

    always_comb begin
      count = '0;
      for (int unsigned t = 0; t < LEVELS; t++) begin
        count += OUT_BITS'({reached_q[t] ^ flip_q});
      end
    end

    always_ff @(posedge clk_i) begin
      if (load[1]) count_q <= count;
    end

    assign m_data_o[i*OUT_BITS+:OUT_BITS] = count_q;

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_levels: the output changed while it was stalled");
`endif

endmodule : xh_levels
