// A DSP of 7 series by UG479, as far as it multiplies and adds: 25 x 18 bits without the pre-adder, 48 bits
// in one, OPMODE and the other controls constant and without registers.  What else the parameters or the
// controls ask for ends the simulation.
module DSP48E1 #(
  parameter int    ACASCREG      = 1,
  parameter int    ADREG         = 1,
  parameter int    ALUMODEREG    = 1,
  parameter int    AREG          = 1,
  parameter int    BCASCREG      = 1,
  parameter int    BREG          = 1,
  parameter int    CARRYINREG    = 1,
  parameter int    CARRYINSELREG = 1,
  parameter int    CREG          = 1,
  parameter int    DREG          = 1,
  parameter int    INMODEREG     = 1,
  parameter int    MREG          = 1,
  parameter int    OPMODEREG     = 1,
  parameter int    PREG          = 1,
  parameter string USE_DPORT     = "FALSE",
  parameter string USE_MULT      = "MULTIPLY",
  parameter string USE_SIMD      = "ONE48"
) (
  input  logic        CLK,
  input  logic [29:0] A,
  input  logic [17:0] B,
  input  logic [47:0] C,
  input  logic [24:0] D,
  input  logic [29:0] ACIN,
  input  logic [17:0] BCIN,
  input  logic [47:0] PCIN,
  input  logic        CARRYCASCIN,
  input  logic        MULTSIGNIN,
  input  logic        CARRYIN,
  input  logic [3:0]  ALUMODE,
  input  logic [2:0]  CARRYINSEL,
  input  logic [4:0]  INMODE,
  input  logic [6:0]  OPMODE,
  input  logic        CEA1,
  input  logic        CEA2,
  input  logic        CEAD,
  input  logic        CEALUMODE,
  input  logic        CEB1,
  input  logic        CEB2,
  input  logic        CEC,
  input  logic        CECARRYIN,
  input  logic        CECTRL,
  input  logic        CED,
  input  logic        CEINMODE,
  input  logic        CEM,
  input  logic        CEP,
  input  logic        RSTA,
  input  logic        RSTALLCARRYIN,
  input  logic        RSTALUMODE,
  input  logic        RSTB,
  input  logic        RSTC,
  input  logic        RSTCTRL,
  input  logic        RSTD,
  input  logic        RSTINMODE,
  input  logic        RSTM,
  input  logic        RSTP,
  output logic [47:0] P,
  output logic [47:0] PCOUT,
  output logic [29:0] ACOUT,
  output logic [17:0] BCOUT,
  output logic        CARRYCASCOUT,
  output logic [3:0]  CARRYOUT,
  output logic        MULTSIGNOUT,
  output logic        OVERFLOW,
  output logic        PATTERNBDETECT,
  output logic        PATTERNDETECT,
  output logic        UNDERFLOW
);

  if (AREG < 1 || AREG > 2 || BREG < 1 || BREG > 2 || ACASCREG != AREG || BCASCREG != BREG) begin : gen_bad_inputs
    $error("DSP48E1: one or two registers of A and B");
  end
  if (CREG < 0 || CREG > 1 || MREG != 1 || PREG < 0 || PREG > 1) begin : gen_bad_registers
    $error("DSP48E1: the product has a register, C and P may");
  end
  if (ALUMODEREG + CARRYINREG + CARRYINSELREG + INMODEREG + OPMODEREG + ADREG + DREG != 0) begin : gen_bad_controls
    $error("DSP48E1: controls have no registers, and there is no pre-adder");
  end
  if (USE_DPORT != "FALSE" || USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48") begin : gen_bad_use
    $error("DSP48E1: multiply and add in one");
  end

  // A1 and B1, A2 and B2: where there is one register, it is the second
  logic signed [24:0] a1, a2;
  logic signed [17:0] b1, b2;
  logic signed [42:0] m;
  logic [47:0] c, z, sum, held;

  always_ff @(posedge CLK) begin
    if (RSTA) begin
      a1 <= '0;
      a2 <= '0;
    end else begin
      if (CEA1) a1 <= A[24:0];
      if (CEA2) a2 <= (AREG == 2) ? a1 : A[24:0];
    end
    if (RSTB) begin
      b1 <= '0;
      b2 <= '0;
    end else begin
      if (CEB1) b1 <= B;
      if (CEB2) b2 <= (BREG == 2) ? b1 : B;
    end
    if (RSTC) c <= '0;
    else if (CEC) c <= C;
    if (RSTM) m <= '0;
    else if (CEM) m <= 43'(a2) * 43'(b2);
    if (RSTP) held <= '0;
    else if (CEP) held <= sum;
  end

  always_comb begin
    unique case (OPMODE)
      7'b0110101: z = (CREG == 1) ? c : C;
      7'b0010101: z = PCIN;
      default:    z = 'x;
    endcase
  end

  assign sum   = z + 48'(m);
  assign P     = (PREG == 1) ? held : sum;
  assign PCOUT = P;

  always_ff @(posedge CLK) begin
    assert (OPMODE inside {7'b0110101, 7'b0010101}) else $fatal(1, "DSP48E1: this OPMODE is not modelled");
    assert ({ALUMODE, INMODE, CARRYINSEL, CARRYIN} == '0) else $fatal(1, "DSP48E1: a control is not 0");
  end

  logic unused;
  assign unused = ^{A[29:25], D, ACIN, BCIN, CARRYCASCIN, MULTSIGNIN, CEAD, CEALUMODE, CECARRYIN, CECTRL, CED,
                    CEINMODE, RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTD, RSTINMODE};

  // not modelled
  assign {ACOUT, BCOUT, CARRYCASCOUT, CARRYOUT, MULTSIGNOUT, OVERFLOW} = 'x;
  assign {PATTERNBDETECT, PATTERNDETECT, UNDERFLOW} = 'x;

endmodule : DSP48E1
