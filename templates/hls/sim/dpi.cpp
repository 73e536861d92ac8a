// The network behind a module of SystemVerilog: the functions that <prefix>_core.sv calls.
//
// In each clock the beat that was accepted goes into the input stream, and all stages run until
// none can go on; then the ports are told whether there is room for a beat and whether there is
// one to take.  As both are told from registers, the core keeps the rules of its streams
// whatever the other side does.  The words of the observed streams go to <prefix>_<stem>.hex, as
// those of the RTL do.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "network.h"
#include "svdpi.h"
#include "xh_scheduler.h"

namespace {

typedef ap_uint<network::beat_bits> Beat;
const int kWords = (network::beat_bits + 31) / 32;

// One life of the network, from a reset to the next.
struct Life {
  std::unique_ptr<hls::stream<Beat, 2> > s_axis, m_axis;
  xh::Scheduler scheduler;

  Life() : scheduler(1) {
    xh::Host *const before = xh::host();
    xh::host() = &scheduler;
    s_axis.reset(new hls::stream<Beat, 2>("s_axis"));
    m_axis.reset(new hls::stream<Beat, 2>("m_axis"));
    xh::host() = before;
    scheduler.add(
        "top", [this] { network::top(*s_axis, *m_axis); }, false);
  }
};

struct Core {
  std::vector<std::FILE *> logs;  // one an observed stream
  std::unique_ptr<Life> life;
  bool running = false;  // a clock outside of reset was seen
  bool ready = false, valid = false;

  Core() {
    for (const xh::Observed *one = network::observed; one->stream; ++one) {
      const std::string name = std::string(network::prefix) + "_" + one->stem + ".hex";
      logs.push_back(std::fopen(name.c_str(), "w"));
      if (!logs.back()) xh::fail(xh::kUsage, "%s cannot be written", name.c_str());
    }
  }
  ~Core() {
    life.reset();
    for (std::FILE *log : logs) std::fclose(log);
  }

  void reset() {
    if (running)
      for (std::FILE *log : logs) std::fputs("reset\n", log);
    running = ready = valid = false;
    life.reset();
  }

  void clock(bool s_valid, const Beat &beat, bool m_ready);
};

// Whose streams are being made.
Core *making = nullptr;
std::FILE *log_of(const char *stream) {
  for (const xh::Observed *one = network::observed; one->stream; ++one)
    if (std::string(stream) == one->stream) return making->logs[std::size_t(one - network::observed)];
  return nullptr;
}

void Core::clock(bool s_valid, const Beat &beat, bool m_ready) {
  const xh::Observer before = xh::observer();
  making = this;
  xh::observer() = log_of;
  running = true;
  if (!life) life.reset(new Life);
  if (valid && m_ready) life->m_axis->read();
  if (ready && s_valid) life->s_axis->write(beat);
  life->scheduler.settle();
  ready = life->s_axis->size() < 2;
  valid = !life->m_axis->empty();
  xh::observer() = before;
}

}  // namespace

extern "C" {

void *XH_CORE(open)(void);
void XH_CORE(close)(void *handle);
void XH_CORE(clock)(void *handle, svBit rst_n, svBit s_valid, const svBitVecVal *s_data, svBit m_ready, svBit *s_ready,
                    svBit *m_valid, svBitVecVal *m_data);

void *XH_CORE(open)(void) { return new Core; }

void XH_CORE(close)(void *handle) { delete static_cast<Core *>(handle); }

void XH_CORE(clock)(void *handle, svBit rst_n, svBit s_valid, const svBitVecVal *s_data, svBit m_ready, svBit *s_ready,
                    svBit *m_valid, svBitVecVal *m_data) {
  Core &core = *static_cast<Core *>(handle);
  if (rst_n) {
    Beat beat = 0;
    for (int i = 0; i < kWords; ++i) beat |= Beat(s_data[i]) << (32 * i);
    core.clock(s_valid, beat, m_ready);
  } else {
    core.reset();
  }
  *s_ready = core.ready;
  *m_valid = core.valid;
  // what stands on the data lines without a beat is nobody's business: zeros
  for (int i = 0; i < kWords; ++i)
    m_data[i] = core.valid ? svBitVecVal((core.life->m_axis->front() >> (32 * i)).to_uint()) : 0;
}

}  // extern "C"
