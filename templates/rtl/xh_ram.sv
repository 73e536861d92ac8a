// One write port, one read port with a registered output; DEPTH words of WIDTH bits.
//
// A read with read_clear_i gives CLEAR_WORD and leaves the memory alone: the read register's reset,
// which block RAM and flip-flops have, instead of a multiplexer behind it.
//
// Reading and writing one address in the same clock is not defined: whoever reads (the window)
// never does.  The read register keeps its word while read_enable_i is low.  BLOCK_RAM chooses
// the memory; the attribute is a constant of the text, so each choice has its own declaration.
module xh_ram #(
  parameter int unsigned WIDTH     = 8,
  parameter int unsigned DEPTH     = 32,
  parameter bit          BLOCK_RAM = 1'b0,
  parameter logic [WIDTH-1:0] CLEAR_WORD = '0,
  localparam int unsigned ADDR_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1
) (
  input  logic                 clk_i,

  input  logic                 write_enable_i,
  input  logic [ADDR_BITS-1:0] write_address_i,
  input  logic [WIDTH-1:0]     write_data_i,

  input  logic                 read_enable_i,
  input  logic                 read_clear_i,
  input  logic [ADDR_BITS-1:0] read_address_i,
  output logic [WIDTH-1:0]     read_data_o
);

  if (WIDTH < 1 || DEPTH < 1) begin : gen_bad_size
    $error("xh_ram: WIDTH and DEPTH must be at least 1");
  end

  if (BLOCK_RAM) begin : gen_block
    (* ram_style = "block" *) logic [WIDTH-1:0] memory [DEPTH];

    always_ff @(posedge clk_i) begin
      if (write_enable_i) memory[write_address_i] <= write_data_i;
      if (read_enable_i) begin
        if (read_clear_i) read_data_o <= CLEAR_WORD;
        else read_data_o <= memory[read_address_i];
      end
    end
  end else begin : gen_distributed
    (* ram_style = "distributed" *) logic [WIDTH-1:0] memory [DEPTH];

    always_ff @(posedge clk_i) begin
      if (write_enable_i) memory[write_address_i] <= write_data_i;
      if (read_enable_i) begin
        if (read_clear_i) read_data_o <= CLEAR_WORD;
        else read_data_o <= memory[read_address_i];
      end
    end
  end

endmodule : xh_ram
