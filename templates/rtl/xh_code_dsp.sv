// A DSP of 7 series in a column: factor * number + what comes from the DSP below by the cascade, or, BEGINS,
// by the port begins_i.
//
// Registers inside: of both factors (two, LATE), of begins_i where FIRST, of the product, and, HELD, of the sum.
// Instantiated, because yosys leaves most of a column's registers and adders outside of the DSPs.
`ifndef XH_COUNTONES
module xh_code_dsp #(
  parameter bit FIRST  = 1'b0,
  parameter bit BEGINS = 1'b0,
  parameter bit LATE   = 1'b0,
  parameter bit HELD   = 1'b1
) (
  input  logic               clk_i,
  input  logic               en_i,
  input  logic [24:0]        factor_i,
  input  logic signed [17:0] number_i,
  input  logic [47:0]        begins_i,
  input  logic [47:0]        cascade_i,
  output logic [47:0]        sum_o,
  output logic [47:0]        cascade_o
);

  localparam int unsigned INPUTS = LATE ? 2 : 1;

  logic [29:0] a;
  logic [17:0] b;
  logic [3:0] carries;
  logic [5:0] flags;
  logic unused;

  assign unused = ^{a, b, carries, flags};

  DSP48E1 #(
    .ACASCREG(INPUTS), .AREG(INPUTS), .BCASCREG(INPUTS), .BREG(INPUTS), .CREG(FIRST ? 1 : 0),
    .MREG(1),
    .PREG(HELD ? 1 : 0), .ADREG(0), .DREG(0), .ALUMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0),
    .INMODEREG(0), .OPMODEREG(0), .USE_DPORT("FALSE"), .USE_MULT("MULTIPLY"), .USE_SIMD("ONE48")
  ) i_dsp (
    .CLK(clk_i),
    .A({{5{factor_i[24]}}, factor_i}),
    .B(number_i),
    .C(begins_i),
    .PCIN(cascade_i),
    .P(sum_o),
    .PCOUT(cascade_o),
    // the product, and of C and the cascade one
    .OPMODE(BEGINS ? 7'b0110101 : 7'b0010101),
    .ALUMODE(4'b0000), .INMODE(5'b00000), .CARRYINSEL(3'b000), .CARRYIN(1'b0),
    .CEA1(en_i), .CEA2(en_i), .CEB1(en_i), .CEB2(en_i), .CEC(en_i), .CEM(en_i), .CEP(en_i),
    .CEAD(1'b0), .CED(1'b0), .CEALUMODE(1'b0), .CECARRYIN(1'b0), .CECTRL(1'b0), .CEINMODE(1'b0),
    .RSTA(1'b0), .RSTB(1'b0), .RSTC(1'b0), .RSTD(1'b0), .RSTM(1'b0), .RSTP(1'b0), .RSTALLCARRYIN(1'b0),
    .RSTALUMODE(1'b0), .RSTCTRL(1'b0), .RSTINMODE(1'b0),
    .ACIN(30'd0), .BCIN(18'd0), .D(25'd0), .CARRYCASCIN(1'b0), .MULTSIGNIN(1'b0),
    .ACOUT(a), .BCOUT(b), .CARRYCASCOUT(flags[0]), .CARRYOUT(carries), .MULTSIGNOUT(flags[1]),
    .OVERFLOW(flags[2]), .PATTERNBDETECT(flags[3]), .PATTERNDETECT(flags[4]), .UNDERFLOW(flags[5])
  );

endmodule : xh_code_dsp
`endif
