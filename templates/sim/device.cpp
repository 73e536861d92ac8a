// The simulated device: the packaged IP between the two halves of a DMA, with memory behind it.
//
//   device folder=DIR parent=PID beat_bytes=N ip_base=A dma_base=A window=N memory_base=A memory_bytes=N
//          [length_bits=N] [address_bits=N] [access=CLOCKS] [latency=CLOCKS] [seed=N] [source=PERCENT]
//          [sink=PERCENT] [hold=CLOCKS]
//
// It runs in the folder that holds the ROM files, and serves one client at a time through two files
// in `folder`, which exist: `control`, 4096 bytes of little-endian 32-bit words, and `memory`, the
// device's DDR, memory_bytes.  Both are mapped shared.  The words of `control`:
//
//    0  request   a client increments it LAST to place a command
//    1  done      set to the request's number when the command has been carried out
//    2  command   1 read, 2 write, 3 run, 4 stop, 5 inject
//    3  address, low    4  address, high    5  value
//    6  status    0 ok, 1 bus error          7  result
//    8  clock, low      9  clock, high
//   10  interrupt lines, bit 0 MM2S, bit 1 S2MM
//   11  this process    12  magic 0x58484456, set last when the device is ready    13  version 1
//   14  memory base, low   15  memory base, high   16  memory bytes
//   17  IP base   18  DMA base   19  bytes of each of the two windows
//
// `run` advances the clock by `value`, or until an interrupt line that was low rises; its result is
// the clocks that passed.  `inject`: bit 0 holds the IP's output back until a later `inject` clears
// it; bits 1, 2 and 3 make memory answer the next burst of either channel, of MM2S or of S2MM
// with a slave error.  The value replaces the one before it.  Time passes in commands alone: each
// access takes `access` clocks (more where the IP's handshake does), so that a poll makes
// progress and a run depends on nothing but its commands and the seed.
//
// The process ends by `stop`, or as soon as `parent` is no longer its parent: then it also removes
// `folder` with the files in it that it knows.  Exit codes: 0 ended so, 4 a stream rule was broken, 5 wrong
// usage.

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "Vdevice.h"
#include "verilated.h"
#include "xh_dma.h"

namespace {

constexpr int kDone = 0, kProtocol = 4, kUsage = 5;
constexpr size_t kControlBytes = 4096;
constexpr uint32_t kMagic = 0x58484456, kVersion = 1;

enum Word {
    kRequest, kFinished, kCommand, kAddressLow, kAddressHigh, kValue, kStatus, kResult, kClockLow,
    kClockHigh, kLines, kServer, kMagicWord, kVersionWord, kMemoryLow, kMemoryHigh, kMemoryBytes,
    kIpBase, kDmaBase, kWindow,
};
enum Command { kRead = 1, kWrite = 2, kRun = 3, kStop = 4, kInject = 5 };

using Options = std::map<std::string, std::string>;

struct Stopped {
    int code;
};

uint64_t number(const Options& options, const char* name, uint64_t otherwise) {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : std::strtoull(found->second.c_str(), nullptr, 0);
}

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

// The IP, clocked, with the DMA at its streams.
class Board {
public:
    Board(VerilatedContext* context, const xh::DmaConfig& config, const xh::Memory& memory)
        : context_(context),
          top_(new Vdevice(context)),
          beat_bytes_(config.beat_bytes),
          stalled_(config.source_percent != 0 || config.sink_percent != 0),
          chance_(2 * config.seed + 0x10001),
          dma(config, memory),
          keep_((beat_bytes_ + 7) / 8),
          beat_(beat_bytes_) {
        // inputs are random until they are set
        top_->s_axis_tvalid = top_->s_axis_tlast = top_->m_axis_tready = 0;
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_bready = 0;
        top_->s_axi_arvalid = top_->s_axi_rready = 0;
        top_->s_axi_awprot = top_->s_axi_arprot = 0;
        top_->s_axi_wstrb = 0xF;
        top_->aresetn = 0;
        for (int i = 0; i < 16; ++i) step();
        top_->aresetn = 1;
        for (int i = 0; i < 4; ++i) step();
    }
    ~Board() { top_->final(); }

