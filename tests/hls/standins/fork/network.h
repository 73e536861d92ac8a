// Two streams between two stages: the second reads two words of b before it reads one of a, so a
// has to hold two words.
#ifndef XH_SIM_NETWORK_H
#define XH_SIM_NETWORK_H

#include "ap_int.h"
#include "hls_stream.h"
#include "xh_network.h"
#include "xh_scheduler.h"

#define XH_CORE(name) fork_core_##name

namespace network {

enum { beat_bits = 32, in_beats = 1, out_beats = 1 };
static const char prefix[] = "fork";
static const xh::Observed observed[] = {{nullptr, nullptr}};

typedef hls::stream<ap_uint<32> > Beats;
typedef hls::stream<ap_uint<8> > Bytes;

static inline void deal(Beats &source, Bytes &a, Bytes &b) {
  const ap_uint<32> beat = source.read();
  a.write(beat.range(7, 0));
  b.write(beat.range(15, 8));
  a.write(beat.range(23, 16));
  b.write(beat.range(31, 24));
}

static inline void gather(Bytes &a, Bytes &b, Beats &target) {
  ap_uint<32> beat = 0;
  beat.range(15, 8) = b.read();
  beat.range(31, 24) = b.read();
  beat.range(7, 0) = a.read();
  beat.range(23, 16) = a.read();
  target.write(beat);
}

static inline void top(Beats &s_axis, Beats &m_axis) {
  hls::stream<ap_uint<8>, A_DEPTH> a("a");
  hls::stream<ap_uint<8>, 1> b("b");
  xh::spawn("deal", [&] { deal(s_axis, a, b); });
  xh::spawn("gather", [&] { gather(a, b, m_axis); });
  xh::park();
}

}  // namespace network

#endif
