// Sum of several streams: per lane input i times 2^SHIFTS[i], added.
//
// An input's elements are two's complement where IN_SIGNED has a one, signs where IN_BIPOLAR has
// (bit 1 is +1, bit 0 is -1), else unsigned.  The sum is formed when a word of every input is
// there: an input that comes early waits, and what stands before it has to keep its words.
//
// One stage, the sum, which is the output register as well.  Arithmetic is modulo 2^OUT_BITS:
// exact where the final value fits, and the bits above those that a sum can have are copies of its
// sign.
module xh_add #(
  parameter int unsigned INPUTS   = 2,
  parameter int unsigned LANES    = 4,
  parameter int unsigned OUT_BITS = 9,
  // 8 bits each, input 0 lowest
  parameter logic [INPUTS*8-1:0] IN_BITS    = {INPUTS{8'd8}},
  parameter logic [INPUTS*8-1:0] SHIFTS     = '0,
  parameter logic [INPUTS-1:0]   IN_SIGNED  = '1,
  parameter logic [INPUTS-1:0]   IN_BIPOLAR = '0,
  // bits of all inputs' words
  parameter int unsigned IN_WIDTH = 64
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,

  // input 0 lowest
  input  logic [INPUTS-1:0]         s_valid_i,
  output logic [INPUTS-1:0]         s_ready_o,
  input  logic [IN_WIDTH-1:0]       s_data_i,

  output logic                      m_valid_o,
  input  logic                      m_ready_i,
  output logic [LANES*OUT_BITS-1:0] m_data_o
);

  // the first bit of an input's word; of what follows the last one, the bits of all
  function automatic int unsigned first_bit(int unsigned number);
    first_bit = 0;
    for (int unsigned n = 0; n < number; n++) begin
      first_bit += LANES * {24'd0, IN_BITS[n*8+:8]};
    end
  endfunction

  function automatic bit good_inputs();
    good_inputs = 1'b1;
    for (int unsigned n = 0; n < INPUTS; n++) begin
      if (IN_BITS[n*8+:8] < 8'd1) good_inputs = 1'b0;
      if (IN_BIPOLAR[n] && (IN_BITS[n*8+:8] != 8'd1 || IN_SIGNED[n])) good_inputs = 1'b0;
    end
  endfunction

  // signed, of the longest summand
  function automatic int unsigned most_bits();
    most_bits = 1;
    for (int unsigned n = 0; n < INPUTS; n++) begin
      if ({24'd0, SHIFTS[n*8+:8]} + {24'd0, IN_BITS[n*8+:8]} + (IN_SIGNED[n] ? 0 : 1) > most_bits) begin
        most_bits = {24'd0, SHIFTS[n*8+:8]} + {24'd0, IN_BITS[n*8+:8]} + (IN_SIGNED[n] ? 0 : 1);
      end
    end
  endfunction

  if (INPUTS < 1 || LANES < 1 || OUT_BITS < 1) begin : gen_bad_size
    $error("xh_add: every size must be at least 1");
  end else if (!good_inputs()) begin : gen_bad_input
    $error("xh_add: an element has at least one bit, a bipolar one is one unsigned bit");
  end else if (IN_WIDTH != first_bit(INPUTS)) begin : gen_bad_width
    $error("xh_add: IN_WIDTH is not what the inputs' words have");
  end

  localparam int unsigned LONG_BITS = most_bits() + $clog2(INPUTS);
  localparam int unsigned SUM_BITS  = (LONG_BITS < OUT_BITS) ? LONG_BITS : OUT_BITS;

  logic load, ready;

  assign s_ready_o = {INPUTS{ready && (&s_valid_i)}};

  xh_pipeline #(.STAGES(1)) i_pipeline (
    .clk_i, .rst_ni,
    .s_valid_i(&s_valid_i), .s_ready_o(ready),
    .load_o(load),
    .m_valid_o, .m_ready_i
  );

  // every element as a summand, shifted to its place: input by input, lane by lane
  logic [INPUTS*LANES*SUM_BITS-1:0] summands;

  for (genvar n = 0; n < INPUTS; n++) begin : gen_input

    localparam int unsigned BITS  = {24'd0, IN_BITS[n*8+:8]};
    localparam int unsigned SHIFT = {24'd0, SHIFTS[n*8+:8]};
    localparam int unsigned FIRST = first_bit(n);
    localparam int unsigned LONG  = SHIFT + BITS + 2 + SUM_BITS;   // any shift, then cut

    for (genvar i = 0; i < LANES; i++) begin : gen_lane

      logic [BITS-1:0] element;
      logic [BITS+1:0] value;   // signed
      logic [LONG-1:0] placed;

      assign element = s_data_i[FIRST+i*BITS+:BITS];

      if (IN_BIPOLAR[n]) begin : gen_bipolar
        assign value = {{2{!element[0]}}, 1'b1};
      end else begin : gen_number
        assign value = {{2{IN_SIGNED[n] && element[BITS-1]}}, element};
      end

      if (SHIFT > 0) begin : gen_shifted
        assign placed = {{SUM_BITS{value[BITS+1]}}, value, {SHIFT{1'b0}}};
      end else begin : gen_plain
        assign placed = {{SUM_BITS{value[BITS+1]}}, value};
      end

      assign summands[(n*LANES+i)*SUM_BITS+:SUM_BITS] = placed[SUM_BITS-1:0];

      // modulo 2^SUM_BITS: what lies above does not matter
      logic unused;
      assign unused = ^placed[LONG-1:SUM_BITS];

    end

  end

  for (genvar i = 0; i < LANES; i++) begin : gen_sum

    logic signed [SUM_BITS-1:0] sum, sum_q;

    always_comb begin
      sum = '0;
      for (int unsigned n = 0; n < INPUTS; n++) begin
        sum += summands[(n*LANES+i)*SUM_BITS+:SUM_BITS];
      end
    end

    always_ff @(posedge clk_i) begin
      if (load) sum_q <= sum;
    end

    assign m_data_o[i*OUT_BITS+:OUT_BITS] = OUT_BITS'(sum_q);

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_add: the output changed while it was stalled");
`endif

endmodule : xh_add
