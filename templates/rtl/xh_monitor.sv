// Writes every word that crosses a stream to the file NAME.hex, one hexadecimal word a line;
// a reset that falls after work has begun leaves the line "reset".
//
// For simulation only: it is bound to the streams to be observed from outside, so the text that
// is verified is the text that ships.
module xh_monitor #(
  parameter int unsigned WIDTH = 8,
  parameter              NAME  = "monitor"
) (
  input logic             clk_i,
  input logic             rst_ni,

  input logic             valid_i,
  input logic             ready_i,
  input logic [WIDTH-1:0] data_i
);

`ifndef SYNTHESIS
  int file;
  bit running;   // starts at 0, as every two-state variable

  initial begin
    file = $fopen({NAME, ".hex"}, "w");
    if (file == 0) $fatal(1, "xh_monitor: %s.hex cannot be written", NAME);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      if (running) $fdisplay(file, "reset");
      running <= 1'b0;
    end else begin
      if (valid_i && ready_i) $fdisplay(file, "%h", data_i);
      running <= 1'b1;
    end
  end

  final $fclose(file);
`endif

endmodule : xh_monitor
