// The compiled bench: sends frames through the IP and writes down what comes back.
//
//   bench input=FILE result=FILE beats=FILE in_beats=N out_beats=N frames=N timeout=CLOCKS
//         [select=K] [seed=N] [source=PERCENT] [sink=PERCENT] [hold=CLOCKS] [pace=CLOCKS]
//         [waves=FILE] [traffic=FILE [levels=FILE]]
//
// input holds the frames as bytes; result receives the result beats as bytes; beats receives,
// as text, the clock of each frame's first input beat and last result beat.  All frames form
// one packet.  source and sink are the chances that a side waits in a clock; in the first `hold`
// clocks nothing is read at all, so that everything fills up.  With pace a frame's beats are offered
// no sooner than evenly over that many clocks.  What is collected inside: see xh_collect.h.  Standard output
// has one line a finished frame ("frame N"), one a register ("register OFFSET VALUE") and, at
// the end, "done".  Exit codes: 0 done, 3 nothing moved for `timeout` clocks, 4 a stream rule
// was broken, 5 wrong usage.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "Vbench.h"
#include "verilated.h"
#include "xh_collect.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#endif

namespace {

constexpr int kDone = 0, kDeadlock = 3, kProtocol = 4, kUsage = 5;

using Options = std::map<std::string, std::string>;

uint64_t number(const Options& options, const char* name, uint64_t otherwise) {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : std::strtoull(found->second.c_str(), nullptr, 10);
}

std::string text(const Options& options, const char* name) {
    const auto found = options.find(name);
    return found == options.end() ? "" : found->second;
}

// Small, fast, the same everywhere: xorshift64*.
class Chance {
public:
    explicit Chance(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}
    bool percent(uint64_t share) {
        if (share == 0) return false;
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return ((state_ * 0x2545F4914F6CDD1DULL) >> 33) % 100 < share;
    }

private:
    uint64_t state_;
};

// A beat is up to 64 bits as an integer, wider as an array of 32-bit words: both lie in memory
// with the lowest byte first.
template <class Port>
void set_bytes(Port& port, const uint8_t* bytes, size_t count) {
    std::memcpy(&port, bytes, count);
}
template <class Port>
void get_bytes(const Port& port, uint8_t* bytes, size_t count) {
    std::memcpy(bytes, &port, count);
}
template <class Port>
bool all_ones(const Port& port, size_t bits) {
    std::vector<uint8_t> bytes(sizeof(Port));
    std::memcpy(bytes.data(), &port, sizeof(Port));
    for (size_t i = 0; i < bits; ++i)
        if (!(bytes[i / 8] >> (i % 8) & 1)) return false;
    return true;
}
template <class Port>
void set_ones(Port& port, size_t bits) {
    std::vector<uint8_t> bytes(sizeof(Port), 0);
    for (size_t i = 0; i < bits; ++i) bytes[i / 8] |= uint8_t(1u << (i % 8));
    std::memcpy(&port, bytes.data(), sizeof(Port));
}

class Bench {
public:
    Bench(VerilatedContext* context, const Options& options)
        : context_(context), top_(new Vbench(context)), options_(options) {
        top_->select_i = number(options, "select", 0);
#if VM_TRACE_FST
        const std::string waves = text(options, "waves");
        if (!waves.empty()) {
            context->traceEverOn(true);
            trace_.reset(new VerilatedFstC);
            top_->trace(trace_.get(), 99);
            trace_->open(waves.c_str());
        }
#endif
    }

    ~Bench() {
        top_->final();
#if VM_TRACE_FST
        if (trace_) trace_->close();
#endif
    }

    int run() {
        reset();
        const int code = frames();
        if (code == kDone) registers();
        return code;
    }

private:
    // Settles the logic on the inputs set since the last edge; outputs may be read then.
    void settle() {
        top_->clk_i = 0;
        top_->eval();
        dump();
    }
    void edge() {
        top_->clk_i = 1;
        top_->eval();
        dump();
        ++clock_;
    }
    void dump() {
#if VM_TRACE_FST
        if (trace_) trace_->dump(context_->time());
#endif
        context_->timeInc(5);
    }

    void reset() {
        // inputs are random until they are set
        top_->s_axis_tvalid = top_->s_axis_tlast = top_->m_axis_tready = 0;
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_bready = 0;
        top_->s_axi_arvalid = top_->s_axi_rready = 0;
        top_->rst_ni = 0;
        for (int i = 0; i < 8; ++i) settle(), edge();
        top_->rst_ni = 1;
        for (int i = 0; i < 4; ++i) settle(), edge();
    }

    int frames();
    void registers();

