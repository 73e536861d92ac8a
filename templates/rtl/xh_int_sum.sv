// Sum of multi-bit activations, each times an integer weight in two's complement.
//
// The products wait in registers; behind them an adder tree without one.  en_i takes a word.  With
// DSP a product is a DSP with two registers, its own: with one alone synthesis takes the tree into the
// DSPs as well, one behind the other and all in one clock.  Without, shifted copies of the weight that
// the activation's bits select are added, for factors of few bits.
module xh_int_sum #(
  parameter int unsigned SIMD        = 4,
  parameter int unsigned ACT_BITS    = 8,
  parameter bit          ACT_SIGNED  = 1'b0,
  parameter int unsigned WEIGHT_BITS = 8,
  parameter bit          DSP         = 1'b1,
  localparam int unsigned PRODUCT_BITS = ACT_BITS + WEIGHT_BITS,
  localparam int unsigned SUM_BITS     = PRODUCT_BITS + $clog2(SIMD)
) (
  input  logic                        clk_i,
  input  logic                        en_i,
  input  logic [SIMD*ACT_BITS-1:0]    activation_i,
  input  logic [SIMD*WEIGHT_BITS-1:0] weight_i,
  output logic [SUM_BITS-1:0]         sum_o
);

  if (SIMD < 1 || ACT_BITS < 1 || WEIGHT_BITS < 2) begin : gen_bad_size
    $error("xh_int_sum: SIMD and ACT_BITS must be at least 1, WEIGHT_BITS 2");
  end

  typedef logic signed [PRODUCT_BITS-1:0] product_t;

  logic [SIMD*PRODUCT_BITS-1:0] products;

  for (genvar i = 0; i < SIMD; i++) begin : gen_lane

    logic [ACT_BITS-1:0] activation;
    logic signed [WEIGHT_BITS-1:0] weight;

    assign activation = activation_i[i*ACT_BITS+:ACT_BITS];
    assign weight     = weight_i[i*WEIGHT_BITS+:WEIGHT_BITS];

    if (DSP) begin : gen_dsp

      // one bit more makes an unsigned activation a signed factor
      logic signed [ACT_BITS:0] factor;
      (* use_dsp = "yes" *) product_t product_q, held_q;

      assign factor = {ACT_SIGNED && activation[ACT_BITS-1], activation};

      always_ff @(posedge clk_i) begin
        if (en_i) begin
          product_q <= PRODUCT_BITS'(factor) * PRODUCT_BITS'(weight);
          held_q    <= product_q;
        end
      end

      assign products[i*PRODUCT_BITS+:PRODUCT_BITS] = held_q;

    end else begin : gen_luts

      product_t product, product_q;

      always_comb begin
        product = '0;
        for (int unsigned b = 0; b < ACT_BITS; b++) begin
          // the highest bit of a signed activation counts negative
          if (ACT_SIGNED && b == ACT_BITS - 1) begin
            if (activation[b]) product -= product_t'(weight) <<< b;
          end else begin
            if (activation[b]) product += product_t'(weight) <<< b;
          end
        end
      end

      always_ff @(posedge clk_i) begin
        if (en_i) product_q <= product;
      end

      assign products[i*PRODUCT_BITS+:PRODUCT_BITS] = product_q;

    end

  end

  always_comb begin
    sum_o = '0;
    for (int unsigned i = 0; i < SIMD; i++) begin
      sum_o += SUM_BITS'($signed(products[i*PRODUCT_BITS+:PRODUCT_BITS]));
    end
  end

endmodule : xh_int_sum