    uint64_t now() const { return clock_; }
    void hold_output(bool held) { held_ = held; }
    void run_to(uint64_t clock) {
        while (clock_ < clock) step();
    }

    void step() {
        xh::Sender& sender = dma.sender();
        xh::Receiver& receiver = dma.receiver();
        const bool offered = sender.offer(dma.injected());
        if (offered) {
            set_bytes(top_->s_axis_tdata, sender.beat(), beat_bytes_);
            set_keep(sender.valid_bytes());
            top_->s_axis_tlast = sender.last();
        }
        top_->s_axis_tvalid = offered;
        top_->m_axis_tready = receiver.ready(clock_) && !held_;
        top_->aclk = 0;
        top_->eval();
        const bool sent = offered && top_->s_axis_tready;
        const bool received = top_->m_axis_tready && top_->m_axis_tvalid;
        const bool last = top_->m_axis_tlast;
        if (received) get_bytes(top_->m_axis_tdata, beat_.data(), beat_bytes_);
        aw = top_->s_axi_awvalid && top_->s_axi_awready;
        w = top_->s_axi_wvalid && top_->s_axi_wready;
        b = top_->s_axi_bvalid && top_->s_axi_bready;
        ar = top_->s_axi_arvalid && top_->s_axi_arready;
        r = top_->s_axi_rvalid && top_->s_axi_rready;
        read_data = top_->s_axi_rdata;
        top_->aclk = 1;
        top_->eval();
        context_->timeInc(10);
        ++clock_;
        if (context_->gotFinish() || context_->errorCount() > 0) throw Stopped{kProtocol};
        if (sent) sender.taken();
        if (received) receiver.take(beat_.data(), last, dma.injected());
        dma.clock();
    }

    // AXI4-Lite through the IP's own ports; false where it does not answer.  With stalls, address
    // and data come in either order, and the answer is taken late.
    bool write(uint32_t offset, uint32_t value) {
        const int address_at = late(), data_at = late(), taken_at = late();
        top_->s_axi_awaddr = uint8_t(offset);
        top_->s_axi_wdata = value;
        bool address_done = false, data_done = false, answered = false;
        for (int i = 0; i < kAnswerClocks && !answered; ++i) {
            top_->s_axi_awvalid = !address_done && i >= address_at;
            top_->s_axi_wvalid = !data_done && i >= data_at;
            top_->s_axi_bready = i >= taken_at;
            step();
            address_done |= aw;
            data_done |= w;
            answered = b;
        }
        top_->s_axi_awvalid = top_->s_axi_wvalid = top_->s_axi_bready = 0;
        return answered;
    }
    bool read(uint32_t offset, uint32_t* value) {
        const int address_at = late(), taken_at = late();
        top_->s_axi_araddr = uint8_t(offset);
        bool address_done = false, answered = false;
        for (int i = 0; i < kAnswerClocks && !answered; ++i) {
            top_->s_axi_arvalid = !address_done && i >= address_at;
            top_->s_axi_rready = i >= taken_at;
            step();
            address_done |= ar;
            answered = r;
        }
        top_->s_axi_arvalid = top_->s_axi_rready = 0;
        *value = read_data;
        return answered;
    }

private:
    static constexpr int kAnswerClocks = 1000;

    int late() { return stalled_ ? int(chance_.next() % 4) : 0; }

    void set_keep(uint32_t bytes) {
        std::fill(keep_.begin(), keep_.end(), uint8_t(0));
        for (uint32_t i = 0; i < bytes; ++i) keep_[i / 8] |= uint8_t(1u << (i % 8));
        set_bytes(top_->s_axis_tkeep, keep_.data(), keep_.size());
    }

