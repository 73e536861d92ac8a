// A model of Xilinx' AXI DMA (PG021) in direct register mode, both channels, without realignment.
//
// The register map, its reset values and its error bits are PG021's.  Where PG021 calls a result
// undefined the model stops with an error instead, so that a driver's mistake shows: a buffer
// address that is no multiple of the beat sets DMAIntErr.  Memory answers after `latency` clocks
// and, with stalls, pauses at random; the same seed gives the same clocks.

#ifndef XH_DMA_H
#define XH_DMA_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace xh {

// Small, fast, the same everywhere: xorshift64*.
class Chance {
public:
    explicit Chance(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}
    uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (state_ * 0x2545F4914F6CDD1DULL) >> 33;
    }
    bool percent(uint64_t share) { return share != 0 && next() % 100 < share; }

private:
    uint64_t state_;
};

// The device's DDR: `size` bytes from the bus address `base`, both multiples of 4 KB.
struct Memory {
    uint8_t* bytes;
    uint64_t base;
    uint64_t size;
    bool holds(uint64_t address) const { return address >= base && address - base < size; }
    uint8_t* at(uint64_t address) const { return bytes + (address - base); }
};

struct DmaConfig {
    uint32_t beat_bytes;
    uint32_t length_bits;
    uint32_t address_bits;
    uint32_t latency;         // clocks from a request to memory to its first beat, and of a write's answer
    uint64_t seed;
    uint64_t source_percent;  // the chance that a beat from memory comes a clock later
    uint64_t sink_percent;    // the chance that a beat to memory waits a clock
    uint64_t hold;            // clocks from the start in which no result is taken
};

enum : uint32_t {
    kSlaveErrorAny = 1,    // injected faults: the next burst of either channel,
    kSlaveErrorRead = 2,   // the next burst of MM2S,
    kSlaveErrorWrite = 4,  // the next burst of S2MM
};

// Control and status, alike in both channels.
class Channel {
public:
    static constexpr uint32_t kRun = 1u << 0, kReset = 1u << 2;
    static constexpr uint32_t kHalted = 1u << 0, kIdle = 1u << 1;
    static constexpr uint32_t kIntErr = 1u << 4, kSlvErr = 1u << 5, kDecErr = 1u << 6;
    static constexpr uint32_t kIoc = 1u << 12, kDelay = 1u << 13, kErr = 1u << 14;

    Channel(const DmaConfig& config, const Memory& memory) : config_(config), memory_(memory) { clear(); }

    uint32_t control() const { return control_; }
    uint32_t status() const { return status_; }
    uint32_t length() const { return length_; }
    uint32_t address_low() const { return uint32_t(address_); }
    uint32_t address_high() const { return uint32_t(address_ >> 32); }
    // the enable bits and the event bits have the same places
    bool interrupt() const { return (status_ & control_ & (kIoc | kDelay | kErr)) != 0; }

    void write_control(uint32_t value) {
        control_ = kControlFixed | (value & kControlWritable);
        // a channel that met an error starts again after a reset only
        if (status_ & kErrors) control_ &= ~kRun;
        settle();
    }
    void write_status(uint32_t value) { status_ &= ~(value & (kIoc | kDelay | kErr)); }
    void write_address_low(uint32_t value) { address_ = (address_ & ~uint64_t(0xFFFFFFFF)) | value; }
    void write_address_high(uint32_t value) {
        if (config_.address_bits <= 32) return;
        const uint64_t high = value & ((uint64_t(1) << (config_.address_bits - 32)) - 1);
        address_ = (address_ & 0xFFFFFFFF) | high << 32;
    }
    // True where the write starts a transfer: of more than no bytes, in a channel that runs and is free.
    bool write_length(uint32_t value) {
        const uint32_t bytes = value & ((1u << config_.length_bits) - 1);
        if ((status_ & kHalted) || !(control_ & kRun) || active_) return false;
        length_ = bytes;
        if (bytes == 0) return false;
        status_ &= ~kIdle;
        if (address_ % config_.beat_bytes != 0) {
            fail(kIntErr);
            return false;
        }
        active_ = true;
        return true;
    }

