// The lines of a start ROM: for each output pixel in raster order the GROUPS lines of its position class.
//
// A pixel's class is ROW_CLASS[y] * COLUMN_CLASSES + COLUMN_CLASS[x]; line class * GROUPS + group holds
// the word.  With one class the position does not matter and the lines are given round and round.
// The address is kept as the next class's first line, made of two small tables of constants, so
// nothing is multiplied.  OUT_HEIGHT, OUT_WIDTH: pixels of the output map.
module xh_start_address #(
  parameter int unsigned GROUPS         = 1,
  parameter int unsigned OUT_HEIGHT     = 1,
  parameter int unsigned OUT_WIDTH      = 1,
  parameter int unsigned ROW_CLASSES    = 1,
  parameter int unsigned COLUMN_CLASSES = 1,
  parameter int unsigned CLASS_BITS     = 1,
  parameter logic [OUT_HEIGHT*CLASS_BITS-1:0] ROW_CLASS    = '0,
  parameter logic [OUT_WIDTH*CLASS_BITS-1:0]  COLUMN_CLASS = '0,
  localparam int unsigned DEPTH     = ROW_CLASSES * COLUMN_CLASSES * GROUPS,
  localparam int unsigned ADDR_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  output logic                 m_valid_o,
  input  logic                 m_ready_i,
  output logic [ADDR_BITS-1:0] address_o
);

  localparam int unsigned CLASSES    = ROW_CLASSES * COLUMN_CLASSES;
  localparam int unsigned GROUP_BITS = (GROUPS > 1) ? $clog2(GROUPS) : 1;

  if (GROUPS < 1 || OUT_HEIGHT < 1 || OUT_WIDTH < 1 || CLASSES < 1) begin : gen_bad_size
    $error("xh_start_address: every size must be at least 1");
  end
  if (ROW_CLASSES > 2 ** CLASS_BITS || COLUMN_CLASSES > 2 ** CLASS_BITS) begin : gen_bad_class
    $error("xh_start_address: CLASS_BITS cannot hold every class");
  end

  logic [ADDR_BITS-1:0] address_q, next_pixel;
  logic [GROUP_BITS-1:0] group_q;
  logic last_group;
  logic valid_q;
  logic advance;

  // low in reset, so that no word is lost to a unit that leaves reset later
  always_ff @(posedge clk_i) valid_q <= rst_ni;

  assign advance    = m_ready_i && valid_q;
  assign last_group = group_q == GROUP_BITS'(GROUPS - 1);
  assign m_valid_o  = valid_q;
  assign address_o  = address_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) group_q <= '0;
    else if (advance) group_q <= last_group ? '0 : group_q + 1'b1;
  end

  if (CLASSES == 1) begin : gen_one_class

    always_ff @(posedge clk_i) begin
      if (!rst_ni) address_q <= '0;
      else if (advance) address_q <= last_group ? next_pixel : address_q + 1'b1;
    end

    assign next_pixel = '0;

  end else begin : gen_classes

    localparam int unsigned X_BITS = (OUT_WIDTH > 1) ? $clog2(OUT_WIDTH) : 1;
    localparam int unsigned Y_BITS = (OUT_HEIGHT > 1) ? $clog2(OUT_HEIGHT) : 1;
    localparam logic [ADDR_BITS-1:0] ORIGIN =
        ADDR_BITS'(ROW_CLASS[0+:CLASS_BITS] * COLUMN_CLASSES * GROUPS
                   + COLUMN_CLASS[0+:CLASS_BITS] * GROUPS);

    // first line of each row's and each column's class
    logic [OUT_HEIGHT*ADDR_BITS-1:0] row_line;
    logic [OUT_WIDTH*ADDR_BITS-1:0] column_line;

    for (genvar y = 0; y < OUT_HEIGHT; y++) begin : gen_row
      assign row_line[y*ADDR_BITS+:ADDR_BITS] =
          ADDR_BITS'(ROW_CLASS[y*CLASS_BITS+:CLASS_BITS] * COLUMN_CLASSES * GROUPS);
    end
    for (genvar x = 0; x < OUT_WIDTH; x++) begin : gen_column
      assign column_line[x*ADDR_BITS+:ADDR_BITS] =
          ADDR_BITS'(COLUMN_CLASS[x*CLASS_BITS+:CLASS_BITS] * GROUPS);
    end

    // the pixel after the one whose words are being given
    logic [X_BITS-1:0] next_x_q;
    logic [Y_BITS-1:0] next_y_q;
    localparam logic [X_BITS-1:0] LAST_X = X_BITS'(OUT_WIDTH - 1);
    localparam logic [Y_BITS-1:0] LAST_Y = Y_BITS'(OUT_HEIGHT - 1);
    localparam logic [X_BITS-1:0] SECOND_X = (OUT_WIDTH > 1) ? X_BITS'(1) : '0;
    localparam logic [Y_BITS-1:0] SECOND_Y = (OUT_WIDTH == 1 && OUT_HEIGHT > 1) ? Y_BITS'(1) : '0;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        next_x_q <= SECOND_X;
        next_y_q <= SECOND_Y;
      end else if (advance && last_group) begin
        next_x_q <= (next_x_q == LAST_X) ? '0 : next_x_q + 1'b1;
        if (next_x_q == LAST_X) next_y_q <= (next_y_q == LAST_Y) ? '0 : next_y_q + 1'b1;
      end
    end

    assign next_pixel = row_line[next_y_q*ADDR_BITS+:ADDR_BITS]
                        + column_line[next_x_q*ADDR_BITS+:ADDR_BITS];

    always_ff @(posedge clk_i) begin
      if (!rst_ni) address_q <= ORIGIN;
      else if (advance) address_q <= last_group ? next_pixel : address_q + 1'b1;
    end

  end

endmodule : xh_start_address
