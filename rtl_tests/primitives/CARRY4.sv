// Four places of a 7 series carry chain, by UG953: CI comes from the chain below, CYINIT begins one.
module CARRY4 (
  input  logic       CI,
  input  logic       CYINIT,
  input  logic [3:0] DI,
  input  logic [3:0] S,
  output logic [3:0] CO,
  output logic [3:0] O
);

  assign CO[0] = S[0] ? CI | CYINIT : DI[0];
  assign CO[1] = S[1] ? CO[0] : DI[1];
  assign CO[2] = S[2] ? CO[1] : DI[2];
  assign CO[3] = S[3] ? CO[2] : DI[3];
  assign O     = S ^ {CO[2:0], CI | CYINIT};

endmodule : CARRY4
