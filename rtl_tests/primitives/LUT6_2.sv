// A 6-input LUT with two outputs, by its table in UG953: O6 of all inputs, O5 of the first five.
module LUT6_2 #(
  parameter logic [63:0] INIT = '0
) (
  input  logic I0,
  input  logic I1,
  input  logic I2,
  input  logic I3,
  input  logic I4,
  input  logic I5,
  output logic O5,
  output logic O6
);

  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];

endmodule : LUT6_2
