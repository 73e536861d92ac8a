// Sum-pooling (average pooling before its division): per lane the sum over a window's taps.
//
// Takes TAP_GROUPS words of TAPS_PER_WORD taps for each of the WORDS_PER_PIXEL channel words of a
// pixel (a window with CHANNELS_OUTER gives them in this order) and gives one word of signed sums
// a channel word.  Bipolar taps are counted: the accumulator begins at minus half the number of
// taps, the number's lowest bit goes around it, and so 2p - n needs no addition.
//
// One stage, the accumulator, which is the output register as well; where a word holds several
// taps their sum has a register in front of it.  Arithmetic is modulo 2^OUT_BITS: exact where the
// final value fits, and the bits above those that a sum can have are copies of its sign.
module xh_sum_pool #(
  parameter int unsigned LANES           = 8,
  parameter int unsigned IN_BITS         = 2,
  parameter bit          IN_SIGNED       = 1'b0,
  parameter bit          IN_BIPOLAR      = 1'b0,
  parameter int unsigned TAPS_PER_WORD   = 1,
  parameter int unsigned TAP_GROUPS      = 4,
  parameter int unsigned WORDS_PER_PIXEL = 1,
  parameter int unsigned OUT_BITS        = 5
) (
  input  logic                                   clk_i,
  input  logic                                   rst_ni,

  input  logic                                   s_valid_i,
  output logic                                   s_ready_o,
  input  logic [TAPS_PER_WORD*LANES*IN_BITS-1:0] s_data_i,

  output logic                                   m_valid_o,
  input  logic                                   m_ready_i,
  output logic [LANES*OUT_BITS-1:0]              m_data_o
);

  if (LANES < 1 || IN_BITS < 1 || TAPS_PER_WORD < 1 || TAP_GROUPS < 1 || WORDS_PER_PIXEL < 1) begin : gen_bad_size
    $error("xh_sum_pool: every size must be at least 1");
  end
  if (OUT_BITS < IN_BITS + (IN_SIGNED ? 0 : 1)) begin : gen_bad_out
    $error("xh_sum_pool: OUT_BITS cannot hold a tap");
  end
  if (IN_BIPOLAR && (IN_BITS != 1 || IN_SIGNED)) begin : gen_bad_bipolar
    $error("xh_sum_pool: a bipolar tap is one unsigned bit");
  end

  localparam int unsigned TAPS      = TAPS_PER_WORD * TAP_GROUPS;
  localparam int unsigned SUM_BITS  = IN_BITS + $clog2(TAPS) + 1;
  localparam int unsigned MOST_BITS = OUT_BITS - (IN_BIPOLAR ? 1 : 0);
  localparam int unsigned ACC_BITS  = (SUM_BITS < MOST_BITS) ? SUM_BITS : MOST_BITS;
  localparam int unsigned LONG_BITS = IN_BITS + $clog2(TAPS_PER_WORD) + 1;   // a word's sum, signed
  localparam int unsigned WORD_BITS = (LONG_BITS < ACC_BITS) ? LONG_BITS : ACC_BITS;

  typedef logic signed [WORD_BITS-1:0] word_t;
  typedef logic signed [ACC_BITS-1:0] acc_t;

  localparam acc_t BEGIN = IN_BIPOLAR ? -acc_t'((TAPS + 1) / 2) : '0;
  localparam bit   ODD   = TAPS % 2 == 1;

  logic load;
  logic take, first;
  logic word_valid, word_ready;

  if (TAPS_PER_WORD == 1) begin : gen_direct
    assign word_valid = s_valid_i;
    assign s_ready_o  = word_ready;
    assign load       = 1'b0;
  end else begin : gen_staged
    xh_pipeline #(.STAGES(1)) i_pipeline (
      .clk_i, .rst_ni,
      .s_valid_i, .s_ready_o,
      .load_o(load),
      .m_valid_o(word_valid), .m_ready_i(word_ready)
    );
  end

  xh_gather #(.COUNT(TAP_GROUPS)) i_gather (
    .clk_i, .rst_ni,
    .s_valid_i(word_valid), .s_ready_o(word_ready),
    .take_o(take), .first_o(first),
    .m_valid_o, .m_ready_i
  );

  for (genvar i = 0; i < LANES; i++) begin : gen_lane

    word_t sum, word;
    acc_t acc_q;

    always_comb begin
      sum = '0;
      for (int unsigned t = 0; t < TAPS_PER_WORD; t++) begin
        sum += {{(WORD_BITS - IN_BITS) {IN_SIGNED && s_data_i[(t*LANES+i)*IN_BITS+IN_BITS-1]}},
                s_data_i[(t*LANES+i)*IN_BITS+:IN_BITS]};
      end
    end

    if (TAPS_PER_WORD == 1) begin : gen_direct
      assign word = sum;
    end else begin : gen_staged
      word_t sum_q;
      always_ff @(posedge clk_i) begin
        if (load) sum_q <= sum;
      end
      assign word = sum_q;
    end

    always_ff @(posedge clk_i) begin
      if (take) acc_q <= (first ? BEGIN : acc_q) + acc_t'(word);
    end

    if (IN_BIPOLAR) begin : gen_bipolar
      assign m_data_o[i*OUT_BITS+:OUT_BITS] = OUT_BITS'($signed({acc_q, ODD}));
    end else begin : gen_codes
      assign m_data_o[i*OUT_BITS+:OUT_BITS] = OUT_BITS'(acc_q);
    end

  end

  if (TAPS_PER_WORD == 1) begin : gen_unused
    logic unused;
    assign unused = &{1'b0, load};
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_sum_pool: the output changed while it was stalled");
`endif

endmodule : xh_sum_pool
