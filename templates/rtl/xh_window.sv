// Sliding window over a feature map: the words that each output pixel needs, in the order in
// which a matrix unit or a pool consumes them.
//
// The map comes in raster order, WORDS_PER_PIXEL words of LANES elements a pixel, into a ring of
// DEPTH words.  For each output pixel the taps leave TAPS_PER_WORD at a time (flattened order
// ky, kx, the first tap lowest) from as many copies of the ring.  Loops of one output pixel,
// outermost first: repeats, tap groups, channel words; with CHANNELS_OUTER channel words, tap
// groups.  With SLICES a pixel's words are that many equal parts, one after another: slices,
// repeats, tap groups, words of the slice.  A tap on padding reads PAD_WORD and costs no clock.  The writer runs on into the next
// frame while the reader drains this one.
//
// Flow control needs two counters.  Let `written` and `origin` count words from the start of the
// reader's frame, the origin being the (possibly negative) place of the window's first tap:
//   readable:  written >= min(origin + SPAN, FRAME)   =   ahead >= SPAN or written >= FRAME
//   writable:  written - max(origin, 0) < DEPTH       =   ahead < DEPTH or written < DEPTH
// with ahead = written - origin.  All addresses move by constants modulo DEPTH: no multiplier,
// no divider, and DEPTH need not be a power of two (one that is saves the wrap's subtractor).
module xh_window #(
  parameter int unsigned BITS            = 1,
  parameter int unsigned LANES           = 8,
  parameter int unsigned WORDS_PER_PIXEL = 1,
  parameter int unsigned HEIGHT          = 8,
  parameter int unsigned WIDTH           = 8,
  parameter int unsigned KERNEL_Y        = 3,
  parameter int unsigned KERNEL_X        = 3,
  parameter int unsigned STRIDE_Y        = 1,
  parameter int unsigned STRIDE_X        = 1,
  parameter int unsigned PAD_TOP         = 0,
  parameter int unsigned PAD_LEFT        = 0,
  parameter int unsigned DILATION_Y      = 1,
  parameter int unsigned DILATION_X      = 1,
  parameter int unsigned OUT_HEIGHT      = 6,
  parameter int unsigned OUT_WIDTH       = 6,
  parameter int unsigned TAPS_PER_WORD   = 1,
  parameter int unsigned REPEATS         = 1,
  parameter bit          CHANNELS_OUTER  = 1'b0,
  parameter int unsigned DEPTH           = 32,
  parameter bit          BLOCK_RAM       = 1'b0,
  parameter logic [WORDS_PER_PIXEL*LANES*BITS-1:0] PAD_WORD = '0,
  parameter int unsigned SLICES          = 1
) (
  input  logic                                clk_i,
  input  logic                                rst_ni,

  input  logic                                s_valid_i,
  output logic                                s_ready_o,
  input  logic [LANES*BITS-1:0]               s_data_i,

  output logic                                m_valid_o,
  input  logic                                m_ready_i,
  output logic [TAPS_PER_WORD*LANES*BITS-1:0] m_data_o
);

  localparam int unsigned WORD_BITS  = LANES * BITS;
  localparam int unsigned TAPS       = KERNEL_Y * KERNEL_X;
  localparam int unsigned TAP_GROUPS = TAPS / TAPS_PER_WORD;
  localparam int unsigned SLICE      = (SLICES > 0) ? WORDS_PER_PIXEL / SLICES : 1;   // words of one

  // Distances in the stream of words.  A padded window starts before the map, so they are signed:
  // the unsigned parameters go through typed constants first, for a cast alone is read as
  // unsigned by yosys.
  localparam int WORDS    = WORDS_PER_PIXEL;
  localparam int PART     = SLICE;
  localparam int MAP_Y    = HEIGHT;
  localparam int MAP_X    = WIDTH;
  localparam int TAPS_X   = KERNEL_X;
  localparam int REACH_Y  = (KERNEL_Y - 1) * DILATION_Y;
  localparam int REACH_X  = (KERNEL_X - 1) * DILATION_X;
  localparam int TAP_Y    = DILATION_Y;
  localparam int TAP_X    = DILATION_X;
  localparam int MOVE_Y   = STRIDE_Y;
  localparam int MOVE_X   = STRIDE_X;
  localparam int TOP      = PAD_TOP;
  localparam int LEFT     = PAD_LEFT;
  localparam int OUT_Y    = OUT_HEIGHT;
  localparam int OUT_X    = OUT_WIDTH;
  localparam int RING     = DEPTH;
  localparam int ROW      = MAP_X * WORDS;
  localparam int FRAME    = MAP_Y * ROW;
  localparam int SPAN     = REACH_Y * ROW + REACH_X * WORDS + WORDS;
  localparam int ORIGIN   = -(TOP * ROW + LEFT * WORDS);

  // how far the origin moves to the next pixel, to the next row, to the next frame
  localparam int STEP_PIXEL = MOVE_X * WORDS;
  localparam int STEP_LINE  = (OUT_X - 1) * STEP_PIXEL;
  localparam int STEP_ROW   = MOVE_Y * ROW - STEP_LINE;
  localparam int STEP_FRAME = FRAME - (OUT_Y - 1) * MOVE_Y * ROW - STEP_LINE;

  // What one window may need at once, the most over all of them.  As a function of the origin it
  // rises, stays and falls, so each row's most is next to where the plateau begins.
  function automatic int smallest_depth();
    int plateau, row, column, origin, need, most;
    plateau = (SPAN <= FRAME) ? 0 : FRAME - SPAN;
    most = 0;
    for (int line = 0; line < OUT_Y; line++) begin
      row = ORIGIN + line * MOVE_Y * ROW;
      column = (plateau > row) ? (plateau - row + STEP_PIXEL - 1) / STEP_PIXEL : 0;
      for (int back = 0; back < 2; back++) begin
        origin = row + ((column - back) * STEP_PIXEL);
        if (column - back < 0) origin = row;
        if (column - back >= OUT_X) origin = row + STEP_LINE;
        need = ((origin + SPAN < FRAME) ? origin + SPAN : FRAME) - ((origin > 0) ? origin : 0);
        if (need > most) most = need;
      end
    end
    smallest_depth = most;
  endfunction

  if (BITS < 1 || LANES < 1 || WORDS_PER_PIXEL < 1 || HEIGHT < 1 || WIDTH < 1 || OUT_HEIGHT < 1
      || OUT_WIDTH < 1 || STRIDE_Y < 1 || STRIDE_X < 1 || REPEATS < 1 || DEPTH < 1
      || SLICES < 1) begin : gen_bad_size
    $error("xh_window: every size must be at least 1");
  end
  if (TAPS_PER_WORD < 1 || TAPS % TAPS_PER_WORD != 0) begin : gen_bad_taps
    $error("xh_window: TAPS_PER_WORD must divide the kernel's taps");
  end
  if (CHANNELS_OUTER && REPEATS != 1) begin : gen_bad_repeats
    $error("xh_window: CHANNELS_OUTER leaves no place for REPEATS");
  end
  if (WORDS_PER_PIXEL % ((SLICES > 0) ? SLICES : 1) != 0 || (CHANNELS_OUTER && SLICES != 1)) begin : gen_bad_slices
    $error("xh_window: SLICES must divide WORDS_PER_PIXEL, and be 1 with CHANNELS_OUTER");
  end
  // farther out a window's origin would free words of the next frame or row before they are read
  if ((OUT_HEIGHT - 1) * STRIDE_Y >= HEIGHT + PAD_TOP || (OUT_WIDTH - 1) * STRIDE_X > WIDTH + PAD_LEFT)
  begin : gen_bad_pad
    $error("xh_window: no window may start below the map or beyond the column after it");
  end
  // its words would leave before the frame begins
  if (ORIGIN + SPAN <= 0) begin : gen_bad_start
    $error("xh_window: the first window must reach the map");
  end
  if (RING < smallest_depth()) begin : gen_bad_depth
    $error("xh_window: DEPTH cannot hold the words of one window");
  end

  // ------------------------------------------------------------------ loop nest

  localparam int unsigned CHANNEL_BITS = (SLICE > 1) ? $clog2(SLICE) : 1;
  localparam int unsigned SLICE_BITS   = (SLICES > 1) ? $clog2(SLICES) : 1;
  localparam int unsigned GROUP_BITS   = (TAP_GROUPS > 1) ? $clog2(TAP_GROUPS) : 1;
  localparam int unsigned REPEAT_BITS  = (REPEATS > 1) ? $clog2(REPEATS) : 1;
  localparam int unsigned X_BITS       = (OUT_WIDTH > 1) ? $clog2(OUT_WIDTH) : 1;
  localparam int unsigned Y_BITS       = (OUT_HEIGHT > 1) ? $clog2(OUT_HEIGHT) : 1;

  logic [CHANNEL_BITS-1:0] channel;
  logic [SLICE_BITS-1:0] slice;
  logic [GROUP_BITS-1:0] group;
  logic [REPEAT_BITS-1:0] unused_repeat;
  logic [X_BITS-1:0] x;
  logic [Y_BITS-1:0] y;
  logic last_channel, last_group, last_repeat, last_slice, last_x, last_y;
  logic issue;   // one output word is read from the ring
  logic slice_end, pixel_end, row_end, frame_end;

  xh_counter #(.COUNT(SLICE)) i_channel (
    .clk_i, .rst_ni, .step_i(issue && (last_group || !CHANNELS_OUTER)),
    .value_o(channel), .last_o(last_channel)
  );

  xh_counter #(.COUNT(TAP_GROUPS)) i_group (
    .clk_i, .rst_ni, .step_i(issue && (last_channel || CHANNELS_OUTER)),
    .value_o(group), .last_o(last_group)
  );

  xh_counter #(.COUNT(REPEATS)) i_repeat (
    .clk_i, .rst_ni, .step_i(issue && last_channel && last_group),
    .value_o(unused_repeat), .last_o(last_repeat)
  );

  xh_counter #(.COUNT(SLICES)) i_slice (
    .clk_i, .rst_ni, .step_i(issue && slice_end), .value_o(slice), .last_o(last_slice)
  );

  xh_counter #(.COUNT(OUT_WIDTH)) i_x (
    .clk_i, .rst_ni, .step_i(issue && pixel_end), .value_o(x), .last_o(last_x)
  );

  xh_counter #(.COUNT(OUT_HEIGHT)) i_y (
    .clk_i, .rst_ni, .step_i(issue && row_end), .value_o(y), .last_o(last_y)
  );

  // not every geometry asks where it stands
  logic unused;
  assign unused = &{1'b0, channel, slice, group, x, y};

  assign slice_end = last_channel && last_group && last_repeat;
  assign pixel_end = slice_end && last_slice;
  assign row_end   = pixel_end && last_x;
  assign frame_end = row_end && last_y;

  // ------------------------------------------------------------------ flow control

  localparam int unsigned LEVEL_BITS = $clog2(RING + FRAME - 2 * ORIGIN + 1) + 1;

  typedef logic signed [LEVEL_BITS-1:0] level_t;

  localparam level_t LEVEL_SPAN  = level_t'(SPAN);
  localparam level_t LEVEL_FRAME = level_t'(FRAME);
  localparam level_t LEVEL_RING  = level_t'(RING);

  level_t written_q, ahead_q;
  level_t step;
  logic readable, write;
  logic valid_q;

  assign readable  = ahead_q >= LEVEL_SPAN || written_q >= LEVEL_FRAME;
  assign s_ready_o = ahead_q < LEVEL_RING || written_q < LEVEL_RING;
  assign write     = s_valid_i && s_ready_o;
  assign issue     = readable && (m_ready_i || !valid_q);

  always_comb begin
    step = '0;
    if (issue && pixel_end) step = level_t'(STEP_PIXEL);
    if (issue && row_end) step = level_t'(STEP_ROW);
    if (issue && frame_end) step = level_t'(STEP_FRAME);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      written_q <= '0;
      ahead_q   <= level_t'(-ORIGIN);
    end else begin
      written_q <= written_q - ((issue && frame_end) ? LEVEL_FRAME : '0) + level_t'({1'b0, write});
      ahead_q   <= ahead_q - step + level_t'({1'b0, write});
    end
  end

  // ------------------------------------------------------------------ padding

  // A tap's row falls on the map for a run of output rows, the same for columns: two
  // comparisons with constants each, and none for a run that has no end.
  logic [KERNEL_Y-1:0] row_on_map;
  logic [KERNEL_X-1:0] column_on_map;
  logic [TAPS-1:0] on_map;

  for (genvar k = 0; k < KERNEL_Y; k++) begin : gen_row_on_map
    localparam int PLACE = k * TAP_Y - TOP;
    localparam int FIRST = (PLACE < 0) ? (MOVE_Y - 1 - PLACE) / MOVE_Y : 0;
    localparam int PAST  = (PLACE < MAP_Y) ? (MAP_Y - PLACE + MOVE_Y - 1) / MOVE_Y : 0;
    logic after_first, before_past;

    if (FIRST <= 0) begin : gen_from_start
      assign after_first = 1'b1;
    end else begin : gen_first
      assign after_first = FIRST < OUT_Y && y >= Y_BITS'(FIRST);
    end
    if (PAST >= OUT_Y) begin : gen_to_end
      assign before_past = 1'b1;
    end else if (PAST > 0) begin : gen_past
      assign before_past = y < Y_BITS'(PAST);
    end else begin : gen_nowhere
      assign before_past = 1'b0;
    end
    assign row_on_map[k] = after_first && before_past;
  end

  for (genvar k = 0; k < KERNEL_X; k++) begin : gen_column_on_map
    localparam int PLACE = k * TAP_X - LEFT;
    localparam int FIRST = (PLACE < 0) ? (MOVE_X - 1 - PLACE) / MOVE_X : 0;
    localparam int PAST  = (PLACE < MAP_X) ? (MAP_X - PLACE + MOVE_X - 1) / MOVE_X : 0;
    logic after_first, before_past;

    if (FIRST <= 0) begin : gen_from_start
      assign after_first = 1'b1;
    end else begin : gen_first
      assign after_first = FIRST < OUT_X && x >= X_BITS'(FIRST);
    end
    if (PAST >= OUT_X) begin : gen_to_end
      assign before_past = 1'b1;
    end else if (PAST > 0) begin : gen_past
      assign before_past = x < X_BITS'(PAST);
    end else begin : gen_nowhere
      assign before_past = 1'b0;
    end
    assign column_on_map[k] = after_first && before_past;
  end

  for (genvar t = 0; t < TAPS; t++) begin : gen_on_map
    assign on_map[t] = row_on_map[t/KERNEL_X] && column_on_map[t%KERNEL_X];
  end

  // ------------------------------------------------------------------ ring

  localparam int unsigned ADDR_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1;

  typedef logic [ADDR_BITS-1:0] addr_t;

  function automatic int wrap(int words);
    wrap = ((words % RING) + RING) % RING;
  endfunction

  // how far behind the origin a tap lies
  function automatic int place(int tap);
    place = (tap / TAPS_X) * TAP_Y * ROW + (tap % TAPS_X) * TAP_X * WORDS;
  endfunction

  addr_t write_address;
  logic unused_wrap;
  logic [TAPS_PER_WORD-1:0] on_map_q;
  logic [WORD_BITS-1:0] pad;

  xh_counter #(.COUNT(DEPTH)) i_write_address (
    .clk_i, .rst_ni, .step_i(write), .value_o(write_address), .last_o(unused_wrap)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else valid_q <= readable || (valid_q && !m_ready_i);
  end

  always_ff @(posedge clk_i) begin
    if (issue) on_map_q <= on_map[group*TAPS_PER_WORD+:TAPS_PER_WORD];
  end

  if (PAD_WORD == {WORDS_PER_PIXEL{PAD_WORD[0+:WORD_BITS]}}) begin : gen_uniform_pad
    assign pad = PAD_WORD[0+:WORD_BITS];
  end else begin : gen_pad_words
    localparam int unsigned PAD_BITS = $clog2(WORDS_PER_PIXEL);

    logic [PAD_BITS-1:0] channel_q;   // of all words of the pixel

    always_ff @(posedge clk_i) begin
      if (issue) channel_q <= PAD_BITS'(slice) * PAD_BITS'(SLICE) + PAD_BITS'(channel);
    end

    assign pad = PAD_WORD[channel_q*WORD_BITS+:WORD_BITS];
  end

  for (genvar p = 0; p < TAPS_PER_WORD; p++) begin : gen_port

    // from the port's last tap back to its first, and from a pixel's last word to its first
    localparam int TO_FIRST_TAP = place(p) - place((TAP_GROUPS - 1) * TAPS_PER_WORD + p);
    localparam int BACK         = TO_FIRST_TAP - (WORDS - 1);

    localparam addr_t TO_CHANNEL =
        addr_t'(wrap(CHANNELS_OUTER ? TO_FIRST_TAP + 1 : 1));
    localparam addr_t TO_SLICE = addr_t'(wrap(TO_FIRST_TAP + 1));
    localparam addr_t TO_PIXEL = addr_t'(wrap(BACK + STEP_PIXEL));
    localparam addr_t TO_ROW   = addr_t'(wrap(BACK + STEP_ROW));
    localparam addr_t TO_FRAME = addr_t'(wrap(BACK + STEP_FRAME));

    logic [TAP_GROUPS*ADDR_BITS-1:0] to_group;
    addr_t address_q, address_next, delta;
    logic [WORD_BITS-1:0] word;

    for (genvar g = 0; g < TAP_GROUPS; g++) begin : gen_to_group
      localparam int unsigned TAP = g * TAPS_PER_WORD + p;
      assign to_group[g*ADDR_BITS+:ADDR_BITS] =
          addr_t'(wrap(place((TAP + TAPS_PER_WORD) % TAPS) - place(TAP) - (CHANNELS_OUTER ? 0 : PART - 1)));
    end

    always_comb begin
      if (frame_end) delta = TO_FRAME;
      else if (row_end) delta = TO_ROW;
      else if (pixel_end) delta = TO_PIXEL;
      else if (slice_end && SLICES > 1) delta = TO_SLICE;
      else if (CHANNELS_OUTER ? last_group : !last_channel) delta = TO_CHANNEL;
      else delta = to_group[group*ADDR_BITS+:ADDR_BITS];
    end

    if (2 ** ADDR_BITS == DEPTH) begin : gen_power_of_two
      assign address_next = address_q + delta;
    end else begin : gen_wrap
      logic [ADDR_BITS:0] sum;
      assign sum = {1'b0, address_q} + {1'b0, delta};
      assign address_next = (sum >= (ADDR_BITS + 1)'(DEPTH)) ? addr_t'(sum - (ADDR_BITS + 1)'(DEPTH))
                                                             : addr_t'(sum);
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) address_q <= addr_t'(wrap(ORIGIN + place(p)));
      else if (issue) address_q <= address_next;
    end

    xh_ram #(
      .WIDTH(WORD_BITS), .DEPTH(DEPTH), .BLOCK_RAM(BLOCK_RAM)
    ) i_ram (
      .clk_i,
      .write_enable_i(write), .write_address_i(write_address), .write_data_i(s_data_i),
      .read_enable_i(issue), .read_address_i(address_q), .read_data_o(word)
    );

    assign m_data_o[p*WORD_BITS+:WORD_BITS] = on_map_q[p] ? word : pad;

  end

  assign m_valid_o = valid_q;

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_window: the output changed while it was stalled");
`endif

endmodule : xh_window
