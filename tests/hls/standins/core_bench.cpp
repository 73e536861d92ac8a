// Drives a core of 64-bit beats behind its SystemVerilog ports: pauses at random on both sides,
// holds the stream rules against it, and resets it inside a frame.
//
//   core_bench FRAMES SEED SOURCE_PERCENT SINK_PERCENT RESET_AT
//
// Beat b of frame f is f * 1000 + b; what comes back is printed, a beat a line.  With RESET_AT the
// core is reset in that clock and everything is sent again.
#include <cstdio>
#include <cstdlib>

#include "Vtiny_core.h"
#include "verilated.h"

static unsigned long long state;
static bool chance(unsigned percent) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (state >> 33) % 100 < percent;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  const unsigned long frames = std::strtoul(argv[1], nullptr, 10);
  state = std::strtoull(argv[2], nullptr, 10);
  const unsigned source = unsigned(std::atoi(argv[3])), sink = unsigned(std::atoi(argv[4]));
  const long reset_at = std::atol(argv[5]);
  VerilatedContext context;
  context.randReset(2);
  context.randSeed(11);
  Vtiny_core top(&context);
  unsigned long sent = 0, received = 0;
  bool offered = false, held = false;
  unsigned long long held_data = 0;
  int low = 5;
  for (long clock = 0; received < 2 * frames; ++clock) {
    if (clock == reset_at) {
      low = 3;
      sent = received = 0;
      offered = held = false;
      std::printf("reset\n");
    }
    if (clock > 200000) {
      std::printf("nothing comes\n");
      return 3;
    }
    top.rst_ni = low == 0;
    if (low) --low;
    if (top.rst_ni && !offered && sent < 2 * frames && !chance(source)) {
      offered = true;
      top.s_axis_tdata = sent / 2 * 1000 + sent % 2;
    }
    top.s_axis_tvalid = offered;
    top.m_axis_tready = top.rst_ni && !chance(sink);
    top.clk_i = 0;
    top.eval();
    if (top.rst_ni) {
      if (held && (!top.m_axis_tvalid || top.m_axis_tdata != held_data)) {
        std::printf("a beat was taken back\n");
        return 4;
      }
      held = top.m_axis_tvalid && !top.m_axis_tready;
      held_data = top.m_axis_tdata;
      if (offered && top.s_axis_tready) {
        offered = false;
        ++sent;
      }
      if (top.m_axis_tvalid && top.m_axis_tready) {
        std::printf("%016llx\n", (unsigned long long)top.m_axis_tdata);
        ++received;
      }
    }
    top.clk_i = 1;
    top.eval();
  }
  top.final();
  return 0;
}