    VerilatedContext* context_;
    std::unique_ptr<Vbench> top_;
    const Options& options_;
    uint64_t clock_ = 0;
#if VM_TRACE_FST
    std::unique_ptr<VerilatedFstC> trace_;
#endif
};

int Bench::frames() {
    const uint64_t in_beats = number(options_, "in_beats", 0);
    const uint64_t out_beats = number(options_, "out_beats", 0);
    const uint64_t frames = number(options_, "frames", 0);
    const uint64_t timeout = number(options_, "timeout", 0);
    const uint64_t source = number(options_, "source", 0), sink = number(options_, "sink", 0);
    const uint64_t hold = clock_ + number(options_, "hold", 0), pace = number(options_, "pace", 0);
    const size_t beat_bytes = number(options_, "beat_bytes", 0);
    std::ifstream input(text(options_, "input"), std::ios::binary);
    std::ofstream result(text(options_, "result"), std::ios::binary);
    std::ofstream beats(text(options_, "beats"));
    if (!input || !result || !beats || !in_beats || !out_beats || !timeout || !beat_bytes) return kUsage;

    Chance source_chance(2 * number(options_, "seed", 1)), sink_chance(2 * number(options_, "seed", 1) + 1);
    std::vector<uint8_t> in(beat_bytes), out(beat_bytes);
    const uint64_t total_in = frames * in_beats, total_out = frames * out_beats;
    uint64_t sent = 0, received = 0, moved = clock_;
    const uint64_t begin = clock_;
    bool offered = false;
    // after the last beat a while of silence, in which nothing may come: inside, what no result
    // waits for (rows that a pool leaves out) is still worked off and observed, within a frame's time
    uint64_t quiet = 0;
    const uint64_t silence = timeout / 4;

    set_ones(top_->s_axis_tkeep, beat_bytes);
    while (sent < total_in || received < total_out || quiet < silence) {
        const bool due = pace == 0 || (clock_ - begin) * in_beats >= sent * pace;
        if (!offered && sent < total_in && due && !source_chance.percent(source)) {
            input.read(reinterpret_cast<char*>(in.data()), std::streamsize(beat_bytes));
            if (!input) return kUsage;
            set_bytes(top_->s_axis_tdata, in.data(), beat_bytes);
            top_->s_axis_tlast = sent + 1 == total_in;
            offered = true;
        }
        top_->s_axis_tvalid = offered;
        top_->m_axis_tready = clock_ >= hold && !sink_chance.percent(sink);
        settle();
        const bool take_in = offered && top_->s_axis_tready;
        const bool take_out = top_->m_axis_tvalid && top_->m_axis_tready;
        if (take_in) {
            if (sent % in_beats == 0) beats << "in " << sent / in_beats << ' ' << clock_ << '\n';
            ++sent;
            offered = false;
        }
        if (take_out) {
            if (received == total_out) {
                std::printf("protocol: a result beat came after the last one\n");
                return kProtocol;
            }
            const bool last = received + 1 == total_out;
            if (bool(top_->m_axis_tlast) != last) {
                std::printf("protocol: result beat %" PRIu64 " of %" PRIu64 " has tlast %d\n", received,
                            total_out, int(top_->m_axis_tlast));
                return kProtocol;
            }
            if (!all_ones(top_->m_axis_tkeep, beat_bytes)) {
                std::printf("protocol: result beat %" PRIu64 " has bytes missing\n", received);
                return kProtocol;
            }
            get_bytes(top_->m_axis_tdata, out.data(), beat_bytes);
            result.write(reinterpret_cast<const char*>(out.data()), std::streamsize(beat_bytes));
            if (++received % out_beats == 0) {
                beats << "out " << received / out_beats - 1 << ' ' << clock_ << '\n';
                std::printf("frame %" PRIu64 "\n", received / out_beats);
                std::fflush(stdout);
            }
        }
        edge();
        if (take_in || take_out) moved = clock_;
        quiet = sent == total_in && received == total_out ? quiet + 1 : 0;
        if (!due) moved = clock_;
        if (!quiet && clock_ - moved > timeout) {
            std::printf("deadlock %" PRIu64 " %" PRIu64 "\n", sent, received);
            return kDeadlock;
        }
        if (context_->gotFinish()) return kProtocol;
    }
    top_->s_axis_tvalid = 0;
    std::printf("clocks %" PRIu64 "\n", clock_);
    return kDone;
}

void Bench::registers() {
    top_->m_axis_tready = 0;
    top_->s_axi_rready = 1;
    for (unsigned offset = 0; offset < 0x40; offset += 4) {
        top_->s_axi_araddr = offset;
        top_->s_axi_arvalid = 1;
        for (settle(); !top_->s_axi_arready; settle()) edge();
        edge();
        top_->s_axi_arvalid = 0;
        for (settle(); !top_->s_axi_rvalid; settle()) edge();
        std::printf("register %u %u\n", offset, unsigned(top_->s_axi_rdata));
        edge();
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        const size_t equals = argument.find('=');
        if (argument[0] != '+' && equals != std::string::npos)
            options[argument.substr(0, equals)] = argument.substr(equals + 1);
    }
    VerilatedContext context;
    context.commandArgs(argc, argv);
    context.randReset(2);
    context.randSeed(int(number(options, "seed", 1) % 0x7FFFFFFF) + 1);
    const std::string traffic = text(options, "traffic");
    xh::collector().counts = !traffic.empty();
    xh::collector().levels_from(text(options, "levels"));
    int code;
    {
        Bench bench(&context, options);
        code = bench.run();
    }
    if (!traffic.empty()) xh::collector().write(traffic);
    if (code == kDone && context.errorCount() > 0) code = kProtocol;
    if (code == kDone) std::printf("done\n");
    return code;
}
