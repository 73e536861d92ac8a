// Gives the DEPTH words of a ROM over and over, one a clock.
//
// The words come from FILE, one hexadecimal number a line ($readmemh).  A block ROM is read
// through its output register, because the clock-to-output time of a block RAM without it
// starts the critical path of the matrix unit; the source never runs dry, so its two pipeline
// stages move together.  A LUT ROM is read combinationally: it costs no registers.
module xh_weight_rom #(
  parameter int unsigned WIDTH     = 64,
  parameter int unsigned DEPTH     = 16,
  parameter bit          BLOCK_ROM = 1'b0,
  parameter              FILE      = ""
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  output logic             m_valid_o,
  input  logic             m_ready_i,
  output logic [WIDTH-1:0] m_data_o
);

  if (WIDTH < 1 || DEPTH < 1) begin : gen_bad_size
    $error("xh_weight_rom: WIDTH and DEPTH must be at least 1");
  end

  localparam int unsigned ADDR_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1;
  localparam logic [ADDR_BITS-1:0] LAST = ADDR_BITS'(DEPTH - 1);

  logic [ADDR_BITS-1:0] address_q;
  logic advance;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) address_q <= '0;
    else if (advance) address_q <= (address_q == LAST) ? '0 : address_q + 1'b1;
  end

  if (BLOCK_ROM) begin : gen_block

    (* rom_style = "block" *) logic [WIDTH-1:0] memory [DEPTH];
    initial $readmemh(FILE, memory);

    logic [WIDTH-1:0] read_q, data_q;
    logic read_valid_q, valid_q;

    assign advance = m_ready_i || !valid_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        read_valid_q <= 1'b0;
        valid_q      <= 1'b0;
      end else if (advance) begin
        read_valid_q <= 1'b1;
        valid_q      <= read_valid_q;
      end
    end

    always_ff @(posedge clk_i) begin
      if (advance) begin
        read_q <= memory[address_q];
        data_q <= read_q;
      end
    end

    assign m_valid_o = valid_q;
    assign m_data_o  = data_q;

  end else begin : gen_lut

    logic [WIDTH-1:0] memory [DEPTH];
    initial $readmemh(FILE, memory);

    // low in reset, so that no word is lost to a unit that leaves reset later
    logic valid_q;

    always_ff @(posedge clk_i) valid_q <= rst_ni;

    assign advance   = m_ready_i && valid_q;
    assign m_valid_o = valid_q;
    assign m_data_o  = memory[address_q];

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_weight_rom: the output changed while it was stalled");
`endif

endmodule : xh_weight_rom
