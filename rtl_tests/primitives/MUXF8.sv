// The multiplexer beside two MUXF7 by its table in UG953.
module MUXF8 (
  input  logic I0,
  input  logic I1,
  input  logic S,
  output logic O
);

  assign O = S ? I1 : I0;

endmodule : MUXF8
