// Two stages in a row: one cuts each beat into four parts, one adds one to each and puts four
// together again.  FAULT breaks it in one way.
#ifndef XH_SIM_NETWORK_H
#define XH_SIM_NETWORK_H

#include "ap_int.h"
#include "hls_stream.h"
#include "xh_network.h"
#include "xh_scheduler.h"

#define XH_CORE(name) tiny_core_##name

#ifndef A_DEPTH
#define A_DEPTH 3
#endif
#ifndef BEAT
#define BEAT 64
#endif
#ifndef FAULT
#define FAULT 0
#endif
#define TAKES_LESS 1
#define TAKES_MORE 2
#define GIVES_LESS 3
#define GIVES_MORE 4
#define LOOKS 5
#define DOES_NOTHING 6
#define RETURNS 7
#define READ_TWICE 8
#define WRITTEN_TWICE 9
#define UNREAD 10

namespace network {

enum { beat_bits = BEAT, in_beats = 2, out_beats = 2 };
static const int part = BEAT / 4;
static const char prefix[] = "tiny";
static const xh::Observed observed[] = {{"a", "parts"}, {nullptr, nullptr}};

typedef hls::stream<ap_uint<BEAT> > Beats;
typedef hls::stream<ap_uint<part> > Parts;

static inline void split(Beats &source, Parts &target) {
  ap_uint<BEAT> held = 0;
  for (int beat = 0; beat < 2; beat++) {
    for (int i = 0; i < 4; i++) {
      if (i == 0) {
        held = source.read();
      } else {
        held = held >> part;
      }
      target.write(held.range(part - 1, 0));
    }
  }
}

static inline void join(Parts &source, Beats &target) {
  ap_uint<BEAT> held = 0;
  for (int beat = 0; beat < 2; beat++) {
    for (int i = 0; i < 4; i++) {
      if (FAULT == DOES_NOTHING) continue;
      if (FAULT == LOOKS && source.empty()) continue;
      held = held >> part;
      if (FAULT != TAKES_LESS || beat == 0 || i < 3)
        held.range(BEAT - 1, BEAT - part) = ap_uint<part>(source.read() + 1);
      if (i == 3 && (FAULT != GIVES_LESS || beat == 0)) target.write(held);
    }
  }
  if (FAULT == GIVES_MORE) target.write(held);
  if (FAULT == TAKES_MORE) source.read();
}

static inline void top(Beats &s_axis, Beats &m_axis) {
  hls::stream<ap_uint<part>, A_DEPTH> a("a");
  hls::stream<ap_uint<1>, 8> b("b");
  xh::spawn("split", [&] {
    split(s_axis, a);
    if (FAULT == UNREAD) b.write(1);
  });
  xh::spawn("join", [&] { join(a, m_axis); });
  if (FAULT == READ_TWICE) xh::spawn("spy", [&] { a.read(); });
  if (FAULT == WRITTEN_TWICE) xh::spawn("spy", [&] { a.write(0); });
  if (FAULT != RETURNS) xh::park();
}

}  // namespace network

#endif
