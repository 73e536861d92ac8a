// Sliding window over a feature map: the words that each output pixel needs, in the order in
// which a matrix unit or a pool consumes them.
//
// The map comes in raster order, WORDS_PER_PIXEL words of LANES elements a pixel, into a ring of
// DEPTH words.  For each output pixel the taps leave TAPS_PER_WORD at a time (flattened order
// ky, kx, the first tap lowest) from as many copies of the ring.  Loops of one output pixel,
// outermost first: repeats, tap groups, channel words; with CHANNELS_OUTER channel words, tap
// groups.  With SLICES a pixel's words are that many equal parts, one after another: slices,
// repeats, tap groups, words of the slice.  A tap on padding reads PAD_WORD and costs no clock.  The
// writer runs on into the next frame while the reader drains this one.
//
// TAPS_PER_READ less than TAPS_PER_WORD, for a window that leaves as one word: fewer copies of the
// ring read the taps one group after another, and a register holds the word for all its REPEATS
// while the next one is collected.  As many REPEATS as groups cost no clock.
//
// Flow control needs two counters, and one if no window reaches over the map's edge.  Let `written`
// and `origin` count words from the start of the reader's frame, the origin being the (possibly
// negative) place of the window's first tap:
//   readable:  written >= min(origin + SPAN, FRAME)   =   ahead >= SPAN or written >= FRAME
//   writable:  written - max(origin, 0) < DEPTH       =   ahead < DEPTH or written < DEPTH
// with ahead = written - origin.  What is kept is ahead - SPAN and written - FRAME, whose signs answer
// the first.  All addresses move by constants modulo DEPTH: no multiplier, no divider, and DEPTH
// need not be a power of two (one that is saves the wrap's adder).
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
  parameter int unsigned SLICES          = 1,
  parameter int unsigned TAPS_PER_READ   = TAPS_PER_WORD
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
  localparam int unsigned COPIES     = (TAPS_PER_READ > 0) ? TAPS_PER_READ : 1;
  localparam int unsigned TAP_GROUPS = TAPS / COPIES;
  localparam bit          HOLDS      = COPIES != TAPS_PER_WORD;
  localparam int unsigned ROUNDS     = HOLDS ? 1 : REPEATS;   // times that a pixel is read
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
  if (TAPS_PER_WORD % COPIES != 0 || TAPS_PER_READ < 1
      || (HOLDS && (TAPS_PER_WORD != TAPS || WORDS_PER_PIXEL != 1))) begin : gen_bad_read
    $error("xh_window: only a whole window in one word is collected, by a divisor of its taps a read");
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
  localparam int unsigned REPEAT_BITS  = (ROUNDS > 1) ? $clog2(ROUNDS) : 1;
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

  xh_counter #(.COUNT(ROUNDS)) i_repeat (
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

  // whether a tap of any window lies off the map
  localparam bit PADDED = TOP > 0 || LEFT > 0 || (OUT_Y - 1) * MOVE_Y + REACH_Y >= MAP_Y + TOP
      || (OUT_X - 1) * MOVE_X + REACH_X >= MAP_X + LEFT;

  // Bounds of what is kept.  The origin moves by at most FARTHEST, from a window that may be read;
  // the writer stops at a full ring, or at the frame's first RING words.
  localparam int FARTHER  = (STEP_PIXEL > STEP_ROW) ? STEP_PIXEL : STEP_ROW;
  localparam int FARTHEST = (FARTHER > STEP_FRAME) ? FARTHER : STEP_FRAME;
  localparam int AHEAD_BITS   = $clog2((SPAN + FARTHEST > RING - ORIGIN - SPAN)
      ? SPAN + FARTHEST + 1 : RING - ORIGIN - SPAN + 1) + 1;
  localparam int WRITTEN_BITS = $clog2((2 * FRAME > RING) ? 2 * FRAME + 1 : RING + 1) + 1;

  typedef logic signed [AHEAD_BITS-1:0] ahead_t;
  typedef logic signed [WRITTEN_BITS-1:0] written_t;

  ahead_t ahead_q, ahead_next;   // less SPAN
  ahead_t back;                  // a step less 1
  logic window_there, frame_there, window_fits, frame_fits;
  logic readable, write;
  logic valid_q, ready;   // of what was read
  logic unused_ahead;

  assign window_there = !ahead_q[AHEAD_BITS-1];
  assign readable     = window_there || frame_there;
  assign s_ready_o    = window_fits || frame_fits;
  assign write        = s_valid_i && s_ready_o;
  assign issue        = readable && (ready || !valid_q);

  // A sum of three by one adder: x - (y - 1) - 1 + write, whose last two are the bit below.
  always_comb begin
    back = '1;
    if (issue && pixel_end) back = ahead_t'(STEP_PIXEL - 1);
    if (issue && row_end) back = ahead_t'(STEP_ROW - 1);
    if (issue && frame_end) back = ahead_t'(STEP_FRAME - 1);
  end

  assign {ahead_next, unused_ahead} = {ahead_q, 1'b0} - {back, !write};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) ahead_q <= ahead_t'(-ORIGIN - SPAN);
    else ahead_q <= ahead_next;
  end

  assign window_fits = ahead_q < ahead_t'(RING - SPAN);

  if (PADDED) begin : gen_written
    written_t written_q, written_next;   // less FRAME
    logic unused_written;

    assign {written_next, unused_written} =
        {written_q, 1'b0} - {(issue && frame_end) ? written_t'(FRAME - 1) : written_t'(-1), !write};

    always_ff @(posedge clk_i) begin
      if (!rst_ni) written_q <= written_t'(-FRAME);
      else written_q <= written_next;
    end

    assign frame_there = !written_q[WRITTEN_BITS-1];
    assign frame_fits  = written_q < written_t'(RING - FRAME);
  end else begin : gen_ahead_alone
    assign frame_there = 1'b0;
    assign frame_fits  = 1'b0;
  end

  // ------------------------------------------------------------------ padding

  logic [KERNEL_Y-1:0] row_on_map;
  logic [KERNEL_X-1:0] column_on_map;
  logic [TAPS-1:0] on_map;
  logic [COPIES-1:0] on_padding;

  xh_on_map #(
    .KERNEL(KERNEL_Y), .STRIDE(STRIDE_Y), .PAD(PAD_TOP), .DILATION(DILATION_Y), .SIZE(HEIGHT), .OUT(OUT_HEIGHT)
  ) i_rows (
    .position_i(y), .on_map_o(row_on_map)
  );

  xh_on_map #(
    .KERNEL(KERNEL_X), .STRIDE(STRIDE_X), .PAD(PAD_LEFT), .DILATION(DILATION_X), .SIZE(WIDTH), .OUT(OUT_WIDTH)
  ) i_columns (
    .position_i(x), .on_map_o(column_on_map)
  );

  for (genvar t = 0; t < TAPS; t++) begin : gen_on_map
    assign on_map[t] = row_on_map[t/KERNEL_X] && column_on_map[t%KERNEL_X];
  end

  if (PADDED) begin : gen_on_padding
    assign on_padding = ~on_map[group*COPIES+:COPIES];
  end else begin : gen_never
    logic unused_map;
    assign unused_map = &on_map;
    assign on_padding = '0;
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

  localparam bit UNIFORM_PAD = PAD_WORD == {WORDS_PER_PIXEL{PAD_WORD[0+:WORD_BITS]}};

  addr_t write_address;
  logic unused_wrap;
  logic [COPIES*WORD_BITS-1:0] taps;   // what was read

  xh_counter #(.COUNT(DEPTH)) i_write_address (
    .clk_i, .rst_ni, .step_i(write), .value_o(write_address), .last_o(unused_wrap)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else valid_q <= readable || (valid_q && !ready);
  end

  for (genvar p = 0; p < COPIES; p++) begin : gen_port

    // from the port's last tap back to its first, and from a pixel's last word to its first
    localparam int TO_FIRST_TAP = place(p) - place((TAP_GROUPS - 1) * COPIES + p);
    localparam int BACK         = TO_FIRST_TAP - (WORDS - 1);

    localparam addr_t TO_CHANNEL =
        addr_t'(wrap(-(CHANNELS_OUTER ? TO_FIRST_TAP + 1 : 1)));
    localparam addr_t TO_SLICE = addr_t'(wrap(-(TO_FIRST_TAP + 1)));
    localparam addr_t TO_PIXEL = addr_t'(wrap(-(BACK + STEP_PIXEL)));
    localparam addr_t TO_ROW   = addr_t'(wrap(-(BACK + STEP_ROW)));
    localparam addr_t TO_FRAME = addr_t'(wrap(-(BACK + STEP_FRAME)));

    logic [TAP_GROUPS*ADDR_BITS-1:0] to_group;
    addr_t address_q, address_next, delta;
    logic [WORD_BITS-1:0] word;

    for (genvar g = 0; g < TAP_GROUPS; g++) begin : gen_to_group
      localparam int unsigned TAP = g * COPIES + p;
      assign to_group[g*ADDR_BITS+:ADDR_BITS] =
          addr_t'(wrap(place(TAP) - place((TAP + COPIES) % TAPS) + (CHANNELS_OUTER ? 0 : PART - 1)));
    end

    always_comb begin
      if (frame_end) delta = TO_FRAME;
      else if (row_end) delta = TO_ROW;
      else if (pixel_end) delta = TO_PIXEL;
      else if (slice_end && SLICES > 1) delta = TO_SLICE;
      else if (CHANNELS_OUTER ? last_group : !last_channel) delta = TO_CHANNEL;
      else delta = to_group[group*ADDR_BITS+:ADDR_BITS];
    end

    // an address moves back by what is left of the ring, so that the borrow says where it wraps
    if (2 ** ADDR_BITS == DEPTH) begin : gen_power_of_two
      assign address_next = address_q - delta;
    end else begin : gen_wrap
      addr_t back_to;
      logic borrow;
      assign {borrow, back_to} = {1'b0, address_q} - {1'b0, delta};
      assign address_next = back_to - (borrow ? addr_t'(-RING) : '0);
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) address_q <= addr_t'(wrap(ORIGIN + place(p)));
      else if (issue) address_q <= address_next;
    end

    xh_ram #(
      .WIDTH(WORD_BITS), .DEPTH(DEPTH), .BLOCK_RAM(BLOCK_RAM), .CLEAR_WORD(PAD_WORD[0+:WORD_BITS])
    ) i_ram (
      .clk_i,
      .write_enable_i(write), .write_address_i(write_address), .write_data_i(s_data_i),
      .read_enable_i(issue), .read_clear_i(UNIFORM_PAD && on_padding[p]),
      .read_address_i(address_q), .read_data_o(word)
    );

    if (UNIFORM_PAD) begin : gen_uniform_pad
      assign taps[p*WORD_BITS+:WORD_BITS] = word;
    end else begin : gen_pad_words
      localparam int unsigned PAD_BITS = $clog2(WORDS_PER_PIXEL);

      logic [PAD_BITS-1:0] channel_q;   // of all words of the pixel
      logic on_padding_q;

      always_ff @(posedge clk_i) begin
        if (issue) begin
          channel_q    <= PAD_BITS'(slice) * PAD_BITS'(SLICE) + PAD_BITS'(channel);
          on_padding_q <= on_padding[p];
        end
      end

      assign taps[p*WORD_BITS+:WORD_BITS] = on_padding_q ? PAD_WORD[channel_q*WORD_BITS+:WORD_BITS] : word;
    end

  end

  if (HOLDS) begin : gen_hold
    xh_hold #(
      .WIDTH(COPIES * WORD_BITS), .WORDS(TAP_GROUPS), .REPEATS(REPEATS)
    ) i_hold (
      .clk_i, .rst_ni,
      .s_valid_i(valid_q), .s_ready_o(ready), .s_data_i(taps),
      .m_valid_o, .m_ready_i, .m_data_o
    );
  end else begin : gen_at_once
    assign m_valid_o = valid_q;
    assign ready     = m_ready_i;
    assign m_data_o  = taps;
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni)
      m_valid_o && !m_ready_i |=> m_valid_o && $stable(m_data_o))
    else $error("xh_window: the output changed while it was stalled");
`endif

endmodule : xh_window
