// Two columns of a ROM of up to 32 words in one LUT with two outputs: bit i of LOW and HIGH are word i's.
//
// Instantiated, because what a synthesiser makes of a table of random bits by itself takes up to
// three times as many LUTs.
`ifndef XH_COUNTONES
module xh_rom_pair #(
  parameter int unsigned DEPTH = 32,
  parameter logic [DEPTH-1:0] LOW  = '0,
  parameter logic [DEPTH-1:0] HIGH = '0,
  localparam int unsigned ADDR_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
  input  logic [ADDR_BITS-1:0] address_i,
  output logic                 low_o,
  output logic                 high_o
);

  if (DEPTH < 1 || DEPTH > 32) begin : gen_bad_depth
    $error("xh_rom_pair: DEPTH must be 1 to 32");
  end

  logic [4:0] address;
  assign address = 5'(address_i);

  LUT6_2 #(.INIT({32'(HIGH), 32'(LOW)})) i_lut (
    .I0(address[0]), .I1(address[1]), .I2(address[2]), .I3(address[3]), .I4(address[4]), .I5(1'b1),
    .O5(low_o), .O6(high_o)
  );

endmodule : xh_rom_pair
`endif
