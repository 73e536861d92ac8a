// FIFO with first-word fall-through.
//
// DEPTH 0 is a wire, 1 a single register (one word every second clock), 2 a register slice,
// more a ring in distributed RAM, or in block RAM from 129 words and 8192 bits on, where a word is
// seen at the output one clock later.  From DEPTH 1 on no combinational path crosses it in either
// direction: m_valid_o and s_ready_o come from registers, so it is also what cuts the long
// ready chains of the units between which it stands.
module xh_fifo #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 2
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             s_valid_i,
  output logic             s_ready_o,
  input  logic [WIDTH-1:0] s_data_i,

  output logic             m_valid_o,
  input  logic             m_ready_i,
  output logic [WIDTH-1:0] m_data_o
);

  if (WIDTH < 1) begin : gen_bad_width
    $error("xh_fifo: WIDTH must be at least 1");
  end

  if (DEPTH == 0) begin : gen_wire

    assign m_valid_o = s_valid_i;
    assign s_ready_o = m_ready_i;
    assign m_data_o  = s_data_i;

    // a wire keeps the ports of a FIFO
    logic unused;
    assign unused = &{1'b0, clk_i, rst_ni};

  end else if (DEPTH == 1) begin : gen_register

    logic             full_q;
    logic [WIDTH-1:0] data_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) full_q <= 1'b0;
      else if (full_q) full_q <= !m_ready_i;
      else full_q <= s_valid_i;
    end

    always_ff @(posedge clk_i) begin
      if (!full_q) data_q <= s_data_i;
    end

    assign s_ready_o = !full_q;
    assign m_valid_o = full_q;
    assign m_data_o  = data_q;

  end else if (DEPTH == 2) begin : gen_slice

    // head_q feeds the output; spare_q takes the word that arrives in the clock in which the
    // output stalls, because s_ready_o could not fall in time to refuse it
    logic head_valid_q, spare_valid_q;
    logic [WIDTH-1:0] head_q, spare_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        head_valid_q  <= 1'b0;
        spare_valid_q <= 1'b0;
      end else if (m_ready_i || !head_valid_q) begin
        head_valid_q  <= spare_valid_q || s_valid_i;
        spare_valid_q <= 1'b0;
      end else begin
        spare_valid_q <= spare_valid_q || s_valid_i;
      end
    end

    always_ff @(posedge clk_i) begin
      if (m_ready_i || !head_valid_q) head_q <= spare_valid_q ? spare_q : s_data_i;
      if (!spare_valid_q) spare_q <= s_data_i;
    end

    assign s_ready_o = !spare_valid_q;
    assign m_valid_o = head_valid_q;
    assign m_data_o  = head_q;

  end else begin : gen_ring

    localparam bit BLOCK_RAM = DEPTH > 128 && WIDTH * DEPTH >= 8192;

    localparam int unsigned ADDR_BITS  = $clog2(DEPTH);
    localparam int unsigned LEVEL_BITS = $clog2(DEPTH + 1);
    localparam logic [ADDR_BITS-1:0] LAST = ADDR_BITS'(DEPTH - 1);

    logic [ADDR_BITS-1:0] write_q, read_q, read_next;
    logic [LEVEL_BITS-1:0] level_q;   // of all words, one that waits at the output included
    logic full_q, empty_q;
    logic push, pop;
    logic read;   // the ring's oldest word leaves it

    assign push      = s_valid_i && !full_q;
    assign pop       = m_ready_i && m_valid_o;
    assign read_next = (read_q == LAST) ? '0 : read_q + 1'b1;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        write_q <= '0;
        read_q  <= '0;
        level_q <= '0;
        full_q  <= 1'b0;
        empty_q <= 1'b1;
      end else begin
        if (push) write_q <= (write_q == LAST) ? '0 : write_q + 1'b1;
        if (read) read_q <= read_next;
        if (push && !pop) begin
          level_q <= level_q + 1'b1;
          full_q  <= level_q == LEVEL_BITS'(DEPTH - 1);
          empty_q <= 1'b0;
        end else if (pop && !push) begin
          level_q <= level_q - 1'b1;
          full_q  <= 1'b0;
          empty_q <= level_q == LEVEL_BITS'(1);
        end
      end
    end

    assign s_ready_o = !full_q;

    if (BLOCK_RAM) begin : gen_block

      // the memory's own output register is the output; a word is read once it was written
      logic some_q, valid_q;

      assign read      = some_q && (m_ready_i || !valid_q);
      assign m_valid_o = valid_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) begin
          some_q  <= 1'b0;
          valid_q <= 1'b0;
        end else begin
          if (push) some_q <= 1'b1;
          else if (read) some_q <= read_next != write_q;
          valid_q <= some_q || (valid_q && !m_ready_i);
        end
      end

      xh_ram #(
        .WIDTH(WIDTH), .DEPTH(DEPTH), .BLOCK_RAM(1'b1)
      ) i_ram (
        .clk_i,
        .write_enable_i(push), .write_address_i(write_q), .write_data_i(s_data_i),
        .read_enable_i(read), .read_clear_i(1'b0), .read_address_i(read_q), .read_data_o(m_data_o)
      );

      logic unused;
      assign unused = &{1'b0, empty_q};

    end else begin : gen_distributed

      (* ram_style = "distributed" *) logic [WIDTH-1:0] memory [DEPTH];

      always_ff @(posedge clk_i) begin
        if (push) memory[write_q] <= s_data_i;
      end

      assign read      = pop;
      assign m_valid_o = !empty_q;
      assign m_data_o  = memory[read_q];

    end

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_fifo: the output changed while it was stalled");
`endif

endmodule : xh_fifo
