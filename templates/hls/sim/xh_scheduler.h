// Runs the stages as processes at once on streams of their real depths, in one thread.
//
// A process goes on until it waits for a stream, or until chance has it pause at one; who goes on
// next is drawn from all that can.  So a run is repeated exactly by its seed, and when nobody can
// go on, that is certain and not a matter of patience.
//
// Each word carries the clock in which it was written and each process has a clock, as if every
// turn of a loop took one: from that follow the clocks a frame takes.  They depend on the network
// alone, not on the seed.
#ifndef XH_SIM_SCHEDULER_H
#define XH_SIM_SCHEDULER_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hls_stream.h"

namespace xh {

// Registers a process that calls `frame` for ever, and returns at once; without a scheduler it
// calls it once.  `turns`: of its loop in a frame; those that touch no stream take their clock too.
void spawn(const char *name, std::function<void()> frame, std::uint64_t turns = 0);

// Does not return while there is a scheduler: for the one who owns the streams of the processes.
void park();

// Small, fast, the same everywhere: xorshift64*.
class Chance {
public:
  explicit Chance(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  std::uint32_t below(std::uint32_t bound) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return std::uint32_t((state_ * 0x2545F4914F6CDD1Du) >> 33) % bound;
  }
  bool percent(std::uint32_t share) { return share && below(100) < share; }

private:
  std::uint64_t state_;
};

enum class State { ready, reads, writes, parked, done };

struct Coroutine;

struct Process {
  std::string name;
  std::function<void()> body;
  bool forever;  // calls the body frame after frame
  std::uint64_t turns;           // clocks from frame to frame at least
  State state = State::ready;
  Channel *at = nullptr;         // the stream that it waits for
  std::uint64_t frames = 0;      // that it finished
  std::uint64_t operations = 0;  // on streams, in this frame
  std::uint64_t clock = 0;
  std::uint64_t began = 0;       // the clock of the frame's first operation
  std::unique_ptr<Coroutine> coroutine;

  Process(const char *given, std::function<void()> work, bool endless, std::uint64_t least);
  ~Process();
};

class Scheduler final : public Host {
public:
  // `latency`: clocks from the write of a word to the first in which it can be read.
  explicit Scheduler(std::uint64_t seed, std::uint64_t latency = 1);
  // Ends every process where it stands, the one that was added first last.
  ~Scheduler();
  Scheduler(const Scheduler &) = delete;
  Scheduler &operator=(const Scheduler &) = delete;

  void add(const char *name, std::function<void()> body, bool forever, std::uint64_t turns = 0);
  // Runs until no process can go on.
  void settle();
  // Lets others go first; for a process.
  void pause();
  // For a process: waits for ever.
  void park();
  std::uint64_t clock() const { return running_->clock; }

  const std::vector<std::unique_ptr<Process>> &processes() const { return processes_; }
  const std::vector<Channel *> &channels() const { return channels_; }
  // The scheduler whose process runs now, or null.
  static Scheduler *current();

  void opened(Channel &channel) override;
  void closed(Channel &channel) override;
  void reading(Channel &channel) override;
  void was_read(Channel &channel) override;
  void writing(Channel &channel) override;
  void was_written(Channel &channel) override;
  void looking(const Channel &channel) override;

private:
  static void enter();
  void live(Process &process);
  void leave(State state, Channel *at);
  void resume(Process &process);
  void wake(Process *&process);

  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<Process *> ready_;
  std::vector<Channel *> channels_;
  std::unique_ptr<Coroutine> outside_;
  Process *running_ = nullptr;
  Chance chance_;
  std::uint64_t latency_;
  bool ending_ = false;
};

}  // namespace xh

#endif
