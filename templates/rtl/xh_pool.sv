// Max-pooling: per lane the maximum over a window's taps, the minimum where INVERT has a one; on
// elements of one bit these are OR and AND.
//
// Takes TAP_GROUPS words of TAPS_PER_WORD taps for each of the WORDS_PER_PIXEL channel words of
// a pixel (a window with CHANNELS_OUTER gives them in this order) and gives one word a channel
// word.  AND is the OR of inverted bits, inverted back.  The last word of a group leaves with
// its result: only earlier ones are stored.  Codes of more bits have their own module.
module xh_pool #(
  parameter int unsigned LANES           = 8,
  parameter int unsigned TAPS_PER_WORD   = 1,
  parameter int unsigned TAP_GROUPS      = 4,
  parameter int unsigned WORDS_PER_PIXEL = 1,
  parameter logic [WORDS_PER_PIXEL*LANES-1:0] INVERT = '0,
  parameter int unsigned BITS            = 1,
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

  if (LANES < 1 || TAPS_PER_WORD < 1 || TAP_GROUPS < 1 || WORDS_PER_PIXEL < 1
      || BITS < 1) begin : gen_bad_size
    $error("xh_pool: every size must be at least 1");
  end

  if (SIGNED && BITS == 1) begin : gen_bad_sign
    $error("xh_pool: an element of one bit has no sign");
  end

  if (BITS > 1) begin : gen_codes

    xh_code_pool #(
      .LANES(LANES), .BITS(BITS), .TAPS_PER_WORD(TAPS_PER_WORD), .TAP_GROUPS(TAP_GROUPS),
      .WORDS_PER_PIXEL(WORDS_PER_PIXEL), .INVERT(INVERT), .SIGNED(SIGNED)
    ) i_code_pool (
      .clk_i, .rst_ni,
      .s_valid_i, .s_ready_o, .s_data_i,
      .m_valid_o, .m_ready_i, .m_data_o
    );

  end else begin : gen_bits

    // one INVERT word for all channel words needs no counter of them
    localparam bit UNIFORM = INVERT == {WORDS_PER_PIXEL{INVERT[0+:LANES]}};

    logic [LANES-1:0] invert;
    logic [LANES-1:0] taps;     // OR over the taps of the incoming word
    logic [LANES-1:0] result;   // ... and of the words before it
    logic last;
    logic move;

    assign move = s_valid_i && s_ready_o;

    always_comb begin
      taps = '0;
      for (int unsigned i = 0; i < TAPS_PER_WORD; i++) begin
        taps |= s_data_i[i*LANES+:LANES] ^ invert;
      end
    end

    if (UNIFORM) begin : gen_uniform
      assign invert = INVERT[0+:LANES];
    end else begin : gen_per_word
      localparam int unsigned WORD_BITS = $clog2(WORDS_PER_PIXEL);
      logic [WORD_BITS-1:0] word_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) word_q <= '0;
        else if (move && last) begin
          word_q <= (word_q == WORD_BITS'(WORDS_PER_PIXEL - 1)) ? '0 : word_q + 1'b1;
        end
      end

      assign invert = INVERT[word_q*LANES+:LANES];
    end

    if (TAP_GROUPS == 1) begin : gen_direct
      assign last   = 1'b1;
      assign result = taps;
    end else begin : gen_accumulate
      localparam int unsigned GROUP_BITS = $clog2(TAP_GROUPS);
      logic [GROUP_BITS-1:0] group_q;
      logic [LANES-1:0] partial_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) group_q <= '0;
        else if (move) group_q <= last ? '0 : group_q + 1'b1;
      end

      always_ff @(posedge clk_i) begin
        if (!rst_ni) partial_q <= '0;
        else if (move) partial_q <= last ? '0 : result;
      end

      assign last   = group_q == GROUP_BITS'(TAP_GROUPS - 1);
      assign result = partial_q | taps;
    end

    assign m_valid_o = s_valid_i && last;
    assign s_ready_o = m_ready_i || !last;
    assign m_data_o  = result ^ invert;

    if (UNIFORM && TAP_GROUPS == 1) begin : gen_stateless
      // combinational all the way: clock and reset stay for the unit's common form
      logic unused;
      assign unused = &{1'b0, clk_i, rst_ni, move};
    end

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_pool: the output changed while it was stalled");
`endif

endmodule : xh_pool
