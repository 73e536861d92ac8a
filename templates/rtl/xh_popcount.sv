// Number of lanes in which activation and weight agree: popcount(activation xnor weight), STAGES clocks
// with en_i later.
//
// The portable form: builds for devices whose LUTs have six inputs and two outputs put netlists of these
// in its place.  One register stands behind the counts of nine lanes each, a second behind the sums of
// four of these.
module xh_popcount #(
  parameter int unsigned SIMD   = 16,
  parameter int unsigned STAGES = 0,
  localparam int unsigned COUNT_BITS = $clog2(SIMD + 1)
) (
  input  logic                  clk_i,
  input  logic                  en_i,
  input  logic [SIMD-1:0]       activation_i,
  input  logic [SIMD-1:0]       weight_i,
  output logic [COUNT_BITS-1:0] count_o
);

  if (SIMD < 1) begin : gen_bad_size
    $error("xh_popcount: SIMD must be at least 1");
  end
  if (STAGES > 2) begin : gen_bad_stages
    $error("xh_popcount: STAGES must be 0 to 2");
  end

  if (STAGES == 0) begin : gen_one_clock

    logic unused;
    assign unused = clk_i ^ en_i;
    xh_count_lanes #(.LANES(SIMD)) i_lanes (.activation_i, .weight_i, .count_o);

  end else begin : gen_registers

    localparam int unsigned LANES     = 9;
    localparam int unsigned LANE_BITS = 4;
    localparam int unsigned GROUPS    = (SIMD + LANES - 1) / LANES;
    // sums of sums: one each where there is no second register
    localparam int unsigned FOUR      = (STAGES == 2) ? 4 : 1;
    localparam int unsigned SUMS      = (GROUPS + FOUR - 1) / FOUR;
    localparam int unsigned SUM_BITS  = (STAGES == 2) ? 6 : LANE_BITS;

    // lanes past the last disagree, groups past the last count none
    logic [GROUPS*LANES-1:0] activation, weight;
    logic [SUMS*FOUR*LANE_BITS-1:0] count, count_q;
    logic [SUMS*SUM_BITS-1:0] sum;

    assign activation = (GROUPS * LANES)'(activation_i);
    assign weight     = ~((GROUPS * LANES)'({~weight_i}));

    for (genvar g = 0; g < SUMS * FOUR; g++) begin : gen_group
      if (g < GROUPS) begin : gen_lanes
        xh_count_lanes #(.LANES(LANES)) i_lanes (
          .activation_i(activation[g*LANES+:LANES]), .weight_i(weight[g*LANES+:LANES]),
          .count_o(count[g*LANE_BITS+:LANE_BITS])
        );
      end else begin : gen_none
        assign count[g*LANE_BITS+:LANE_BITS] = '0;
      end
    end

    always_ff @(posedge clk_i) begin
      if (en_i) count_q <= count;
    end

    if (STAGES == 2) begin : gen_second
      logic [SUMS*SUM_BITS-1:0] four, sum_q;
      for (genvar s = 0; s < SUMS; s++) begin : gen_four
        always_comb begin
          four[s*SUM_BITS+:SUM_BITS] = '0;
          for (int unsigned g = 0; g < FOUR; g++) begin
            four[s*SUM_BITS+:SUM_BITS] += SUM_BITS'(count_q[(s*FOUR+g)*LANE_BITS+:LANE_BITS]);
          end
        end
      end
      always_ff @(posedge clk_i) begin
        if (en_i) sum_q <= four;
      end
      assign sum = sum_q;
    end else begin : gen_no_second
      assign sum = count_q;
    end

    always_comb begin
      count_o = '0;
      for (int unsigned s = 0; s < SUMS; s++) begin
        count_o += COUNT_BITS'(sum[s*SUM_BITS+:SUM_BITS]);
      end
    end

  end

endmodule : xh_popcount
