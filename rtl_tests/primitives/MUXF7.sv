// The multiplexer beside two LUTs by its table in UG953.
module MUXF7 (
  input  logic I0,
  input  logic I1,
  input  logic S,
  output logic O
);

  assign O = S ? I1 : I0;

endmodule : MUXF7
