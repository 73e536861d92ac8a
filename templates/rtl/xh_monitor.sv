// Writes every word that crosses a stream to the file NAME.hex, one hexadecimal word a line;
// a reset that falls after work has begun leaves the line "reset".  With XH_COLLECT the program
// around the model takes the words instead, 64 bits at a time: no text is made of them.
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
`ifdef XH_COLLECT

  import "DPI-C" function int xh_stream(input string name);
  import "DPI-C" function void xh_collect(input int stream, input longint unsigned bits);
  import "DPI-C" function void xh_forget(input int stream);

  localparam int unsigned PARTS = (WIDTH + 63) / 64;

  int stream;
  bit running;   // starts at 0, as every two-state variable
  logic [64*PARTS-1:0] parts;

  initial stream = xh_stream(NAME);

  assign parts = (64 * PARTS)'(data_i);

  always_ff @(posedge clk_i) begin
    running <= rst_ni;
    if (running && !rst_ni) xh_forget(stream);
    if (rst_ni && valid_i && ready_i) begin
      for (int unsigned i = 0; i < PARTS; i++) xh_collect(stream, parts[64*i+:64]);
    end
  end

`else

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
`endif

endmodule : xh_monitor
