// What the harness has to know of a network.  It is filled in by network.h:
//
//   #include "accel.h"
//   #include "xh_network.h"
//   #define XH_CORE(name) accel_core_##name        the functions that accel_core.sv calls
//   namespace network {
//   enum { beat_bits = 64, in_beats = 13, out_beats = 5 };
//   static const char prefix[] = "accel";          of the files that accel_core.sv leaves
//   static const xh::Observed observed[] = { {"conv0_out", "conv0"}, {nullptr, nullptr} };
//   static inline void top(hls::stream<ap_uint<64> > &s_axis, hls::stream<ap_uint<64> > &m_axis) {
//     accel_hls(s_axis, m_axis);
//   }
//   }
//
// All of it is local to the file that includes it, so that several networks fit in one program.
#ifndef XH_SIM_NETWORK_TYPES_H
#define XH_SIM_NETWORK_TYPES_H

namespace xh {

// A stream of the top, by the name that it was given, whose words are written to a file.
struct Observed {
  const char *stream;
  const char *stem;
};

}  // namespace xh

#endif
