// Counts 0 to COUNT - 1 round and round; last_o marks COUNT - 1.  COUNT 1 costs nothing, so a
// unit can write its whole loop nest whatever the bounds.
module xh_counter #(
  parameter int unsigned COUNT = 2,
  localparam int unsigned BITS = (COUNT > 1) ? $clog2(COUNT) : 1
) (
  input  logic            clk_i,
  input  logic            rst_ni,

  input  logic            step_i,
  output logic [BITS-1:0] value_o,
  output logic            last_o
);

  if (COUNT < 1) begin : gen_bad_count
    $error("xh_counter: COUNT must be at least 1");
  end

  if (COUNT > 1) begin : gen_counter
    always_ff @(posedge clk_i) begin
      if (!rst_ni) value_o <= '0;
      else if (step_i) value_o <= last_o ? '0 : value_o + 1'b1;
    end

    assign last_o = value_o == BITS'(COUNT - 1);
  end else begin : gen_constant
    assign value_o = '0;
    assign last_o  = 1'b1;

    logic unused;
    assign unused = &{1'b0, clk_i, rst_ni, step_i};
  end

endmodule : xh_counter
