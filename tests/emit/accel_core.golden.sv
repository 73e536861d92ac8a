// accel_core: the network as a chain of units, one matrix unit a layer.
//
//   board   pynq-z2 (xc7z020clg400-1)
//   input   input, 1 beats of 64 bits a frame
//   result  fc, 6 beats a frame
//   rate    a frame every 16 clocks by plan
//
//   layer                            PE  SIMD  weights in  clocks a frame
//   fc                                2     2  lut                     16
//
// Streams are valid/ready; a wire is named after the port it feeds (<unit>_in, <unit>_weights,
// <unit>_starts) or, in front of a FIFO, after the unit it leaves (<unit>_out).

module accel_core (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        s_axis_tvalid,
  output logic        s_axis_tready,
  input  logic [63:0] s_axis_tdata,
  output logic        m_axis_tvalid,
  input  logic        m_axis_tready,
  output logic [63:0] m_axis_tdata
);

  // input: 64 x 1 bits a word
  logic in_converter_in_valid;
  logic in_converter_in_ready;
  logic [63:0] in_converter_in_data;
  // input: 2 x 1 bits a word
  logic fc_window_in_valid;
  logic fc_window_in_ready;
  logic [1:0] fc_window_in_data;
  // input: 2 x 1 bits a word
  logic fc_matrix_in_valid;
  logic fc_matrix_in_ready;
  logic [1:0] fc_matrix_in_data;
  // fc: 4 x 1 bits a word
  logic fc_matrix_weights_valid;
  logic fc_matrix_weights_ready;
  logic [3:0] fc_matrix_weights_data;
  // fc: 2 x 4 bits a word
  logic fc_matrix_starts_valid;
  logic fc_matrix_starts_ready;
  logic [7:0] fc_matrix_starts_data;
  // fc: 2 x 32 bits a word
  logic fc_matrix_out_valid;
  logic fc_matrix_out_ready;
  logic [63:0] fc_matrix_out_data;
  logic pixel_converter_in_valid;
  logic pixel_converter_in_ready;
  logic [63:0] pixel_converter_in_data;
  // fc: 3 x 32 bits a word
  logic out_converter_in_valid;
  logic out_converter_in_ready;
  logic [95:0] out_converter_in_data;
  // fc: 2 x 32 bits a word
  logic out_converter_out_valid;
  logic out_converter_out_ready;
  logic [63:0] out_converter_out_data;
  logic output_in_valid;
  logic output_in_ready;
  logic [63:0] output_in_data;

  assign in_converter_in_valid = s_axis_tvalid;
  assign in_converter_in_data  = s_axis_tdata;
  assign s_axis_tready = in_converter_in_ready;

  assign m_axis_tvalid = output_in_valid;
  assign m_axis_tdata  = output_in_data;
  assign output_in_ready = m_axis_tready;

  // ---- fc --------------------------------------------------------------------

  // words of 64 bits to words of 2, cut every 16 bits
  xh_width_converter #(
    .IN_BITS    (64),
    .OUT_BITS   (2),
    .PACKET_BITS(16)
  ) u_in_converter (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .s_valid_i (in_converter_in_valid),
    .s_ready_o (in_converter_in_ready),
    .s_data_i  (in_converter_in_data),
    .m_valid_o (fc_window_in_valid),
    .m_ready_i (fc_window_in_ready),
    .m_data_o  (fc_window_in_data)
  );

  // map 2 x 2 to 2 x 2, 1x1 over a ring of 8 words
  xh_window #(
    .BITS           (1),
    .LANES          (2),
    .WORDS_PER_PIXEL(2),
    .HEIGHT         (2),
    .WIDTH          (2),
    .KERNEL_Y       (1),
    .KERNEL_X       (1),
    .STRIDE_Y       (1),
    .STRIDE_X       (1),
    .PAD_TOP        (0),
    .PAD_LEFT       (0),
    .DILATION_Y     (1),
    .DILATION_X     (1),
    .OUT_HEIGHT     (2),
    .OUT_WIDTH      (2),
    .TAPS_PER_WORD  (1),
    .REPEATS        (2),
    .CHANNELS_OUTER (1'b0),
    .DEPTH          (8),
    .BLOCK_RAM      (1'b0),
    .PAD_WORD       (4'h0)
  ) u_fc_window (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .s_valid_i (fc_window_in_valid),
    .s_ready_o (fc_window_in_ready),
    .s_data_i  (fc_window_in_data),
    .m_valid_o (fc_matrix_in_valid),
    .m_ready_i (fc_matrix_in_ready),
    .m_data_o  (fc_matrix_in_data)
  );

  // 4 weight words of 4 bits
  xh_weight_rom #(
    .WIDTH    (4),
    .DEPTH    (4),
    .BLOCK_ROM(1'b0),
    .FILE     ("accel_fc_weights.mem")
  ) u_fc_weights (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .m_valid_o (fc_matrix_weights_valid),
    .m_ready_i (fc_matrix_weights_ready),
    .m_data_o  (fc_matrix_weights_data)
  );

  // accumulator starts: 1 position classes x 2 channel groups
  xh_start_rom #(
    .WIDTH         (8),
    .GROUPS        (2),
    .OUT_HEIGHT    (1),
    .OUT_WIDTH     (1),
    .ROW_CLASSES   (1),
    .COLUMN_CLASSES(1),
    .CLASS_BITS    (1),
    .ROW_CLASS     (1'h0),
    .COLUMN_CLASS  (1'h0),
    .FILE          ("accel_fc_starts.mem")
  ) u_fc_starts (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .m_valid_o (fc_matrix_starts_valid),
    .m_ready_i (fc_matrix_starts_ready),
    .m_data_o  (fc_matrix_starts_data)
  );

  // PE 2 x SIMD 2, 2 folds, 2 channel groups, sums
  xh_mvu #(
    .PE         (2),
    .SIMD       (2),
    .ACT_BITS   (1),
    .ACT_SIGNED (1'b0),
    .ACT_BIPOLAR(1'b1),
    .FOLDS      (2),
    .GROUPS     (2),
    .START_BITS (4),
    .ACC_BITS   (4),
    .THRESHOLDED(1'b0),
    .OUT_BITS   (32)
  ) u_fc_matrix (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .s_valid_i (fc_matrix_in_valid),
    .s_ready_o (fc_matrix_in_ready),
    .s_data_i  (fc_matrix_in_data),
    .w_valid_i (fc_matrix_weights_valid),
    .w_ready_o (fc_matrix_weights_ready),
    .w_data_i  (fc_matrix_weights_data),
    .t_valid_i (fc_matrix_starts_valid),
    .t_ready_o (fc_matrix_starts_ready),
    .t_data_i  (fc_matrix_starts_data),
    .m_valid_o (fc_matrix_out_valid),
    .m_ready_i (fc_matrix_out_ready),
    .m_data_o  (fc_matrix_out_data)
  );

  xh_fifo #(
    .WIDTH(64),
    .DEPTH(2)
  ) fifo_pixel_converter_in (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .s_valid_i (fc_matrix_out_valid),
    .s_ready_o (fc_matrix_out_ready),
    .s_data_i  (fc_matrix_out_data),
    .m_valid_o (pixel_converter_in_valid),
    .m_ready_i (pixel_converter_in_ready),
    .m_data_o  (pixel_converter_in_data)
  );

  // words of 64 bits to words of 96, cut every 96 bits
  xh_width_converter #(
    .IN_BITS    (64),
    .OUT_BITS   (96),
    .PACKET_BITS(96)
  ) u_pixel_converter (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .s_valid_i (pixel_converter_in_valid),
    .s_ready_o (pixel_converter_in_ready),
    .s_data_i  (pixel_converter_in_data),
    .m_valid_o (out_converter_in_valid),
    .m_ready_i (out_converter_in_ready),
    .m_data_o  (out_converter_in_data)
  );

  // words of 96 bits to words of 64, cut every 384 bits
  xh_width_converter #(
    .IN_BITS    (96),
    .OUT_BITS   (64),
    .PACKET_BITS(384)
  ) u_out_converter (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .s_valid_i (out_converter_in_valid),
    .s_ready_o (out_converter_in_ready),
    .s_data_i  (out_converter_in_data),
    .m_valid_o (out_converter_out_valid),
    .m_ready_i (out_converter_out_ready),
    .m_data_o  (out_converter_out_data)
  );

  xh_fifo #(
    .WIDTH(64),
    .DEPTH(2)
  ) fifo_output_in (
    .clk_i     (clk_i),
    .rst_ni    (rst_ni),
    .s_valid_i (out_converter_out_valid),
    .s_ready_o (out_converter_out_ready),
    .s_data_i  (out_converter_out_data),
    .m_valid_o (output_in_valid),
    .m_ready_i (output_in_ready),
    .m_data_o  (output_in_data)
  );

endmodule : accel_core
