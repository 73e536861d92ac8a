// What the compiled bench sees inside: the words of observed streams and, where it is asked for,
// the traffic on every stream and how full every buffer became.
//
// SystemVerilog calls these functions through DPI-C.  A word comes in parts of 64 bits, lowest
// first, and goes as it is into the file NAME.bin, its parts in the machine's byte order.  Text
// would take longer to write and to read back than the simulation takes.
//
// Traffic costs time as well, so it is collected only with traffic=FILE on the command line: FILE
// then receives the lines
//   wire NETWORK.WIRE words stalls starved last     clocks with a word that crossed, one that waited
//                                                   for the reader, none for a reader that waited;
//                                                   the clock of the last word
//   level NETWORK.BUFFER most                       the most words that lay in a buffer, see below
// levels=FILE says what the buffers are, one a line:
//   fifo NETWORK.BUFFER PUT GET                     the wires in front of it and behind it
//   ring NETWORK.BUFFER PUT GET WORDS PER_PIXEL HELD...
//                                                   WORDS words a frame in, PER_PIXEL words a pixel
//                                                   out; before pixel j the words below HELD[j] are
//                                                   free again
// `most` counts a word that comes in the clock in which another goes: a buffer of that depth would
// never have refused a word, whether or not its room is seen at once.

#ifndef XH_COLLECT_H
#define XH_COLLECT_H

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "Vbench__Dpi.h"

namespace xh {

class Stream {
public:
    explicit Stream(const std::string& name) : path_(name + ".bin") { open(); }
    Stream(Stream&& other) noexcept : path_(other.path_), file_(other.file_), parts_(std::move(other.parts_)) {
        other.file_ = nullptr;
    }
    ~Stream() {
        if (file_) flush(), std::fclose(file_);
    }

    void put(uint64_t bits) {
        parts_.push_back(bits);
        if (parts_.size() == kParts) flush();
    }
    // The core was reset: what came before does not count.
    void forget() {
        parts_.clear();
        std::fclose(file_);
        open();
    }

private:
    static constexpr size_t kParts = 1 << 16;

    void open() {
        file_ = std::fopen(path_.c_str(), "wb");
        if (!file_) {
            std::printf("error: %s cannot be written\n", path_.c_str());
            std::exit(5);
        }
        parts_.reserve(kParts);
    }
    void flush() {
        if (std::fwrite(parts_.data(), sizeof(uint64_t), parts_.size(), file_) != parts_.size()) {
            std::printf("error: %s cannot be written\n", path_.c_str());
            std::exit(5);
        }
        parts_.clear();
    }

    std::string path_;
    std::FILE* file_ = nullptr;
    std::vector<uint64_t> parts_;
};

struct Wire {
    std::string name;
    uint64_t words = 0, stalls = 0, starved = 0, last = 0;
};

struct Level {
    std::string name;
    size_t put = 0, get = 0;        // wires
    uint64_t frame = 0, pixel = 0;  // words in a frame, words out a pixel; 0 in a FIFO
    std::vector<uint64_t> held;
    uint64_t in = 0, out = 0, freed = 0, most = 0;

    // `offers`: a word stands behind the buffer.  A window has read it from the ring already.
    void step(bool pushes, bool offers, bool pops) {
        const uint64_t read = out + offers;
        if (!pixel) {
            freed = out;
        } else if (read % pixel == 0) {
            const uint64_t pixels = read / pixel;
            freed = pixels / held.size() * frame + held[pixels % held.size()];
        }
        in += pushes;
        // a stride may free words that have not come yet
        if (in > freed) most = std::max(most, in - freed);
        out += pops;
    }
};

struct Network {
    std::string name;
    std::vector<Wire> wires;
    std::vector<Level> levels;
    std::vector<uint32_t> valid, ready;  // in this clock, a bit a wire
    uint64_t clock = 0;

