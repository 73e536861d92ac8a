// Max-pooling of codes, unsigned or in two's complement: per lane the maximum over a window's taps,
// the minimum where INVERT has a one.  `xh_pool` with BITS above 1; the order of the words is
// described there.
//
// One stage, the largest code so far, which is the output register as well; where a word holds
// several taps a tree of comparators with a register stands in front of it.
module xh_code_pool #(
  parameter int unsigned LANES           = 8,
  parameter int unsigned BITS            = 2,
  parameter int unsigned TAPS_PER_WORD   = 1,
  parameter int unsigned TAP_GROUPS      = 4,
  parameter int unsigned WORDS_PER_PIXEL = 1,
  parameter logic [WORDS_PER_PIXEL*LANES-1:0] INVERT = '0,
  parameter bit          SIGNED          = 1'b0
) (
  input  logic                                clk_i,
  input  logic                                rst_ni,

  input  logic                                s_valid_i,
  output logic                                s_ready_o,
  input  logic [TAPS_PER_WORD*LANES*BITS-1:0] s_data_i,

  output logic                                m_valid_o,
  input  logic                                m_ready_i,
  output logic [LANES*BITS-1:0]               m_data_o
);

  if (LANES < 1 || BITS < 1 || TAPS_PER_WORD < 1 || TAP_GROUPS < 1
      || WORDS_PER_PIXEL < 1) begin : gen_bad_size
    $error("xh_code_pool: every size must be at least 1");
  end

  localparam bit UNIFORM = INVERT == {WORDS_PER_PIXEL{INVERT[0+:LANES]}};

  // with its sign turned round a number in two's complement has its place among the unsigned ones
  localparam logic [BITS-1:0] SIGN = BITS'(SIGNED) << (BITS - 1);

  logic [LANES-1:0] invert, word_invert;   // of the incoming word, of the one behind the tree
  logic load;
  logic take, first;
  logic word_valid, word_ready;

  if (UNIFORM) begin : gen_uniform
    assign invert = INVERT[0+:LANES];
  end else begin : gen_per_word
    localparam int unsigned GROUP_BITS = (TAP_GROUPS > 1) ? $clog2(TAP_GROUPS) : 1;
    localparam int unsigned WORD_BITS  = $clog2(WORDS_PER_PIXEL);

    logic [GROUP_BITS-1:0] group;
    logic [WORD_BITS-1:0] word;
    logic move, last_group, unused_last;

    assign move = s_valid_i && s_ready_o;

    xh_counter #(.COUNT(TAP_GROUPS)) i_group (
      .clk_i, .rst_ni, .step_i(move), .value_o(group), .last_o(last_group)
    );
    xh_counter #(.COUNT(WORDS_PER_PIXEL)) i_word (
      .clk_i, .rst_ni, .step_i(move && last_group), .value_o(word), .last_o(unused_last)
    );

    assign invert = INVERT[word*LANES+:LANES];

    logic unused;
    assign unused = &{1'b0, group};
  end

  if (TAPS_PER_WORD == 1) begin : gen_direct

    assign word_valid  = s_valid_i;
    assign s_ready_o   = word_ready;
    assign load        = 1'b0;
    assign word_invert = invert;

    logic unused;
    assign unused = &{1'b0, load};

  end else begin : gen_staged

    logic [LANES-1:0] invert_q;

    xh_pipeline #(.STAGES(1)) i_pipeline (
      .clk_i, .rst_ni,
      .s_valid_i, .s_ready_o,
      .load_o(load),
      .m_valid_o(word_valid), .m_ready_i(word_ready)
    );

    always_ff @(posedge clk_i) begin
      if (load) invert_q <= invert;
    end

    assign word_invert = UNIFORM ? invert : invert_q;

    if (UNIFORM) begin : gen_unused
      logic unused;
      assign unused = &{1'b0, invert_q};
    end

  end

  xh_gather #(.COUNT(TAP_GROUPS)) i_gather (
    .clk_i, .rst_ni,
    .s_valid_i(word_valid), .s_ready_o(word_ready),
    .take_o(take), .first_o(first),
    .m_valid_o, .m_ready_i
  );

  for (genvar i = 0; i < LANES; i++) begin : gen_lane

    logic [BITS-1:0] word, best_q;

    if (TAPS_PER_WORD == 1) begin : gen_direct
      assign word = s_data_i[i*BITS+:BITS];
    end else begin : gen_tree

      // a heap: node n has the children 2n and 2n + 1, the taps are its leaves
      logic [2*TAPS_PER_WORD*BITS-1:0] nodes;
      logic [BITS-1:0] word_q;

      always_comb begin
        nodes = '0;
        for (int unsigned t = 0; t < TAPS_PER_WORD; t++) begin
          nodes[(TAPS_PER_WORD+t)*BITS+:BITS] = s_data_i[(t*LANES+i)*BITS+:BITS];
        end
        for (int unsigned n = TAPS_PER_WORD - 1; n > 0; n--) begin
          nodes[n*BITS+:BITS] =
              (((nodes[2*n*BITS+:BITS] ^ SIGN) > (nodes[(2*n+1)*BITS+:BITS] ^ SIGN)) != invert[i])
              ? nodes[2*n*BITS+:BITS] : nodes[(2*n+1)*BITS+:BITS];
        end
      end

      always_ff @(posedge clk_i) begin
        if (load) word_q <= nodes[BITS+:BITS];
      end

      assign word = word_q;

    end

    always_ff @(posedge clk_i) begin
      if (take && (first || ((word ^ SIGN) > (best_q ^ SIGN)) != word_invert[i])) best_q <= word;
    end

    assign m_data_o[i*BITS+:BITS] = best_q;

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_code_pool: the output changed while it was stalled");
`endif

endmodule : xh_code_pool
