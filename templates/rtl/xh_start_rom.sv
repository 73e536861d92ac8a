// Gives the start words of a matrix unit's accumulators: for each output pixel in raster order
// the GROUPS words of its position class, which are the lines of FILE that xh_start_address names.
//
// Classes carry what a zero pad would have added to the sum, which a one-bit activation cannot say.
module xh_start_rom #(
  parameter int unsigned WIDTH          = 8,
  parameter int unsigned GROUPS         = 1,
  parameter int unsigned OUT_HEIGHT     = 1,
  parameter int unsigned OUT_WIDTH      = 1,
  parameter int unsigned ROW_CLASSES    = 1,
  parameter int unsigned COLUMN_CLASSES = 1,
  parameter int unsigned CLASS_BITS     = 1,
  parameter logic [OUT_HEIGHT*CLASS_BITS-1:0] ROW_CLASS    = '0,
  parameter logic [OUT_WIDTH*CLASS_BITS-1:0]  COLUMN_CLASS = '0,
  parameter              FILE           = ""
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  output logic             m_valid_o,
  input  logic             m_ready_i,
  output logic [WIDTH-1:0] m_data_o
);

  localparam int unsigned DEPTH     = ROW_CLASSES * COLUMN_CLASSES * GROUPS;
  localparam int unsigned ADDR_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1;

  if (WIDTH < 1) begin : gen_bad_width
    $error("xh_start_rom: WIDTH must be at least 1");
  end

  logic [WIDTH-1:0] memory [DEPTH];
  initial $readmemh(FILE, memory);

  logic [ADDR_BITS-1:0] address;

  xh_start_address #(
    .GROUPS        (GROUPS),
    .OUT_HEIGHT    (OUT_HEIGHT),
    .OUT_WIDTH     (OUT_WIDTH),
    .ROW_CLASSES   (ROW_CLASSES),
    .COLUMN_CLASSES(COLUMN_CLASSES),
    .CLASS_BITS    (CLASS_BITS),
    .ROW_CLASS     (ROW_CLASS),
    .COLUMN_CLASS  (COLUMN_CLASS)
  ) i_address (
    .clk_i, .rst_ni, .m_valid_o, .m_ready_i, .address_o(address)
  );

  assign m_data_o = memory[address];

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_start_rom: the output changed while it was stalled");
`endif

endmodule : xh_start_rom