    static bool bit(const std::vector<uint32_t>& bits, size_t wire) { return bits[wire / 32] >> (wire % 32) & 1; }
    void step(Level& level) const {
        const bool pushes = bit(valid, level.put) && bit(ready, level.put), offers = bit(valid, level.get);
        level.step(pushes, offers, offers && bit(ready, level.get));
    }
    void restart() {
        clock = 0;
        for (Wire& wire : wires) wire.words = wire.stalls = wire.starved = wire.last = 0;
        for (Level& level : levels) level.in = level.out = level.freed = level.most = 0;
    }
};

class Collector {
public:
    std::vector<Stream> streams;
    std::vector<Network> networks;
    bool counts = false;

    void levels_from(const std::string& path) {
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);) lines_.push_back(line);
    }
    // All wires of the network are known: the buffers' wires are found by their names.
    void begin(Network& network) {
        network.valid.assign((network.wires.size() + 31) / 32, 0);
        network.ready = network.valid;
        std::map<std::string, size_t> places;
        for (size_t i = 0; i < network.wires.size(); ++i) places[network.wires[i].name] = i;
        for (const std::string& line : lines_) {
            std::istringstream words(line);
            std::string kind, put, get;
            Level level;
            words >> kind >> level.name >> put >> get;
            if (level.name.compare(0, network.name.size() + 1, network.name + ".") != 0) continue;
            if (!places.count(put) || !places.count(get)) {
                std::printf("error: %s has no wires %s and %s\n", level.name.c_str(), put.c_str(), get.c_str());
                std::exit(5);
            }
            level.put = places[put], level.get = places[get];
            if (kind == "ring") {
                words >> level.frame >> level.pixel;
                for (uint64_t held; words >> held;) level.held.push_back(held);
            }
            network.levels.push_back(level);
        }
    }
    void write(const std::string& path) const {
        std::ofstream file(path);
        for (const Network& network : networks) {
            for (const Wire& wire : network.wires)
                file << "wire " << network.name << '.' << wire.name << ' ' << wire.words << ' ' << wire.stalls << ' '
                     << wire.starved << ' ' << wire.last << '\n';
            for (const Level& level : network.levels) file << "level " << level.name << ' ' << level.most << '\n';
        }
    }

private:
    std::vector<std::string> lines_;
};

inline Collector& collector() {
    static Collector all;
    return all;
}

}  // namespace xh

extern "C" {

int xh_stream(const char* name) {
    auto& streams = xh::collector().streams;
    streams.emplace_back(name);
    return int(streams.size()) - 1;
}
void xh_collect(int stream, unsigned long long bits) { xh::collector().streams[size_t(stream)].put(bits); }
void xh_forget(int stream) { xh::collector().streams[size_t(stream)].forget(); }

// The number of a network whose traffic is asked for, or -1.
int xh_network(const char* name) {
    auto& all = xh::collector();
    if (!all.counts) return -1;
    all.networks.emplace_back();
    all.networks.back().name = name;
    return int(all.networks.size()) - 1;
}
void xh_wire(int network, const char* name) {
    xh::Wire wire;
    wire.name = name;
    xh::collector().networks[size_t(network)].wires.push_back(wire);
}
void xh_begin(int network) { xh::collector().begin(xh::collector().networks[size_t(network)]); }
void xh_restart(int network) { xh::collector().networks[size_t(network)].restart(); }

// 32 wires in one clock, the group-th; the last group ends the clock.
void xh_traffic(int number, int group, unsigned int valid, unsigned int ready) {
    xh::Network& network = xh::collector().networks[size_t(number)];
    const size_t first = size_t(group) * 32, past = std::min(first + 32, network.wires.size());
    network.valid[size_t(group)] = valid;
    network.ready[size_t(group)] = ready;
    for (size_t i = first; i < past; ++i, valid >>= 1, ready >>= 1) {
        xh::Wire& wire = network.wires[i];
        if (valid & ready & 1) ++wire.words, wire.last = network.clock;
        wire.stalls += valid & ~ready & 1;
        wire.starved += ~valid & ready & 1;
    }
    if (past < network.wires.size()) return;
    for (xh::Level& level : network.levels) network.step(level);
    ++network.clock;
}

}  // extern "C"

#endif