    // Halted follows Run/Stop once a transfer in progress has ended.
    void settle() {
        if (!(control_ & kRun) && !active_)
            status_ = (status_ | kHalted) & ~kIdle;
        else if (control_ & kRun)
            status_ &= ~kHalted;
    }

protected:
    static constexpr uint32_t kErrors = kIntErr | kSlvErr | kDecErr;
    // bit 1 reads 1, the interrupt threshold 1; without scatter-gather neither can be changed
    static constexpr uint32_t kControlFixed = 0x00010002;
    static constexpr uint32_t kControlWritable = kRun | kIoc | kDelay | kErr;

    void clear() {
        control_ = kControlFixed;
        status_ = kHalted;
        address_ = 0;
        length_ = 0;
        active_ = false;
    }
    void fail(uint32_t error) {
        status_ |= error | kErr;
        control_ &= ~kRun;
        active_ = false;
        settle();
    }
    void complete() {
        active_ = false;
        status_ |= kIdle | kIoc;
        settle();
    }
    // Bytes of the burst of at most 16 beats that begins at `address` and stays in its 4 KB page (AXI4).
    uint64_t burst_bytes(uint64_t address) const {
        return std::min<uint64_t>(16 * config_.beat_bytes, 4096 - address % 4096);
    }
    uint32_t delay(Chance& chance) const {
        const bool even = config_.source_percent == 0 && config_.sink_percent == 0;
        return config_.latency + (even || config_.latency == 0 ? 0 : uint32_t(chance.next() % config_.latency));
    }
    // An access to memory that begins a burst; false where memory answers with an error.
    bool access(uint64_t address, uint32_t& injected, uint32_t mine) {
        if (!memory_.holds(address)) {
            fail(kDecErr);
            return false;
        }
        if (injected & (mine | kSlaveErrorAny)) {
            injected &= ~((injected & mine) ? mine : uint32_t(kSlaveErrorAny));
            fail(kSlvErr);
            return false;
        }
        return true;
    }

    const DmaConfig& config_;
    const Memory& memory_;
    uint32_t control_ = 0, status_ = 0, length_ = 0;
    uint64_t address_ = 0;
    bool active_ = false;
};

// MM2S: memory to stream.
class Sender : public Channel {
public:
    Sender(const DmaConfig& config, const Memory& memory)
        : Channel(config, memory), chance_(2 * config.seed), beat_(config.beat_bytes) {}

    void reset() {
        clear();
        held_ = false;
    }
    void start(uint32_t length) {
        if (!write_length(length)) return;
        at_ = address_;
        left_ = length_;
        burst_ = 0;
        wait_ = delay(chance_);
    }
    // Whether a beat is offered in this clock; one that was offered stays until it is taken.
    bool offer(uint32_t& injected) {
        if (!active_) return false;
        if (wait_ != 0) {
            --wait_;
            return false;
        }
        if (!held_ && !chance_.percent(config_.source_percent)) {
            if (burst_ == 0) {
                if (!access(at_, injected, kSlaveErrorRead)) return false;
                burst_ = std::min<uint64_t>(left_, burst_bytes(at_));
            }
            valid_ = uint32_t(std::min<uint64_t>(config_.beat_bytes, burst_));
            std::fill(beat_.begin(), beat_.end(), uint8_t(0));
            std::memcpy(beat_.data(), memory_.at(at_), valid_);
            held_ = true;
        }
        return held_;
    }
    const uint8_t* beat() const { return beat_.data(); }
    uint32_t valid_bytes() const { return valid_; }
    bool last() const { return left_ == valid_; }
    void taken() {
        held_ = false;
        at_ += valid_;
        burst_ -= valid_;
        left_ -= valid_;
        if (left_ == 0) complete();
    }

private:
    Chance chance_;
    std::vector<uint8_t> beat_;
    uint64_t at_ = 0, left_ = 0, burst_ = 0;
    uint32_t wait_ = 0, valid_ = 0;
    bool held_ = false;
};

// S2MM: stream to memory.  Beats reach memory burst by burst.
class Receiver : public Channel {
public:
    Receiver(const DmaConfig& config, const Memory& memory)
        : Channel(config, memory), chance_(2 * config.seed + 1) {}

