// See xh_scheduler.h.
//
// A process is a coroutine on a stack of its own.  swapcontext makes two system calls a switch,
// so it is used to enter a stack for the first time only; from then on the switches are jumps.
// Its checked form, in which a jump to another stack is an error, is therefore switched off.
#undef _FORTIFY_SOURCE

#include "xh_scheduler.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace xh {

namespace {

// Of each process; memory is taken as it is touched.
const std::size_t kStack = std::size_t(16) << 20;
// Chance of a pause in front of each operation on a stream.
const std::uint32_t kPause = 10;

// Thrown in a process to end it: what it owns is given back on the way.
struct Ended {};

Scheduler *entered = nullptr;

}  // namespace

// What a scheduler knows of a stream: a word's times are kept in the place that the word has in
// the ring, as the word `depth` places later takes the same place.
struct Link {
  Process *reader = nullptr, *writer = nullptr;
  Process *reader_waits = nullptr, *writer_waits = nullptr;
  std::vector<std::uint64_t> written, read;
  std::size_t read_place = 0, write_place = 0;
  std::uint64_t next_read = 0, next_write = 0;
};

struct Coroutine {
  ucontext_t context;
  jmp_buf jump;
  bool started = false;
  char *stack = nullptr;
  std::size_t page = 0;
  const void *bottom = nullptr;  // of the stack, for the address sanitizer
  std::size_t size = 0;

  ~Coroutine() {
    if (stack) munmap(stack, page + kStack);
  }

  void prepare(void (*entry)()) {
    page = std::size_t(sysconf(_SC_PAGESIZE));
    void *memory =
        mmap(nullptr, page + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    // the lowest page is closed, so that too much on the stack cannot reach the next one
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0)
      fail(kNetwork, "there is no memory for the stack of a process");
    stack = static_cast<char *>(memory);
    bottom = stack + page;
    size = kStack;
    getcontext(&context);
    context.uc_stack.ss_sp = stack + page;
    context.uc_stack.ss_size = kStack;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
};

namespace {

#if defined(__SANITIZE_ADDRESS__)
void switch_from(Coroutine &from, Coroutine &to, bool for_good) {
  void *saved = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &saved, to.bottom, to.size);
  swapcontext(&from.context, &to.context);
  __sanitizer_finish_switch_fiber(saved, nullptr, nullptr);
}
void arrived(Coroutine &outside) {
  __sanitizer_finish_switch_fiber(nullptr, &outside.bottom, &outside.size);
}
#else
void switch_from(Coroutine &from, Coroutine &to, bool) {
  from.started = true;
  if (_setjmp(from.jump) != 0) return;
  if (to.started) _longjmp(to.jump, 1);
  setcontext(&to.context);
}
void arrived(Coroutine &) {}
#endif

}  // namespace

Process::Process(const char *given, std::function<void()> work, bool endless, std::uint64_t least)
    : name(given), body(std::move(work)), forever(endless), turns(least) {}
Process::~Process() {}

Scheduler::Scheduler(std::uint64_t seed, std::uint64_t latency)
    : outside_(new Coroutine), chance_(seed), latency_(latency) {}

Scheduler::~Scheduler() {
  ending_ = true;
  for (auto process = processes_.rbegin(); process != processes_.rend(); ++process)
    if ((*process)->coroutine && (*process)->state != State::done) resume(**process);
  for (Channel *channel : channels_) {
    delete channel->link;
    channel->link = nullptr;
    channel->host = nullptr;
    channel->count = 0;
  }
}

Scheduler *Scheduler::current() { return entered; }

void spawn(const char *name, std::function<void()> frame, std::uint64_t turns) {
  if (Scheduler *scheduler = Scheduler::current()) {
    scheduler->add(name, std::move(frame), true, turns);
  } else {
    frame();
  }
}

void park() {
  if (Scheduler *scheduler = Scheduler::current()) scheduler->park();
}

void Scheduler::add(const char *name, std::function<void()> body, bool forever, std::uint64_t turns) {
  processes_.emplace_back(new Process(name, std::move(body), forever, turns));
  ready_.push_back(processes_.back().get());
}

void Scheduler::settle() {
  while (!ready_.empty()) {
    const std::size_t chosen = chance_.below(std::uint32_t(ready_.size()));
    Process *process = ready_[chosen];
    ready_[chosen] = ready_.back();
    ready_.pop_back();
    resume(*process);
  }
}

// From outside of every process: goes on with one until it waits.
void Scheduler::resume(Process &process) {
  Scheduler *const above = entered;
  Host *const before = host();
  entered = this;
  host() = this;
  running_ = &process;
  if (!process.coroutine) {
    process.coroutine.reset(new Coroutine);
    process.coroutine->prepare(enter);
  }
  switch_from(*outside_, *process.coroutine, false);
  running_ = nullptr;
  host() = before;
  entered = above;
}

