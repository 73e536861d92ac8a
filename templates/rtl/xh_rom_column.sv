// A column of a ROM of up to 256 words: bit i of BITS is word i's.
//
// 64 words are a LUT, and the multiplexers beside the LUTs join two and four of them.  Instantiated,
// because what a synthesiser makes of a table of random bits by itself takes up to three times as
// many LUTs.
`ifndef XH_COUNTONES
module xh_rom_column #(
  parameter int unsigned DEPTH = 64,
  parameter logic [DEPTH-1:0] BITS = '0,
  localparam int unsigned ADDR_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
  input  logic [ADDR_BITS-1:0] address_i,
  output logic                 bit_o
);

  if (DEPTH < 1 || DEPTH > 256) begin : gen_bad_depth
    $error("xh_rom_column: DEPTH must be 1 to 256");
  end

  localparam int unsigned BLOCKS = (DEPTH + 63) / 64;

  logic [7:0] address;
  logic [3:0] blocks;
  assign address = 8'(address_i);

  for (genvar b = 0; b < 4; b++) begin : gen_block
    if (b < BLOCKS) begin : gen_lut
      LUT6 #(.INIT(64'(BITS >> (64 * b)))) i_lut (
        .I0(address[0]), .I1(address[1]), .I2(address[2]), .I3(address[3]), .I4(address[4]), .I5(address[5]),
        .O(blocks[b])
      );
    end else begin : gen_nothing
      assign blocks[b] = 1'b0;
    end
  end

  if (BLOCKS == 1) begin : gen_one
    assign bit_o = blocks[0];
    logic unused;
    assign unused = &{1'b0, address[7:6], blocks[3:1]};
  end else if (BLOCKS == 2) begin : gen_two
    MUXF7 i_mux (.I0(blocks[0]), .I1(blocks[1]), .S(address[6]), .O(bit_o));
    logic unused;
    assign unused = &{1'b0, address[7], blocks[3:2]};
  end else begin : gen_four
    logic low, high;
    MUXF7 i_low (.I0(blocks[0]), .I1(blocks[1]), .S(address[6]), .O(low));
    MUXF7 i_high (.I0(blocks[2]), .I1(blocks[3]), .S(address[6]), .O(high));
    MUXF8 i_mux (.I0(low), .I1(high), .S(address[7]), .O(bit_o));
  end

endmodule : xh_rom_column
`endif