    void reset() {
        clear();
        burst_.clear();
        answer_ = false;
    }
    void start(uint32_t length) {
        if (!write_length(length)) return;
        at_ = address_;
        received_ = 0;
        burst_.clear();
        answer_ = false;
        wait_ = delay(chance_);
    }
    // Whether a beat would be taken in this clock.
    bool ready(uint64_t clock) {
        if (!active_) return false;
        if (wait_ != 0) {
            if (--wait_ == 0 && answer_) {
                length_ = uint32_t(received_);
                answer_ = false;
                complete();
            }
            return false;
        }
        return clock >= config_.hold && !chance_.percent(config_.sink_percent);
    }
    void take(const uint8_t* bytes, bool last, uint32_t& injected) {
        const uint64_t room = length_ - received_;
        const uint64_t count = std::min<uint64_t>(room, config_.beat_bytes);
        burst_.insert(burst_.end(), bytes, bytes + count);
        received_ += count;
        const bool too_long = count < config_.beat_bytes || (!last && received_ == length_);
        if (last || too_long || burst_.size() == burst_bytes(at_)) {
            if (!access(at_, injected, kSlaveErrorWrite)) return;
            std::memcpy(memory_.at(at_), burst_.data(), burst_.size());
            at_ += burst_.size();
            burst_.clear();
        }
        if (too_long) {
            fail(kIntErr);
        } else if (last) {
            answer_ = true;
            wait_ = delay(chance_) + 1;
        }
    }

private:
    Chance chance_;
    std::vector<uint8_t> burst_;
    uint64_t at_ = 0, received_ = 0;
    uint32_t wait_ = 0;
    bool answer_ = false;
};

// The engine: both channels behind one register window.
class Dma {
public:
    Dma(const DmaConfig& config, const Memory& memory)
        : config_(config), send_(config_, memory), receive_(config_, memory) {}
    Dma(const Dma&) = delete;
    Dma& operator=(const Dma&) = delete;

    Sender& sender() { return send_; }
    Receiver& receiver() { return receive_; }
    uint32_t& injected() { return injected_; }
    // Bit 0: MM2S, bit 1: S2MM.
    uint32_t lines() const { return uint32_t(send_.interrupt()) | uint32_t(receive_.interrupt()) << 1; }

    uint32_t read(uint32_t offset) const {
        const uint32_t resetting = reset_ ? Channel::kReset : 0;
        switch (offset % kWindow) {
            case 0x00: return send_.control() | resetting;
            case 0x04: return send_.status();
            case 0x18: return send_.address_low();
            case 0x1C: return send_.address_high();
            case 0x28: return send_.length();
            case 0x30: return receive_.control() | resetting;
            case 0x34: return receive_.status();
            case 0x48: return receive_.address_low();
            case 0x4C: return receive_.address_high();
            case 0x58: return receive_.length();
            default: return 0;
        }
    }

    void write(uint32_t offset, uint32_t value) {
        if (reset_) return;
        switch (offset % kWindow) {
            case 0x00: write_control(send_, value); break;
            case 0x04: send_.write_status(value); break;
            case 0x18: send_.write_address_low(value); break;
            case 0x1C: send_.write_address_high(value); break;
            case 0x28: send_.start(value); break;
            case 0x30: write_control(receive_, value); break;
            case 0x34: receive_.write_status(value); break;
            case 0x48: receive_.write_address_low(value); break;
            case 0x4C: receive_.write_address_high(value); break;
            case 0x58: receive_.start(value); break;
            default: break;
        }
    }

    void clock() {
        if (reset_) --reset_;
        send_.settle();
        receive_.settle();
    }

private:
    static constexpr uint32_t kWindow = 1024;       // S_AXI_LITE has ten address bits
    static constexpr uint32_t kResetClocks = 100;  // long enough that who does not wait for its end is found out

    // Either channel's reset bit resets the whole engine.
    void write_control(Channel& channel, uint32_t value) {
        if (value & Channel::kReset) {
            reset_ = kResetClocks;
            send_.reset();
            receive_.reset();
        } else {
            channel.write_control(value);
        }
    }

    const DmaConfig config_;
    Sender send_;
    Receiver receive_;
    uint32_t reset_ = 0;
    uint32_t injected_ = 0;
};

}  // namespace xh

#endif