    VerilatedContext* context_;
    std::unique_ptr<Vdevice> top_;
    const uint32_t beat_bytes_;
    const bool stalled_;
    xh::Chance chance_;

public:
    xh::Dma dma;

private:
    std::vector<uint8_t> keep_, beat_;
    uint64_t clock_ = 0;
    uint32_t read_data = 0;
    bool held_ = false, aw = false, w = false, b = false, ar = false, r = false;
};

class Server {
public:
    Server(const Options& options, Board& board, volatile uint32_t* words)
        : board_(board),
          words_(words),
          folder_(options.at("folder")),
          parent_(pid_t(number(options, "parent", 0))),
          access_(number(options, "access", 16)),
          ip_base_(number(options, "ip_base", 0)),
          dma_base_(number(options, "dma_base", 0)),
          window_(number(options, "window", 0)) {}

    void serve() {
        uint32_t request = load(kRequest);
        publish();
        store(kFinished, request);
        store(kMagicWord, kMagic);
        for (;;) {
            const uint32_t next = await(request);
            if (next == request) return;
            request = next;
            const bool stop = words_[kCommand] == kStop;
            if (!stop) words_[kStatus] = carry_out() ? 0 : 1;
            publish();
            store(kFinished, request);
            if (stop || orphaned_) return;
        }
    }

private:
    uint32_t load(Word word) const { return __atomic_load_n(&words_[word], __ATOMIC_ACQUIRE); }
    void store(Word word, uint32_t value) { __atomic_store_n(&words_[word], value, __ATOMIC_RELEASE); }

    void publish() {
        words_[kClockLow] = uint32_t(board_.now());
        words_[kClockHigh] = uint32_t(board_.now() >> 32);
        words_[kLines] = board_.dma.lines();
    }

