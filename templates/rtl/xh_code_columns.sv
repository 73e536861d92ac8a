// Sums of codes, each added (weight bit 1) or subtracted (weight bit 0), in columns of DSPs: one DSP a
// code for PACKED PEs at once.  Of what xh_code_pairs prepared.
//
// A DSP multiplies a code by the weight bits of PACKED PEs, which stand SPACING bits apart in the
// factor of 25 bits, and adds what the DSP before it gives.  With t the sum of all codes, a lane ends with
//
//   half of the sum of +-codes, rounded down, less 1  =  sum of the codes with weight 1  -  floor(t / 2)  -  1
//
// for the first DSP begins with all but the first of these.  LANE_BITS bits hold it, and SIMD is so small that
// a lane has as many, or is refused.  With 2^SPACING / 2 more it is no negative number: no lane borrows from
// the next, none carries into it.  (What stands there on the way does not matter: it is one sum of integers.)
// The factor's highest bit is its sign: a lane there, the last of PACKED, ends with floor(t / 2) less the
// sum.  odd_o, the lowest bit of t, is the other half of the result, which xh_mvu puts together.
//
// Of every CHAIN DSPs the last has a register, and all of them add in one clock (5.4 ns on the
// cascade from DSP to DSP at the slowest speed grade of 7 series).  What comes later waits for it: one clock in
// the DSP's second input register, more of them in shift registers.
// A cascade ends after PIECE DSPs, which fit into a column of DSPs of any device; the last one's register then
// feeds the next one's port.
// Results come 2 + (SIMD + CHAIN - 1) / CHAIN clocks with en_i after their word.
//
// Simulations of whole networks set XH_COUNTONES and have no models of DSPs.
module xh_code_columns #(
  parameter int unsigned PE         = 4,
  parameter int unsigned PACKED     = 3,
  parameter int unsigned SIMD       = 9,
  parameter int unsigned ACT_BITS   = 8,
  parameter bit          ACT_SIGNED = 1'b0,
  localparam int unsigned CHAIN     = 4,
  localparam int unsigned PAIRS     = (SIMD + 1) / 2,
  localparam int unsigned PAIR_BITS = 3 * ACT_BITS + 1,
  localparam int unsigned SUM_BITS  = ACT_BITS + $clog2(SIMD) + 1,
  localparam int unsigned SPACING   = (PACKED > 1) ? 24 / (PACKED - 1) : 24,
  // the largest magnitude of a code
  localparam int unsigned CODE      = ACT_SIGNED ? 1 << (ACT_BITS - 1) : (1 << ACT_BITS) - 1,
  localparam int unsigned LANE_BITS = $clog2(SIMD * CODE + 2)
) (
  input  logic                                clk_i,
  input  logic                                en_i,
  input  logic [PAIRS*PAIR_BITS+SUM_BITS-1:0] prepared_i,
  input  logic [PE*SIMD-1:0]                  weight_i,
  output logic [PE*LANE_BITS-1:0]             lane_o,
  output logic                                odd_o
);

  localparam int unsigned SEGMENTS = (SIMD + CHAIN - 1) / CHAIN;
  localparam int unsigned STAGES   = 2 + SEGMENTS;


  if (PE < 1 || SIMD < 1 || ACT_BITS < 1 || ACT_BITS > 8) begin : gen_bad_size
    $error("xh_code_columns: PE and SIMD must be at least 1, ACT_BITS 1 to 8");
  end
  if (PACKED < 1 || PACKED > 7 || PACKED == 6) begin : gen_bad_packed
    $error("xh_code_columns: PACKED must be 1 to 5, or 7");
  end
  if (LANE_BITS > SPACING) begin : gen_bad_lanes
    $error("xh_code_columns: SIMD codes do not fit in a lane");
  end

  logic [SIMD*ACT_BITS-1:0] codes;
  logic [SUM_BITS-1:0] total;
  logic [LANE_BITS-1:0] half;     // floor(t / 2)
  logic [STAGES-1:0] odd_q;

  for (genvar i = 0; i < SIMD; i++) begin : gen_code
    assign codes[i*ACT_BITS+:ACT_BITS] = prepared_i[i/2*PAIR_BITS+i%2*ACT_BITS+:ACT_BITS];
  end

  // the prepared sum is less by what xh_pair_sum adds
  assign total = prepared_i[PAIRS*PAIR_BITS+:SUM_BITS]
      + (SUM_BITS'(PAIRS) << (ACT_SIGNED ? ACT_BITS + 1 : ACT_BITS + 2));
  assign half  = LANE_BITS'(total >> 1);
  assign odd_o = odd_q[STAGES-1];

  always_ff @(posedge clk_i) begin
    if (en_i) odd_q <= STAGES'({odd_q, total[0]});
  end

`ifdef XH_COUNTONES

  logic unused;
  assign unused = ^prepared_i;

  for (genvar p = 0; p < PE; p++) begin : gen_pe
    localparam bit LAST = PACKED > 1 && p % PACKED == PACKED - 1;
    logic [SUM_BITS-1:0] sum;
    logic [LANE_BITS-1:0] lane;
    logic [STAGES*LANE_BITS-1:0] lane_q;

    always_comb begin
      sum = '0;
      for (int unsigned i = 0; i < SIMD; i++) begin
        if (weight_i[p*SIMD+i]) begin
          sum += ACT_SIGNED ? SUM_BITS'($signed(codes[i*ACT_BITS+:ACT_BITS]))
                            : SUM_BITS'(codes[i*ACT_BITS+:ACT_BITS]);
        end
      end
    end

    assign lane = LAST ? half - LANE_BITS'(sum)
                       : LANE_BITS'(sum) + ~half;

    always_ff @(posedge clk_i) begin
      if (en_i) lane_q <= (STAGES*LANE_BITS)'({lane_q, lane});
    end
    assign lane_o[p*LANE_BITS+:LANE_BITS] = lane_q[(STAGES-1)*LANE_BITS+:LANE_BITS];
  end

`else

  logic unused;
  assign unused = ^prepared_i;

  localparam int unsigned PIECE = 20;

  // codes and weights of the later segments wait
  logic [SIMD*ACT_BITS-1:0] code;
  logic [PE*SIMD-1:0] weight;

  for (genvar s = 0; s < SEGMENTS; s++) begin : gen_segment
    localparam int unsigned FIRST = s * CHAIN;
    localparam int unsigned COUNT = (SIMD - FIRST < CHAIN) ? SIMD - FIRST : CHAIN;
    localparam int unsigned WIDTH = COUNT * (ACT_BITS + PE);
    localparam int unsigned LATE  = (s > 1) ? s - 1 : 0;

    logic [WIDTH-1:0] now, late;

    assign now[0+:COUNT*ACT_BITS] = codes[FIRST*ACT_BITS+:COUNT*ACT_BITS];
    assign code[FIRST*ACT_BITS+:COUNT*ACT_BITS] = late[0+:COUNT*ACT_BITS];
    for (genvar p = 0; p < PE; p++) begin : gen_pe
      assign now[COUNT*(ACT_BITS+p)+:COUNT] = weight_i[p*SIMD+FIRST+:COUNT];
      assign weight[p*SIMD+FIRST+:COUNT] = late[COUNT*(ACT_BITS+p)+:COUNT];
    end

    if (LATE > 0) begin : gen_late
      logic [LATE*WIDTH-1:0] late_q;
      always_ff @(posedge clk_i) begin
        if (en_i) late_q <= (LATE*WIDTH)'({late_q, now});
      end
      assign late = late_q[(LATE-1)*WIDTH+:WIDTH];
    end else begin : gen_now
      assign late = now;
    end
  end

  localparam logic [SPACING-1:0] BIAS = SPACING'(1) << (SPACING - 1);

  // where a column begins, a clock before its first product is added: what the lanes begin with
  logic signed [LANE_BITS-1:0] half_q, inverse;
  logic [SPACING-1:0] biased;

  assign inverse = ~half_q;
  assign biased  = SPACING'(inverse) ^ BIAS;

  always_ff @(posedge clk_i) begin
    if (en_i) half_q <= half;
  end

  for (genvar c = 0; c * PACKED < PE; c++) begin : gen_column
    localparam int unsigned LANES = (PE - c * PACKED < PACKED) ? PE - c * PACKED : PACKED;

    logic [47:0] begins;
    // at bits 48 * i what DSP i gets from below, by the cascade and by its port
    logic [(SIMD+1)*48-1:0] cascade, steps;
    logic [47:0] sums;
    logic unused_sums;

    assign cascade[0+:48] = '0;
    assign steps[0+:48]   = '0;
    assign sums = steps[SIMD*48+:48];
    assign unused_sums = ^{cascade, steps, sums};

    for (genvar l = 0; l < LANES; l++) begin : gen_lane
      localparam bit LAST = PACKED > 1 && l == PACKED - 1;
      if (LAST) begin : gen_last
        assign begins[47:24] = 24'(half_q);
        assign lane_o[(c*PACKED+l)*LANE_BITS+:LANE_BITS] = sums[24+:LANE_BITS];
      end else begin : gen_biased
        assign begins[l*SPACING+:SPACING] = biased;
        assign lane_o[(c*PACKED+l)*LANE_BITS+:LANE_BITS] = LANE_BITS'(sums[l*SPACING+:SPACING] ^ BIAS);
      end
    end
    if (LANES < PACKED || PACKED == 1) begin : gen_no_last
      assign begins[47:LANES*SPACING] = '0;
    end

    for (genvar i = 0; i < SIMD; i++) begin : gen_dsp
      localparam bit FIRST  = i == 0;
      localparam bit BEGINS = i % PIECE == 0;
      localparam bit HELD   = i % CHAIN == CHAIN - 1 || i == SIMD - 1;

      logic [24:0] factor;
      logic signed [ACT_BITS:0] number;
      logic [47:0] sum;

      always_comb begin
        factor = '0;
        for (int unsigned l = 0; l < LANES; l++) factor[l*SPACING] = weight[(c*PACKED+l)*SIMD+i];
      end
      assign number = {ACT_SIGNED && code[i*ACT_BITS+ACT_BITS-1], code[i*ACT_BITS+:ACT_BITS]};

      // by either way what comes from below; outside of the DSPs there is no cascade
      logic [47:0] below, by_port;
      assign below  = BEGINS ? '0 : cascade[i*48+:48];
      assign by_port = FIRST ? begins : BEGINS ? steps[i*48+:48] : '0;
      assign steps[(i+1)*48+:48] = sum;

      xh_code_dsp #(.FIRST(FIRST), .BEGINS(BEGINS), .LATE(i >= CHAIN), .HELD(HELD)) i_dsp (
        .clk_i, .en_i, .factor_i(factor), .number_i(18'(number)), .begins_i(by_port), .cascade_i(below),
        .sum_o(sum), .cascade_o(cascade[(i+1)*48+:48])
      );
    end
  end
`endif

endmodule : xh_code_columns
