// A map times a factor a pixel: each of a pixel's WORDS_PER_PIXEL words on the stream s, LANES
// signed elements, times the one signed number that comes for it on the stream f.
//
// Three stages, the registers of a DSP block: element and factor, product, output.  Arithmetic is
// modulo 2^OUT_BITS: exact where the product fits, and the bits above those that a product can
// have are copies of its sign.
module xh_multiply #(
  parameter int unsigned LANES           = 4,
  parameter int unsigned IN_BITS         = 10,
  parameter int unsigned FACTOR_BITS     = 8,
  parameter int unsigned WORDS_PER_PIXEL = 2,
  parameter int unsigned OUT_BITS        = 18
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,

  input  logic                      s_valid_i,
  output logic                      s_ready_o,
  input  logic [LANES*IN_BITS-1:0]  s_data_i,

  input  logic                      f_valid_i,
  output logic                      f_ready_o,
  input  logic [FACTOR_BITS-1:0]    f_data_i,

  output logic                      m_valid_o,
  input  logic                      m_ready_i,
  output logic [LANES*OUT_BITS-1:0] m_data_o
);

  if (LANES < 1 || IN_BITS < 1 || FACTOR_BITS < 1 || WORDS_PER_PIXEL < 1 || OUT_BITS < 1) begin : gen_bad_size
    $error("xh_multiply: every size must be at least 1");
  end

  // modulo 2^OUT_BITS: what lies above does not matter
  localparam int unsigned ELEMENT_BITS = (IN_BITS < OUT_BITS) ? IN_BITS : OUT_BITS;
  localparam int unsigned SCALE_BITS   = (FACTOR_BITS < OUT_BITS) ? FACTOR_BITS : OUT_BITS;
  localparam int unsigned LONG_BITS    = ELEMENT_BITS + SCALE_BITS;
  localparam int unsigned PRODUCT_BITS = (LONG_BITS < OUT_BITS) ? LONG_BITS : OUT_BITS;
  localparam int unsigned WORD_BITS    = (WORDS_PER_PIXEL > 1) ? $clog2(WORDS_PER_PIXEL) : 1;

  typedef logic signed [PRODUCT_BITS-1:0] product_t;

  logic [2:0] load;
  logic [WORD_BITS-1:0] word;
  logic ready, last;
  logic signed [SCALE_BITS-1:0] factor_q;

  assign s_ready_o = ready && f_valid_i;
  assign f_ready_o = ready && s_valid_i && last;   // it stays for all words of its pixel

  xh_pipeline #(.STAGES(3)) i_pipeline (
    .clk_i, .rst_ni,
    .s_valid_i(s_valid_i && f_valid_i), .s_ready_o(ready),
    .load_o(load),
    .m_valid_o, .m_ready_i
  );

  xh_counter #(.COUNT(WORDS_PER_PIXEL)) i_word (
    .clk_i, .rst_ni, .step_i(s_valid_i && s_ready_o), .value_o(word), .last_o(last)
  );

  logic unused;
  assign unused = &{1'b0, word, s_data_i, f_data_i};

  always_ff @(posedge clk_i) begin
    if (load[0]) factor_q <= f_data_i[SCALE_BITS-1:0];
  end

  for (genvar i = 0; i < LANES; i++) begin : gen_lane

    logic signed [ELEMENT_BITS-1:0] element_q;
    product_t product_q, out_q;

    always_ff @(posedge clk_i) begin
      if (load[0]) element_q <= s_data_i[i*IN_BITS+:ELEMENT_BITS];
      if (load[1]) product_q <= product_t'(element_q) * product_t'(factor_q);
      if (load[2]) out_q <= product_q;
    end

    assign m_data_o[i*OUT_BITS+:OUT_BITS] = OUT_BITS'(out_q);

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_multiply: the output changed while it was stalled");
`endif

endmodule : xh_multiply