void Scheduler::enter() {
  Scheduler &scheduler = *entered;
  Process &process = *scheduler.running_;
  arrived(*scheduler.outside_);
  try {
    scheduler.live(process);
  } catch (const Ended &) {
  }
  process.state = State::done;
  switch_from(*process.coroutine, *scheduler.outside_, true);
  std::abort();  // nobody goes on with a process that is done
}

void Scheduler::live(Process &process) {
  process.body();
  if (!process.forever) return;
  for (;;) {
    ++process.frames;
    if (!process.operations) fail(kNetwork, "process %s uses no stream", process.name.c_str());
    process.operations = 0;
    // every stage uses a stream in its first turn
    process.clock = std::max(process.clock, process.began + process.turns);
    process.body();
  }
}

// From inside of a process: hands over to whoever is outside.
void Scheduler::leave(State state, Channel *at) {
  Process &process = *running_;
  process.state = state;
  process.at = at;
  switch_from(*process.coroutine, *outside_, false);
  if (ending_) throw Ended();
  process.state = State::ready;
  process.at = nullptr;
}

void Scheduler::pause() {
  if (ready_.empty()) return;
  ready_.push_back(running_);
  leave(State::ready, nullptr);
}

void Scheduler::park() { leave(State::parked, nullptr); }

void Scheduler::wake(Process *&process) {
  if (!process) return;
  ready_.push_back(process);
  process = nullptr;
}

void Scheduler::opened(Channel &channel) {
  channel.link = new Link;
  channel.link->written.assign(channel.depth, 0);
  channel.link->read.assign(channel.depth, 0);
  channels_.push_back(&channel);
}

void Scheduler::closed(Channel &channel) {
  if (!ending_ && running_) fail(kNetwork, "stream %s ended while its processes run", channel.name.c_str());
  channels_.erase(std::remove(channels_.begin(), channels_.end(), &channel), channels_.end());
  delete channel.link;
  channel.link = nullptr;
}

void Scheduler::reading(Channel &channel) {
  Link &link = *channel.link;
  Process *const process = running_;
  if (process) {
    if (!link.reader) link.reader = process;
    if (link.reader != process)
      fail(kNetwork, "stream %s is read by %s and by %s", channel.name.c_str(), link.reader->name.c_str(),
           process->name.c_str());
    if (chance_.percent(kPause)) pause();
    while (!channel.count) {
      link.reader_waits = process;
      leave(State::reads, &channel);
    }
    const std::uint64_t now =
        std::max({process->clock, link.written[link.read_place] + latency_, link.next_read});
    process->clock = now;
    if (!process->operations++) process->began = now;
    link.next_read = now + 1;
    link.read[link.read_place] = now;
  } else if (!channel.count) {
    fail(kNetwork, "stream %s is read from outside while it is empty", channel.name.c_str());
  }
  link.read_place = link.read_place + 1 == channel.depth ? 0 : link.read_place + 1;
}

void Scheduler::was_read(Channel &channel) { wake(channel.link->writer_waits); }

void Scheduler::writing(Channel &channel) {
  Link &link = *channel.link;
  Process *const process = running_;
  if (process) {
    if (!link.writer) link.writer = process;
    if (link.writer != process)
      fail(kNetwork, "stream %s is written by %s and by %s", channel.name.c_str(), link.writer->name.c_str(),
           process->name.c_str());
    if (chance_.percent(kPause)) pause();
    while (channel.count == channel.depth) {
      link.writer_waits = process;
      leave(State::writes, &channel);
    }
    std::uint64_t now = std::max(process->clock, link.next_write);
    if (channel.words >= channel.depth) now = std::max(now, link.read[link.write_place] + 1);
    process->clock = now;
    if (!process->operations++) process->began = now;
    link.next_write = now + 1;
    link.written[link.write_place] = now;
  } else if (channel.count == channel.depth) {
    fail(kNetwork, "stream %s is written from outside while it is full", channel.name.c_str());
  }
  link.write_place = link.write_place + 1 == channel.depth ? 0 : link.write_place + 1;
}

void Scheduler::was_written(Channel &channel) { wake(channel.link->reader_waits); }

void Scheduler::looking(const Channel &channel) {
  // a process that looks before it reads could do one thing here and another in hardware
  if (running_)
    fail(kNetwork, "process %s looks at whether stream %s is empty or full", running_->name.c_str(),
         channel.name.c_str());
}

}  // namespace xh
