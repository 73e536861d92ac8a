// Which taps of a window fall on the map, along one axis, at an output position.
//
// Tap k of position p lies at p * STRIDE - PAD + k * DILATION.  It falls on the map for a run of
// positions: two comparisons with constants, and none for a run that has no end.
module xh_on_map #(
  parameter int unsigned KERNEL   = 3,
  parameter int unsigned STRIDE   = 1,
  parameter int unsigned PAD      = 1,
  parameter int unsigned DILATION = 1,
  parameter int unsigned SIZE     = 8,
  parameter int unsigned OUT      = 8,
  localparam int unsigned BITS    = (OUT > 1) ? $clog2(OUT) : 1
) (
  input  logic [BITS-1:0]   position_i,
  output logic [KERNEL-1:0] on_map_o
);

  if (KERNEL < 1 || STRIDE < 1 || DILATION < 1 || SIZE < 1 || OUT < 1) begin : gen_bad_size
    $error("xh_on_map: every size must be at least 1");
  end

  // a tap before the map's start is negative: typed constants, for yosys takes a cast for unsigned
  localparam int STEP = STRIDE;
  localparam int FROM = PAD;
  localparam int GAP  = DILATION;
  localparam int ENDS = SIZE;
  localparam int LAST = OUT;

  // not every geometry asks where it stands
  logic unused;
  assign unused = &{1'b0, position_i};

  for (genvar k = 0; k < KERNEL; k++) begin : gen_tap
    localparam int PLACE = k * GAP - FROM;
    localparam int FIRST = (PLACE < 0) ? (STEP - 1 - PLACE) / STEP : 0;
    localparam int PAST  = (PLACE < ENDS) ? (ENDS - PLACE + STEP - 1) / STEP : 0;
    logic after_first, before_past;

    if (FIRST <= 0) begin : gen_from_start
      assign after_first = 1'b1;
    end else begin : gen_first
      assign after_first = FIRST < LAST && position_i >= BITS'(FIRST);
    end
    if (PAST >= LAST) begin : gen_to_end
      assign before_past = 1'b1;
    end else if (PAST > 0) begin : gen_past
      assign before_past = position_i < BITS'(PAST);
    end else begin : gen_nowhere
      assign before_past = 1'b0;
    end
    assign on_map_o[k] = after_first && before_past;
  end

endmodule : xh_on_map
