// Eight places of an UltraScale+ carry chain, by UG974, as one chain: CI_TOP begins a second one, which
// nothing here uses.
module CARRY8 #(
  parameter CARRY_TYPE = "SINGLE_CY8"
) (
  input  logic       CI,
  input  logic       CI_TOP,
  input  logic [7:0] DI,
  input  logic [7:0] S,
  output logic [7:0] CO,
  output logic [7:0] O
);

  if (CARRY_TYPE != "SINGLE_CY8") begin : gen_bad_type
    $error("CARRY8: only SINGLE_CY8 is modelled");
  end

  logic unused;
  assign unused = CI_TOP;

  assign CO[0] = S[0] ? CI : DI[0];
  for (genvar i = 1; i < 8; i++) begin : gen_place
    assign CO[i] = S[i] ? CO[i-1] : DI[i];
  end
  assign O = S ^ {CO[6:0], CI};

endmodule : CARRY8
