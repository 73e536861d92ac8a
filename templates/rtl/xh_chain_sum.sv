// start + the sum of TERMS unsigned numbers, each with a carry bit, modulo 2^SUM_BITS.
//
// Chains of CHAIN adders, one a term, whose sums a tree adds.  An adder's term is taken in by the
// LUTs of its carry chain, whatever function of five bits it is; what came before goes to the carry
// chain itself.  So a term costs no LUT beside its adder's.  Differences say which operand is
// which, for synthesis may swap those of a sum.  A bit below the lowest brings a term's carry in; it
// also keeps synthesis from making one sum of all terms, which it would build of compressors.  The
// first term of a chain has no adder: its carry enters where the chain's sum is added.
module xh_chain_sum #(
  parameter int unsigned TERMS    = 4,
  parameter int unsigned BITS     = 9,
  parameter int unsigned SUM_BITS = 12,
  parameter int unsigned CHAIN    = 4
) (
  input  logic [SUM_BITS-1:0]   start_i,
  input  logic [TERMS*BITS-1:0] terms_i,
  input  logic [TERMS-1:0]      carries_i,
  output logic [SUM_BITS-1:0]   sum_o
);

  if (TERMS < 1 || BITS < 1 || SUM_BITS < 1 || CHAIN < 1) begin : gen_bad_size
    $error("xh_chain_sum: every size must be at least 1");
  end

  localparam int unsigned CHAINS = (TERMS + CHAIN - 1) / CHAIN;
  localparam int unsigned LEVELS = (CHAINS > 1) ? $clog2(CHAINS) : 0;

  // Bits of the sum of some terms.  All of them fit below 2^BITS times their number, with all
  // carries but the first.  The start is in the first node of every level.
  function automatic int unsigned row_bits(int unsigned first, int unsigned count);
    int unsigned bits;
    bits = BITS + $clog2(count);
    row_bits = (first == 0 || bits > SUM_BITS) ? SUM_BITS : bits;
  endfunction

  // Level 0: the chains; above it sums of two nodes of the level below.  Each level has places for
  // as many nodes, each node for as many bits, as the largest: what lies beyond is not used.
  logic [(LEVELS+1)*CHAINS*SUM_BITS-1:0] nodes;
  logic unused_nodes;
  assign unused_nodes = &{1'b0, nodes};

  for (genvar c = 0; c < CHAINS; c++) begin : gen_chain
    localparam int unsigned FIRST = c * CHAIN;
    localparam int unsigned COUNT = (TERMS - FIRST < CHAIN) ? TERMS - FIRST : CHAIN;

    logic [(COUNT+1)*SUM_BITS-1:0] sums;
    logic unused_sums;   // nothing stands in front of a chain without the start
    assign unused_sums = &{1'b0, sums};

    assign sums[0+:SUM_BITS] = (c == 0) ? start_i : '0;

    for (genvar i = 0; i < COUNT; i++) begin : gen_term
      localparam int unsigned ROW = row_bits(FIRST, i + 1);
      logic [BITS-1:0] term;
      assign term = terms_i[(FIRST+i)*BITS+:BITS];

      if (c > 0 && i == 0) begin : gen_first
        assign sums[(i+1)*SUM_BITS+:SUM_BITS] = SUM_BITS'(term);
      end else begin : gen_row
        logic [ROW-1:0] row;
        logic [ROW-1:0] wide;
        logic unused;   // the bit that brings the carry in
        assign wide = ROW'(term);
        assign {row, unused} = {sums[i*SUM_BITS+:ROW], 1'b0} - {~wide, !carries_i[FIRST+i]};
        assign sums[(i+1)*SUM_BITS+:SUM_BITS] = SUM_BITS'(row);
      end
    end

    assign nodes[c*SUM_BITS+:SUM_BITS] = sums[COUNT*SUM_BITS+:SUM_BITS];
  end

  for (genvar l = 0; l < LEVELS; l++) begin : gen_level
    localparam int unsigned BELOW = (CHAINS + (1 << l) - 1) >> l;
    localparam int unsigned EACH  = CHAIN << l;   // terms of a node below
    localparam int unsigned LEFT  = CHAINS - (BELOW + 1) / 2;

    if (LEFT > 0) begin : gen_left
      assign nodes[((l+1)*CHAINS+CHAINS-LEFT)*SUM_BITS+:LEFT*SUM_BITS] = '0;
    end

    for (genvar n = 0; n < (BELOW + 1) / 2; n++) begin : gen_node
      if (2 * n + 1 == BELOW) begin : gen_alone
        assign nodes[((l+1)*CHAINS+n)*SUM_BITS+:SUM_BITS] = nodes[(l*CHAINS+2*n)*SUM_BITS+:SUM_BITS];
      end else begin : gen_sum
        localparam int unsigned FIRST = 2 * n * EACH;
        localparam int unsigned COUNT = (TERMS - FIRST < 2 * EACH) ? TERMS - FIRST : 2 * EACH;
        localparam int unsigned ROW   = row_bits(FIRST, COUNT);

        logic [ROW-1:0] row;
        logic unused;

        assign {row, unused} = {nodes[(l*CHAINS+2*n)*SUM_BITS+:ROW], 1'b0}
            - {~nodes[(l*CHAINS+2*n+1)*SUM_BITS+:ROW], !carries_i[FIRST+EACH]};
        assign nodes[((l+1)*CHAINS+n)*SUM_BITS+:SUM_BITS] = SUM_BITS'(row);
      end
    end
  end

  assign sum_o = nodes[LEVELS*CHAINS*SUM_BITS+:SUM_BITS];

endmodule : xh_chain_sum
