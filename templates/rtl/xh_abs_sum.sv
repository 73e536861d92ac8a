// The sum of a pixel's magnitudes over all its channels: WORDS_PER_PIXEL words of LANES signed
// elements give one number.  Of the last word the first LAST_LANES elements count.
//
// |x| is x where it is not negative and ~x + 1 where it is: the bits are inverted by the sign,
// which the adders' LUTs absorb, and the sign is added.
//
// Two stages: the sum of a word's magnitudes, and the accumulator, which is the output register
// as well.  Arithmetic is modulo 2^OUT_BITS: exact where the final value fits.
module xh_abs_sum #(
  parameter int unsigned LANES           = 4,
  parameter int unsigned IN_BITS         = 8,
  parameter int unsigned WORDS_PER_PIXEL = 2,
  parameter int unsigned LAST_LANES      = 4,
  parameter int unsigned OUT_BITS        = 12
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     s_valid_i,
  output logic                     s_ready_o,
  input  logic [LANES*IN_BITS-1:0] s_data_i,

  output logic                     m_valid_o,
  input  logic                     m_ready_i,
  output logic [OUT_BITS-1:0]      m_data_o
);

  if (LANES < 1 || IN_BITS < 1 || WORDS_PER_PIXEL < 1 || OUT_BITS < 1) begin : gen_bad_size
    $error("xh_abs_sum: every size must be at least 1");
  end
  if (LAST_LANES < 1 || LAST_LANES > LANES) begin : gen_bad_last
    $error("xh_abs_sum: LAST_LANES must be 1 to LANES");
  end

  localparam int unsigned LONG_BITS  = IN_BITS + $clog2(LANES);   // a word's sum, unsigned
  localparam int unsigned WORD_BITS  = (LONG_BITS < OUT_BITS) ? LONG_BITS : OUT_BITS;
  localparam int unsigned TOTAL_BITS = LONG_BITS + $clog2(WORDS_PER_PIXEL);
  localparam int unsigned ACC_BITS   = (TOTAL_BITS < OUT_BITS) ? TOTAL_BITS : OUT_BITS;
  localparam int unsigned COUNT_BITS = (WORDS_PER_PIXEL > 1) ? $clog2(WORDS_PER_PIXEL) : 1;

  logic load, last;
  logic take, first;
  logic word_valid, word_ready;
  logic [COUNT_BITS-1:0] count;
  logic [LANES*IN_BITS-1:0] elements;
  logic [LONG_BITS-1:0] sum;
  logic [WORD_BITS-1:0] sum_q;
  logic [ACC_BITS-1:0] acc_q;

  xh_pipeline #(.STAGES(1)) i_pipeline (
    .clk_i, .rst_ni,
    .s_valid_i, .s_ready_o,
    .load_o(load),
    .m_valid_o(word_valid), .m_ready_i(word_ready)
  );

  xh_gather #(.COUNT(WORDS_PER_PIXEL)) i_gather (
    .clk_i, .rst_ni,
    .s_valid_i(word_valid), .s_ready_o(word_ready),
    .take_o(take), .first_o(first),
    .m_valid_o, .m_ready_i
  );

  if (LAST_LANES == LANES) begin : gen_all

    assign last     = 1'b0;
    assign count    = '0;
    assign elements = s_data_i;

  end else begin : gen_last

    xh_counter #(.COUNT(WORDS_PER_PIXEL)) i_word (
      .clk_i, .rst_ni, .step_i(s_valid_i && s_ready_o), .value_o(count), .last_o(last)
    );

    assign elements[LAST_LANES*IN_BITS-1:0] = s_data_i[LAST_LANES*IN_BITS-1:0];
    assign elements[LANES*IN_BITS-1:LAST_LANES*IN_BITS] =
        last ? '0 : s_data_i[LANES*IN_BITS-1:LAST_LANES*IN_BITS];

  end

  always_comb begin
    sum = '0;
    for (int unsigned i = 0; i < LANES; i++) begin
      sum += LONG_BITS'(elements[i*IN_BITS+:IN_BITS] ^ {IN_BITS{elements[i*IN_BITS+IN_BITS-1]}});
      sum += LONG_BITS'({elements[i*IN_BITS+IN_BITS-1]});
    end
  end

  always_ff @(posedge clk_i) begin
    if (load) sum_q <= sum[WORD_BITS-1:0];
    if (take) acc_q <= (first ? '0 : acc_q) + ACC_BITS'(sum_q);
  end

  assign m_data_o = OUT_BITS'(acc_q);

  logic unused;
  assign unused = &{1'b0, count, last, sum};

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_abs_sum: the output changed while it was stalled");
`endif

endmodule : xh_abs_sum