    // The next request's number, or the last one's where the parent is gone.  Answers at once while
    // commands follow each other, and costs next to nothing when nobody calls.
    uint32_t await(uint32_t request) {
        uint64_t begin = 0;
        for (uint32_t turn = 1;; ++turn) {
            const uint32_t next = load(kRequest);
            if (next != request) return next;
            if (turn % 64 != 0) continue;
            if (begin == 0) begin = nanoseconds();
            const uint64_t waited = nanoseconds() - begin;
            if (waited < 20'000) continue;
            if (waited < 500'000) {
                sched_yield();
                continue;
            }
            if (check_orphaned()) return request;
            const timespec pause = {0, waited < 50'000'000 ? 20'000 : 1'000'000};
            nanosleep(&pause, nullptr);
            turn = 63;
        }
    }

    static uint64_t nanoseconds() {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
    }

    // Death signals follow the thread that started a process, not its process: ask instead.
    bool check_orphaned() {
        if (getppid() == parent_) return false;
        // what a client put beside them goes, too: the folder was made for this device
        if (DIR* folder = opendir(folder_.c_str())) {
            while (const dirent* entry = readdir(folder)) unlink((folder_ + "/" + entry->d_name).c_str());
            closedir(folder);
        }
        rmdir(folder_.c_str());
        return orphaned_ = true;
    }

    bool carry_out() {
        const uint32_t value = words_[kValue];
        switch (words_[kCommand]) {
            case kRead:
            case kWrite: return access(words_[kCommand] == kWrite, value);
            case kRun: words_[kResult] = run(value); return true;
            case kInject:
                board_.hold_output(value & 1);
                board_.dma.injected() = value >> 1;
                return true;
            default: return false;
        }
    }

    bool access(bool write, uint32_t value) {
        const uint64_t address = uint64_t(words_[kAddressHigh]) << 32 | words_[kAddressLow];
        const uint64_t end = board_.now() + access_;
        uint32_t result = 0;
        bool answered = address % 4 == 0;
        if (answered && within(address, ip_base_)) {
            const auto offset = uint32_t(address - ip_base_);
            answered = write ? board_.write(offset, value) : board_.read(offset, &result);
        } else if (answered && within(address, dma_base_)) {
            const auto offset = uint32_t(address - dma_base_);
            if (write) board_.dma.write(offset, value);
            board_.run_to(end);
            if (!write) result = board_.dma.read(offset);
        } else {
            answered = false;
        }
        board_.run_to(end);
        words_[kResult] = answered ? result : 0;
        return answered;
    }

    bool within(uint64_t address, uint64_t base) const { return address >= base && address - base < window_; }

    uint32_t run(uint32_t clocks) {
        uint32_t before = board_.dma.lines();
        for (uint32_t passed = 0; passed < clocks; ++passed) {
            board_.step();
            const uint32_t now = board_.dma.lines();
            if (now & ~before) return passed + 1;
            before = now;
            if (passed % 65536 == 65535 && check_orphaned()) return passed + 1;
        }
        return clocks;
    }

    Board& board_;
    volatile uint32_t* words_;
    const std::string folder_;
    const pid_t parent_;
    const uint64_t access_, ip_base_, dma_base_, window_;
    bool orphaned_ = false;
};

void* map_file(const std::string& path, size_t bytes) {
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    struct stat found;
    if (file < 0 || fstat(file, &found) != 0 || uint64_t(found.st_size) < bytes) {
        std::fprintf(stderr, "device: %s cannot be mapped\n", path.c_str());
        throw Stopped{kUsage};
    }
    void* place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (place == MAP_FAILED) {
        std::fprintf(stderr, "device: %s cannot be mapped\n", path.c_str());
        throw Stopped{kUsage};
    }
    return place;
}

int run(const Options& options, VerilatedContext* context) {
    for (const char* name : {"folder", "parent", "beat_bytes", "ip_base", "dma_base", "window", "memory_base",
                             "memory_bytes"}) {
        if (!options.count(name)) {
            std::fprintf(stderr, "device: %s= is missing\n", name);
            return kUsage;
        }
    }
    const std::string& folder = options.at("folder");
    const uint64_t memory_bytes = number(options, "memory_bytes", 0);
    auto* words = static_cast<volatile uint32_t*>(map_file(folder + "/control", kControlBytes));
    const xh::Memory memory = {static_cast<uint8_t*>(map_file(folder + "/memory", memory_bytes)),
                               number(options, "memory_base", 0), memory_bytes};
    xh::DmaConfig config = {};
    config.beat_bytes = uint32_t(number(options, "beat_bytes", 8));
    config.length_bits = uint32_t(number(options, "length_bits", 26));
    config.address_bits = uint32_t(number(options, "address_bits", 32));
    config.latency = uint32_t(number(options, "latency", 30));
    config.seed = number(options, "seed", 1);
    config.source_percent = number(options, "source", 0);
    config.sink_percent = number(options, "sink", 0);
    config.hold = number(options, "hold", 0);
    Board board(context, config, memory);
    words[kServer] = uint32_t(getpid());
    words[kVersionWord] = kVersion;
    words[kMemoryLow] = uint32_t(memory.base);
    words[kMemoryHigh] = uint32_t(memory.base >> 32);
    words[kMemoryBytes] = uint32_t(memory.size);
    words[kIpBase] = uint32_t(number(options, "ip_base", 0));
    words[kDmaBase] = uint32_t(number(options, "dma_base", 0));
    words[kWindow] = uint32_t(number(options, "window", 0));
    Server(options, board, words).serve();
    return kDone;
}

}  // namespace

int main(int argc, char** argv) {
    // what an assertion says must be in the log before it ends the process
    std::setvbuf(stdout, nullptr, _IOLBF, 4096);
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        const size_t equals = argument.find('=');
        if (argument[0] != '+' && equals != std::string::npos)
            options[argument.substr(0, equals)] = argument.substr(equals + 1);
    }
    VerilatedContext context;
    context.randReset(2);
    context.randSeed(int(number(options, "seed", 1) % 0x7FFFFFFF) + 1);
    try {
        return run(options, &context);
    } catch (const Stopped& stopped) {
        return stopped.code;
    }
}
