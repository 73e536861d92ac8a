// Signed sums to codes by one multiplication: clamp((sum * multiplier + addend) >> SHIFT, LOW, HIGH).
//
// Takes one word of LANES sums, and with it one word of factors on the stream f: a lane's
// multiplier, then its addend, both signed.  The shift rounds down.  Nothing is cut before the
// shift: product and sum have all the bits that they can need.
//
// EVEN: where every bit that the shift drops is 0, the lowest bit that it leaves is cleared.  With
// half of 2^SHIFT in the addend these are the ties: rounded up, they go to the even code so.
//
// Four stages, the first three of which are the registers of a DSP block: factors, product, sum;
// the codes are clamped into the fourth.
module xh_requant #(
  parameter int unsigned LANES           = 4,
  parameter int unsigned IN_BITS         = 12,
  parameter int unsigned MULTIPLIER_BITS = 12,
  parameter int unsigned ADDEND_BITS     = 24,
  parameter int unsigned SHIFT           = 12,
  parameter int          LOW             = 0,
  parameter int          HIGH            = 255,
  parameter int unsigned OUT_BITS        = 8,
  parameter bit          EVEN            = 1'b0
) (
  input  logic                                           clk_i,
  input  logic                                           rst_ni,

  input  logic                                           s_valid_i,
  output logic                                           s_ready_o,
  input  logic [LANES*IN_BITS-1:0]                       s_data_i,

  input  logic                                           f_valid_i,
  output logic                                           f_ready_o,
  input  logic [LANES*(MULTIPLIER_BITS+ADDEND_BITS)-1:0] f_data_i,

  output logic                                           m_valid_o,
  input  logic                                           m_ready_i,
  output logic [LANES*OUT_BITS-1:0]                      m_data_o
);

  if (LANES < 1 || IN_BITS < 1 || MULTIPLIER_BITS < 1 || ADDEND_BITS < 1) begin : gen_bad_size
    $error("xh_requant: every size must be at least 1");
  end
  if (OUT_BITS < 1 || OUT_BITS > 32) begin : gen_bad_out
    $error("xh_requant: OUT_BITS must be 1 to 32");
  end else if (LOW > HIGH) begin : gen_bad_order
    $error("xh_requant: LOW must not exceed HIGH");
  end else if (LOW < 0 ? (LOW >>> (OUT_BITS - 1)) < -1 || (HIGH >>> (OUT_BITS - 1)) > 0
                       : (HIGH >>> OUT_BITS) > 0) begin : gen_bad_range
    $error("xh_requant: OUT_BITS cannot hold LOW to HIGH");
  end
  if (EVEN && SHIFT < 1) begin : gen_bad_even
    $error("xh_requant: EVEN needs a SHIFT of at least 1");
  end

  localparam int unsigned FACTOR_BITS  = MULTIPLIER_BITS + ADDEND_BITS;
  localparam int unsigned PRODUCT_BITS = IN_BITS + MULTIPLIER_BITS;
  localparam int unsigned SUM_BITS     = ((PRODUCT_BITS > ADDEND_BITS) ? PRODUCT_BITS : ADDEND_BITS) + 1;
  localparam int unsigned LEFT_BITS    = (SUM_BITS > SHIFT) ? SUM_BITS - SHIFT : 1;
  // LOW, HIGH and FLOOR must not be cut where they are compared
  localparam int unsigned HELD_BITS    = OUT_BITS + (EVEN ? 2 : 1);
  localparam int unsigned CODE_BITS    = (LEFT_BITS > HELD_BITS) ? LEFT_BITS : HELD_BITS;

  typedef logic signed [SUM_BITS-1:0] sum_t;
  typedef logic signed [CODE_BITS-1:0] code_t;

  localparam code_t LOWEST  = code_t'(LOW);
  localparam code_t HIGHEST = code_t'(HIGH);
  // the clamp does not wait for the ties: one that falls below an odd LOW stands on it before, and
  // one that stands on HIGH afterwards is HIGH
  localparam code_t FLOOR   = (EVEN && (LOW & 1) != 0) ? LOWEST + code_t'(1) : LOWEST;

  // a sum that is shorter than the shift repeats its sign above
  localparam int unsigned TIE_BITS = (SHIFT < 1) ? 1 : (SHIFT < SUM_BITS) ? SHIFT : SUM_BITS;

  logic [3:0] load;
  logic ready;

  assign s_ready_o = ready && f_valid_i;
  assign f_ready_o = ready && s_valid_i;

  xh_pipeline #(.STAGES(4)) i_pipeline (
    .clk_i, .rst_ni,
    .s_valid_i(s_valid_i && f_valid_i), .s_ready_o(ready),
    .load_o(load),
    .m_valid_o, .m_ready_i
  );

  for (genvar i = 0; i < LANES; i++) begin : gen_lane

    logic signed [IN_BITS-1:0] in_q;
    logic signed [MULTIPLIER_BITS-1:0] multiplier_q;
    logic signed [ADDEND_BITS-1:0] addend_q, late_addend_q;
    logic signed [PRODUCT_BITS-1:0] product_q;
    sum_t sum_q, shifted;
    code_t code;
    logic [OUT_BITS-1:0] rounded, clamped, out_q;

    always_ff @(posedge clk_i) begin
      if (load[0]) begin
        in_q         <= s_data_i[i*IN_BITS+:IN_BITS];
        multiplier_q <= f_data_i[i*FACTOR_BITS+:MULTIPLIER_BITS];
        addend_q     <= f_data_i[i*FACTOR_BITS+MULTIPLIER_BITS+:ADDEND_BITS];
      end
      if (load[1]) begin
        product_q     <= PRODUCT_BITS'(in_q) * PRODUCT_BITS'(multiplier_q);
        late_addend_q <= addend_q;
      end
      if (load[2]) sum_q <= sum_t'(product_q) + sum_t'(late_addend_q);
      if (load[3]) out_q <= clamped;
    end

    assign shifted = sum_q >>> SHIFT;
    assign code    = code_t'(shifted);

    // a shift can leave more bits than a code needs, and sign alone above those that it has
    logic unused;
    assign unused = ^shifted;

    always_comb begin
      rounded = OUT_BITS'(code);
      if (EVEN && sum_q[TIE_BITS-1:0] == '0) rounded[0] = 1'b0;
    end

    always_comb begin
      clamped = rounded;
      if (code < FLOOR) clamped = OUT_BITS'(LOWEST);
      else if (code > HIGHEST) clamped = OUT_BITS'(HIGHEST);
    end

    assign m_data_o[i*OUT_BITS+:OUT_BITS] = out_q;

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_requant: the output changed while it was stalled");
`endif

endmodule : xh_requant
