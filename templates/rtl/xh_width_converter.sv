// Changes the width of a stream, packet by packet.
//
// A packet of PACKET_BITS bits comes in ceil(PACKET_BITS / IN_BITS) words and leaves in
// ceil(PACKET_BITS / OUT_BITS) words, lowest bits first.  Bits of the last incoming word past
// the packet are dropped, bits of the last outgoing word past it are zero.  The narrower side
// moves a word every clock, also from one packet to the next.
//
// Both directions look at a fixed concatenation {incoming word, history of earlier bits} and
// choose where in it the outgoing word starts, in steps of gcd(IN_BITS, OUT_BITS) bits.  So the
// history is a plain register with no multiplexer in front, and where one width divides the
// other the form shrinks by itself: no history when narrowing, no choice when widening.  Nor is there
// a choice where a packet is one outgoing word: its last bits always stand at the same place.
// s_ready_o and m_valid_o are combinational; a FIFO on one side cuts the paths.
module xh_width_converter #(
  parameter int unsigned IN_BITS     = 64,
  parameter int unsigned OUT_BITS    = 8,
  parameter int unsigned PACKET_BITS = 64
) (
  input  logic                clk_i,
  input  logic                rst_ni,

  input  logic                s_valid_i,
  output logic                s_ready_o,
  input  logic [IN_BITS-1:0]  s_data_i,

  output logic                m_valid_o,
  input  logic                m_ready_i,
  output logic [OUT_BITS-1:0] m_data_o
);

  if (IN_BITS < 1 || OUT_BITS < 1 || PACKET_BITS < 1) begin : gen_bad_bits
    $error("xh_width_converter: IN_BITS, OUT_BITS and PACKET_BITS must be at least 1");
  end

  function automatic int unsigned gcd(int unsigned a, int unsigned b);
    int unsigned x, y, r;
    x = a;
    y = b;
    while (y != 0) begin
      r = x % y;
      x = y;
      y = r;
    end
    gcd = x;
  endfunction

  function automatic int unsigned max(int unsigned a, int unsigned b);
    max = (a > b) ? a : b;
  endfunction

  localparam int unsigned GRAIN      = gcd(IN_BITS, OUT_BITS);
  localparam int unsigned IN_GRAINS  = IN_BITS / GRAIN;
  localparam int unsigned OUT_GRAINS = OUT_BITS / GRAIN;
  localparam int unsigned IN_WORDS   = (PACKET_BITS + IN_BITS - 1) / IN_BITS;
  localparam int unsigned OUT_WORDS  = (PACKET_BITS + OUT_BITS - 1) / OUT_BITS;

  // a packet that both widths divide ends by itself in the phase it began in: nothing to count
  localparam bit COUNTED = PACKET_BITS % IN_BITS != 0 || PACKET_BITS % OUT_BITS != 0;

  // a packet that leaves as one word, with the last of those that came in
  localparam bit SINGLE = COUNTED && OUT_WORDS == 1;

  // the packet's bits before its last incoming and its last outgoing word
  localparam int unsigned IN_BEFORE  = (IN_WORDS - 1) * IN_BITS;
  localparam int unsigned OUT_BEFORE = (OUT_WORDS - 1) * OUT_BITS;

  localparam int unsigned TAIL_BITS = PACKET_BITS - OUT_BEFORE;
  localparam logic [OUT_BITS-1:0] TAIL_MASK = {OUT_BITS{1'b1}} >> (OUT_BITS - TAIL_BITS);

  if (IN_BITS == OUT_BITS && !COUNTED) begin : gen_wire

    assign m_valid_o = s_valid_i;
    assign s_ready_o = m_ready_i;
    assign m_data_o  = s_data_i;

    // a wire keeps the ports of a converter
    logic unused;
    assign unused = &{1'b0, clk_i, rst_ni};

  end else if (IN_BITS >= OUT_BITS) begin : gen_narrow

    // The incoming word waits at the port while its outgoing words leave.  offset_q is where the
    // next one starts in {s_data_i, history_q}, in grains.
    localparam int unsigned HISTORY = OUT_BITS - GRAIN;

    // outgoing words completed before the packet's last incoming word is needed
    localparam int unsigned EARLY_WORDS = IN_BEFORE / OUT_BITS;
    localparam int unsigned TAIL_OFFSET =
        (HISTORY + OUT_BEFORE - EARLY_WORDS * OUT_BITS - IN_BEFORE % OUT_BITS) / GRAIN;

    localparam int unsigned POSITIONS   = max(IN_GRAINS, TAIL_OFFSET + 1);
    localparam int unsigned OFFSET_BITS = max($clog2(max(POSITIONS, OUT_GRAINS)), 1);
    localparam logic [OFFSET_BITS-1:0] START = OFFSET_BITS'(OUT_GRAINS - 1);

    logic [OFFSET_BITS-1:0] offset_q;
    logic exhausted;    // after this outgoing word no whole one is left
    logic take;         // the incoming word is done with this outgoing word
    logic packet_end;   // this is the packet's last outgoing word
    logic move;

    assign move = s_valid_i && m_ready_i;

    if (IN_GRAINS > OUT_GRAINS) begin : gen_exhausted
      assign exhausted = offset_q >= OFFSET_BITS'(IN_GRAINS - OUT_GRAINS);
    end else begin : gen_always_exhausted
      assign exhausted = 1'b1;
    end

    if (COUNTED) begin : gen_count
      localparam int unsigned COUNT_BITS = max($clog2(OUT_WORDS), 1);
      logic [COUNT_BITS-1:0] count_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) count_q <= '0;
        else if (move) count_q <= packet_end ? '0 : count_q + 1'b1;
      end

      assign packet_end = count_q == COUNT_BITS'(OUT_WORDS - 1);
      if (EARLY_WORDS > 0) begin : gen_early
        assign take = packet_end || (exhausted && count_q < COUNT_BITS'(EARLY_WORDS));
      end else begin : gen_single
        assign take = packet_end;
        logic unused;
        assign unused = exhausted;
      end
    end else begin : gen_endless
      assign packet_end = 1'b0;
      assign take       = exhausted;
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        offset_q <= START;
      end else if (move) begin
        if (packet_end) offset_q <= START;
        else if (take) offset_q <= offset_q - OFFSET_BITS'(IN_GRAINS - OUT_GRAINS);
        else offset_q <= offset_q + OFFSET_BITS'(OUT_GRAINS);
      end
    end

    // POSITIONS candidates of OUT_BITS, one grain apart
    localparam int unsigned SPAN = (POSITIONS - 1) * GRAIN + OUT_BITS;
    logic [SPAN-1:0] span;
    logic [POSITIONS*OUT_BITS-1:0] candidates;

    if (HISTORY > 0) begin : gen_history
      logic [HISTORY-1:0] history_q;

      always_ff @(posedge clk_i) begin
        if (move && take) history_q <= s_data_i[IN_BITS-1-:HISTORY];
      end

      assign span = SPAN'({s_data_i, history_q});
    end else begin : gen_no_history
      assign span = SPAN'(s_data_i);
    end

    for (genvar p = 0; p < POSITIONS; p++) begin : gen_candidate
      assign candidates[p*OUT_BITS+:OUT_BITS] = span[p*GRAIN+:OUT_BITS];
    end

    if (POSITIONS > 1) begin : gen_choice
      assign m_data_o = candidates[offset_q*OUT_BITS+:OUT_BITS]
                        & (packet_end ? TAIL_MASK : {OUT_BITS{1'b1}});
    end else begin : gen_no_choice
      assign m_data_o = candidates & (packet_end ? TAIL_MASK : {OUT_BITS{1'b1}});
    end

    assign m_valid_o = s_valid_i;
    assign s_ready_o = m_ready_i && take;

  end else begin : gen_widen

    // history_q holds the last bits that came in; the incoming word that completes an outgoing
    // one leaves with it.  offset_q is where the outgoing word under way starts in
    // {s_data_i, history_q}, in grains: it falls as the history moves on.
    localparam int unsigned HISTORY     = OUT_BITS - GRAIN;
    localparam int unsigned OFFSET_BITS = max($clog2(OUT_GRAINS), 1);
    localparam logic [OFFSET_BITS-1:0] START = OFFSET_BITS'(OUT_GRAINS - 1);

    // The packet's last incoming word may complete one outgoing word and begin another.  That
    // last one leaves from the history alone, while the next packet's first word comes in.
    localparam bit FLUSHES = OUT_BEFORE > IN_BEFORE;
    localparam int unsigned TAIL_OFFSET =
        FLUSHES ? HISTORY + OUT_BEFORE - IN_BEFORE - IN_BITS : HISTORY + OUT_BEFORE - IN_BEFORE;

    logic [HISTORY-1:0] history_q;
    logic [HISTORY+IN_BITS-1:0] span;
    logic [OUT_BITS-1:0] whole;
    logic filled;       // the incoming word completes an outgoing one
    logic packet_end;   // the incoming word is the packet's last
    logic flush;        // the outgoing word is the tail left in the history
    logic emit;         // the outgoing word needs the incoming one
    logic accept;

    assign span   = {s_data_i, history_q};
    assign accept = s_valid_i && s_ready_o;

    if (COUNTED) begin : gen_count
      localparam int unsigned COUNT_BITS = max($clog2(IN_WORDS), 1);
      logic [COUNT_BITS-1:0] count_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) count_q <= '0;
        else if (accept) count_q <= packet_end ? '0 : count_q + 1'b1;
      end

      assign packet_end = count_q == COUNT_BITS'(IN_WORDS - 1);
    end else begin : gen_endless
      assign packet_end = 1'b0;
    end

    always_ff @(posedge clk_i) begin
      if (accept) history_q <= span[IN_BITS+:HISTORY];
    end

    if (SINGLE) begin : gen_one_place
      assign filled = packet_end;
      assign whole  = OUT_BITS'(span >> TAIL_OFFSET) & TAIL_MASK;
    end else begin : gen_places
      logic [OFFSET_BITS-1:0] offset_q;
      logic [IN_GRAINS*OUT_BITS-1:0] candidates;

      assign filled = offset_q < OFFSET_BITS'(IN_GRAINS);

      always_ff @(posedge clk_i) begin
        if (!rst_ni) begin
          offset_q <= START;
        end else if (accept) begin
          if (packet_end) offset_q <= START;
          else if (filled) offset_q <= offset_q + OFFSET_BITS'(OUT_GRAINS - IN_GRAINS);
          else offset_q <= offset_q - OFFSET_BITS'(IN_GRAINS);
        end
      end

      for (genvar p = 0; p < IN_GRAINS; p++) begin : gen_candidate
        assign candidates[p*OUT_BITS+:OUT_BITS] = span[p*GRAIN+:OUT_BITS];
      end

      if (IN_GRAINS > 1) begin : gen_choice
        localparam int unsigned CHOICE_BITS = $clog2(IN_GRAINS);
        assign whole = candidates[offset_q[CHOICE_BITS-1:0]*OUT_BITS+:OUT_BITS];
      end else begin : gen_no_choice
        assign whole = candidates;
      end
    end

    if (COUNTED && FLUSHES) begin : gen_flush
      logic flush_q;

      always_ff @(posedge clk_i) begin
        if (!rst_ni) flush_q <= 1'b0;
        else if (accept && packet_end) flush_q <= 1'b1;
        else if (m_ready_i) flush_q <= 1'b0;
      end

      assign flush    = flush_q;
      assign emit     = filled;
      assign m_data_o = flush ? OUT_BITS'(span >> TAIL_OFFSET) & TAIL_MASK : whole;
    end else if (COUNTED && !SINGLE) begin : gen_tail
      assign flush    = 1'b0;
      assign emit     = filled || packet_end;
      assign m_data_o = packet_end ? OUT_BITS'(span >> TAIL_OFFSET) & TAIL_MASK : whole;
    end else begin : gen_whole
      assign flush    = 1'b0;
      assign emit     = filled;
      assign m_data_o = whole;
    end

    assign m_valid_o = flush || (s_valid_i && emit);
    assign s_ready_o = m_ready_i || (!flush && !emit);

  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_width_converter: the output changed while it was stalled");
`endif

endmodule : xh_width_converter
