// The taps of several output pixels out of one word of a window over words of pixels: wires alone.
//
// The word has ROWS rows of ROW pixels of WIDTH bits, the first lowest.  Tap (y, x) of output pixel p is
// pixel FIRST + p * STRIDE + x * DILATION of row y.  They leave pixel by pixel, each with its taps in
// the order y, x, which is how a matrix unit takes them; with TAPS_OUTER tap by tap, each of all
// pixels, which is how a pool does.
module xh_spread #(
  parameter int unsigned WIDTH      = 1,
  parameter int unsigned ROWS       = 3,
  parameter int unsigned ROW        = 6,
  parameter int unsigned PIXELS     = 2,
  parameter int unsigned TAPS       = 3,
  parameter int unsigned FIRST      = 1,
  parameter int unsigned STRIDE     = 1,
  parameter int unsigned DILATION   = 1,
  parameter bit          TAPS_OUTER = 1'b0
) (
  input  logic [ROWS*ROW*WIDTH-1:0]         data_i,
  output logic [PIXELS*ROWS*TAPS*WIDTH-1:0] data_o
);

  if (WIDTH < 1 || ROWS < 1 || PIXELS < 1 || TAPS < 1 || STRIDE < 1 || DILATION < 1) begin : gen_bad_size
    $error("xh_spread: every size must be at least 1");
  end
  if (FIRST + (PIXELS - 1) * STRIDE + (TAPS - 1) * DILATION >= ROW) begin : gen_bad_row
    $error("xh_spread: a tap of the last pixel lies beyond the row");
  end

  for (genvar p = 0; p < PIXELS; p++) begin : gen_pixel
    for (genvar t = 0; t < ROWS * TAPS; t++) begin : gen_tap
      localparam int unsigned FROM = t / TAPS * ROW + FIRST + p * STRIDE + t % TAPS * DILATION;
      localparam int unsigned TO   = TAPS_OUTER ? t * PIXELS + p : p * ROWS * TAPS + t;
      assign data_o[TO*WIDTH+:WIDTH] = data_i[FROM*WIDTH+:WIDTH];
    end
  end

  // not every pixel of a word is a tap
  logic unused;
  assign unused = ^data_i;

endmodule : xh_spread
