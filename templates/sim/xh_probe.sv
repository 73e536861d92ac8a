// Counts what crosses a stream: words, clocks in which a word waited for the reader (stalls) and
// in which the reader waited for a word (starved).  At the end of the simulation it adds the line
// "NAME words stalls starved last" to activity.txt, last being the time of the last word: the
// place to look where nothing moves any more.
module xh_probe #(
  parameter NAME = "stream"
) (
  input logic clk_i,
  input logic rst_ni,
  input logic valid_i,
  input logic ready_i
);

  longint unsigned words, stalls, starved, last;

  initial begin
    words   = 0;
    stalls  = 0;
    starved = 0;
    last    = 0;
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni && valid_i && ready_i) begin
      words <= words + 1;
      last  <= $time;
    end
    if (rst_ni && valid_i && !ready_i) stalls <= stalls + 1;
    if (rst_ni && !valid_i && ready_i) starved <= starved + 1;
  end

  final begin
    int file;
    file = $fopen("activity.txt", "a");
    $fdisplay(file, "%s %0d %0d %0d %0d", NAME, words, stalls, starved, last);
    $fclose(file);
  end

endmodule : xh_probe
