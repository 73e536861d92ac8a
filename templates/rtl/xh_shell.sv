// The IP's shell: AXI4-Stream in and out, AXI4-Lite registers, the frame count and tlast.
//
// The core behind it knows no tlast: it turns a stream of frames of IN_BEATS beats into a
// stream of results of OUT_BEATS beats.  A packet may hold any whole number of frames, so
// the tlast of a frame's last beat is kept, one flag a frame, in a FIFO as deep as the
// frames that can be in flight, and leaves with the last beat of that frame's result.  The
// input waits while the FIFO is full.  The last beat of a result waits for its flag, since a
// network that does not look at its last rows may know the result before the frame has
// arrived in whole.  It waits in the core: a core ends in a register, which lets the rest of
// the frame in behind it.
//
// A tlast inside a frame and a beat with bytes missing set sticky error bits; the beats are
// counted on as they are, and the way back is a soft reset.  Soft reset (CONTROL bit 0)
// holds the core, the beat counters, the flags, the frame counters and the errors in reset;
// the registers themselves stay reachable.  While it lasts no beat is taken and none is given.
//
// The input passes a two-deep FIFO, so that tready leaves a register and no path runs from
// the bus through the core's first unit.

module xh_shell #(
  parameter int unsigned BEAT_BITS        = 64,
  parameter int unsigned IN_BEATS         = 1,
  parameter int unsigned OUT_BEATS        = 1,
  parameter int unsigned FRAMES_IN_FLIGHT = 2,
  parameter logic [63:0] BUILD_HASH       = 64'h0
) (
  input  logic                   aclk,
  input  logic                   aresetn,

  input  logic                   s_axis_tvalid,
  output logic                   s_axis_tready,
  input  logic [BEAT_BITS-1:0]   s_axis_tdata,
  input  logic [BEAT_BITS/8-1:0] s_axis_tkeep,
  input  logic                   s_axis_tlast,

  output logic                   m_axis_tvalid,
  input  logic                   m_axis_tready,
  output logic [BEAT_BITS-1:0]   m_axis_tdata,
  output logic [BEAT_BITS/8-1:0] m_axis_tkeep,
  output logic                   m_axis_tlast,

  input  logic [7:0]             s_axi_awaddr,
  input  logic [2:0]             s_axi_awprot,
  input  logic                   s_axi_awvalid,
  output logic                   s_axi_awready,
  input  logic [31:0]            s_axi_wdata,
  input  logic [3:0]             s_axi_wstrb,
  input  logic                   s_axi_wvalid,
  output logic                   s_axi_wready,
  output logic [1:0]             s_axi_bresp,
  output logic                   s_axi_bvalid,
  input  logic                   s_axi_bready,
  input  logic [7:0]             s_axi_araddr,
  input  logic [2:0]             s_axi_arprot,
  input  logic                   s_axi_arvalid,
  output logic                   s_axi_arready,
  output logic [31:0]            s_axi_rdata,
  output logic [1:0]             s_axi_rresp,
  output logic                   s_axi_rvalid,
  input  logic                   s_axi_rready,

  // to and from the core
  output logic                   core_rst_no,
  output logic                   core_in_valid_o,
  input  logic                   core_in_ready_i,
  output logic [BEAT_BITS-1:0]   core_in_data_o,
  input  logic                   core_out_valid_i,
  output logic                   core_out_ready_o,
  input  logic [BEAT_BITS-1:0]   core_out_data_i
);

  localparam int unsigned IN_COUNT_BITS  = (IN_BEATS > 1) ? $clog2(IN_BEATS) : 1;
  localparam int unsigned OUT_COUNT_BITS = (OUT_BEATS > 1) ? $clog2(OUT_BEATS) : 1;
  localparam logic [IN_COUNT_BITS-1:0]  IN_LAST  = IN_COUNT_BITS'(IN_BEATS - 1);
  localparam logic [OUT_COUNT_BITS-1:0] OUT_LAST = OUT_COUNT_BITS'(OUT_BEATS - 1);

  if (BEAT_BITS == 0 || BEAT_BITS % 8 != 0) begin : gen_bad_beat
    $error("xh_shell: BEAT_BITS must be whole bytes");
  end
  if (IN_BEATS == 0 || OUT_BEATS == 0) begin : gen_bad_frame
    $error("xh_shell: a frame has at least one beat each way");
  end
  if (FRAMES_IN_FLIGHT == 0) begin : gen_bad_flight
    $error("xh_shell: FRAMES_IN_FLIGHT must be at least 1");
  end

  // ---- reset

  logic soft_reset;
  logic run_q;
  logic clear;

  // A register: the core's reset has a large fan-out and no business in a decoder's path.
  always_ff @(posedge aclk) run_q <= aresetn && !soft_reset;
  assign core_rst_no = run_q;

  // Counters and errors do not wait for that register: who has seen the write of CONTROL
  // answered reads them as clear.
  assign clear = soft_reset || !run_q;

  // ---- input

  logic [IN_COUNT_BITS-1:0] in_count_q;
  logic in_ready;
  logic in_beat;
  logic in_frame_end;
  logic flag_in_ready;

  // Flags are pushed on a frame's last beat only, so a FIFO that has room on its first beat
  // still has it on the last: the frame that waits is always a whole one.
  assign s_axis_tready = run_q && in_ready && flag_in_ready;
  assign in_beat = s_axis_tvalid && s_axis_tready;
  assign in_frame_end = in_beat && in_count_q == IN_LAST;

  always_ff @(posedge aclk) begin
    if (!run_q) in_count_q <= '0;
    else if (in_beat) in_count_q <= (in_count_q == IN_LAST) ? '0 : in_count_q + 1'b1;
  end

  xh_fifo #(
    .WIDTH(BEAT_BITS),
    .DEPTH(2)
  ) u_input (
    .clk_i     (aclk),
    .rst_ni    (run_q),
    .s_valid_i (in_beat),
    .s_ready_o (in_ready),
    .s_data_i  (s_axis_tdata),
    .m_valid_o (core_in_valid_o),
    .m_ready_i (core_in_ready_i),
    .m_data_o  (core_in_data_o)
  );

  // ---- one flag a frame in flight

  logic flag_valid;
  logic flag_last;
  logic out_frame_end;

  xh_fifo #(
    .WIDTH(1),
    .DEPTH(FRAMES_IN_FLIGHT)
  ) u_flags (
    .clk_i     (aclk),
    .rst_ni    (run_q),
    .s_valid_i (in_frame_end),
    .s_ready_o (flag_in_ready),
    .s_data_i  (s_axis_tlast),
    .m_valid_o (flag_valid),
    .m_ready_i (out_frame_end),
    .m_data_o  (flag_last)
  );

  // ---- output

  logic [OUT_COUNT_BITS-1:0] out_count_q;
  logic out_last;
  logic out_open;
  logic out_beat;

  assign out_last = out_count_q == OUT_LAST;
  assign out_open = run_q && (!out_last || flag_valid);
  assign m_axis_tvalid = core_out_valid_i && out_open;
  assign core_out_ready_o = m_axis_tready && out_open;
  assign m_axis_tdata = core_out_data_i;
  assign m_axis_tkeep = '1;
  assign m_axis_tlast = out_last && flag_last;
  assign out_beat = m_axis_tvalid && m_axis_tready;
  assign out_frame_end = out_beat && out_last;

  always_ff @(posedge aclk) begin
    if (!run_q) out_count_q <= '0;
    else if (out_beat) out_count_q <= out_last ? '0 : out_count_q + 1'b1;
  end

  // ---- counters and errors

  logic [31:0] frames_in_q;
  logic [31:0] frames_out_q;
  logic [31:0] busy_cycles_q;
  logic [31:0] input_stalls_q;
  logic [31:0] output_stalls_q;
  logic [1:0] errors_set;
  logic busy;

  assign busy = in_beat || in_count_q != '0 || flag_valid;
  assign errors_set[0] = in_beat && s_axis_tlast && in_count_q != IN_LAST;
  assign errors_set[1] = in_beat && s_axis_tkeep != '1;

  always_ff @(posedge aclk) begin
    if (clear) begin
      frames_in_q     <= '0;
      frames_out_q    <= '0;
      busy_cycles_q   <= '0;
      input_stalls_q  <= '0;
      output_stalls_q <= '0;
    end else begin
      frames_in_q     <= frames_in_q + 32'(in_frame_end);
      frames_out_q    <= frames_out_q + 32'(out_frame_end);
      busy_cycles_q   <= busy_cycles_q + 32'(busy);
      input_stalls_q  <= input_stalls_q + 32'(s_axis_tvalid && !s_axis_tready);
      output_stalls_q <= output_stalls_q + 32'(m_axis_tvalid && !m_axis_tready);
    end
  end

  xh_registers #(
    .BUILD_HASH(BUILD_HASH)
  ) u_registers (
    .clk_i          (aclk),
    .rst_ni         (aresetn),
    .s_axi_awaddr   (s_axi_awaddr),
    .s_axi_awvalid  (s_axi_awvalid),
    .s_axi_awready  (s_axi_awready),
    .s_axi_wdata    (s_axi_wdata),
    .s_axi_wstrb    (s_axi_wstrb),
    .s_axi_wvalid   (s_axi_wvalid),
    .s_axi_wready   (s_axi_wready),
    .s_axi_bresp    (s_axi_bresp),
    .s_axi_bvalid   (s_axi_bvalid),
    .s_axi_bready   (s_axi_bready),
    .s_axi_araddr   (s_axi_araddr),
    .s_axi_arvalid  (s_axi_arvalid),
    .s_axi_arready  (s_axi_arready),
    .s_axi_rdata    (s_axi_rdata),
    .s_axi_rresp    (s_axi_rresp),
    .s_axi_rvalid   (s_axi_rvalid),
    .s_axi_rready   (s_axi_rready),
    .frames_in_i    (frames_in_q),
    .frames_out_i   (frames_out_q),
    .busy_cycles_i  (busy_cycles_q),
    .input_stalls_i (input_stalls_q),
    .output_stalls_i(output_stalls_q),
    .in_beats_i     (32'(IN_BEATS)),
    .out_beats_i    (32'(OUT_BEATS)),
    .errors_set_i   (errors_set),
    .control_o      (soft_reset),
    .clear_i        (clear)
  );

  // Protection bits say nothing to registers that everyone may read.
  logic unused_prot;
  assign unused_prot = ^{s_axi_awprot, s_axi_arprot};

`ifndef SYNTHESIS
  // AXI4-Stream: what is offered stays until it is taken; a soft reset may withdraw it.
  logic held_q;
  logic [BEAT_BITS-1:0] held_data_q;
  logic held_last_q;
  always_ff @(posedge aclk) begin
    held_q      <= run_q && aresetn && !soft_reset && m_axis_tvalid && !m_axis_tready;
    held_data_q <= m_axis_tdata;
    held_last_q <= m_axis_tlast;
    if (held_q && run_q && aresetn) begin
      assert (m_axis_tvalid && m_axis_tdata == held_data_q && m_axis_tlast == held_last_q)
      else $error("xh_shell: a result beat changed while it waited");
    end
  end
`endif

endmodule : xh_shell
