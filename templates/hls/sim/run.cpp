// Runs the network in C++: reads frames, writes results and what crosses the observed streams.
//
//   run input=FILE result=FILE [frames=N] [mode=bounded|csim] [seed=N] [source=PERCENT]
//       [sink=PERCENT] [latency=CLOCKS] [words=FOLDER]
//
// input holds the frames as bytes, each in whole beats; result receives the result beats as
// bytes; the words of each observed stream go to FOLDER/<stem>.hex.  In mode bounded (without
// mode) all stages run at once on streams of their real depths, and source and sink are the
// chances that a side pauses at a beat; in mode csim the top is called once a frame.
//
// Exit codes: 0 done, 2 wrong usage, 3 nobody can go on, 4 words are left over, 5 a wrong number
// of results, 6 the network breaks a rule of its streams.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "network.h"
#include "xh_scheduler.h"

namespace {

const unsigned kBeatBytes = network::beat_bits / 8;
typedef ap_uint<network::beat_bits> Beat;
typedef hls::stream<Beat> Beats;
typedef std::map<std::string, std::string> Options;

std::uint64_t number(const Options &options, const char *name, std::uint64_t otherwise) {
  const auto found = options.find(name);
  if (found == options.end()) return otherwise;
  char *end = nullptr;
  const std::uint64_t value = std::strtoull(found->second.c_str(), &end, 10);
  if (found->second.empty() || *end)
    xh::fail(xh::kUsage, "%s=%s is no number", name, found->second.c_str());
  return value;
}

std::string text(const Options &options, const char *name, const char *otherwise) {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : found->second;
}

struct Close {
  void operator()(std::FILE *file) const { std::fclose(file); }
};
typedef std::unique_ptr<std::FILE, Close> File;

File open(const std::string &path, const char *mode) {
  File file(std::fopen(path.c_str(), mode));
  if (!file) xh::fail(xh::kUsage, "%s cannot be opened", path.c_str());
  return file;
}

Beat beat_of(const std::uint8_t *bytes) {
  Beat beat = 0;
  for (unsigned i = 0; i < kBeatBytes; ++i) beat.range(int(8 * i + 7), int(8 * i)) = bytes[i];
  return beat;
}

// The words of the observed streams, by the stream's name.
std::map<std::string, File> logs;
std::FILE *log_of(const char *stream) {
  const auto found = logs.find(stream);
  return found == logs.end() ? nullptr : found->second.get();
}

struct Run {
  std::uint64_t frames = 0;
  std::vector<std::uint8_t> input;
  File result;
  std::uint64_t received = 0;          // beats
  std::vector<std::uint64_t> ends;     // clock of each frame's last beat, bounded alone

  std::uint64_t expected() const { return frames * network::out_beats; }
  void take(const Beat &beat) {
    std::uint8_t bytes[kBeatBytes];
    for (unsigned i = 0; i < kBeatBytes; ++i) bytes[i] = std::uint8_t(beat.range(int(8 * i + 7), int(8 * i)).to_uint());
    if (received < expected() && std::fwrite(bytes, 1, kBeatBytes, result.get()) != kBeatBytes)
      xh::fail(xh::kUsage, "the result cannot be written");
    ++received;
  }
};

void csim(Run &run) {
  Beats s_axis("s_axis"), m_axis("m_axis");
  for (std::uint64_t frame = 0; frame < run.frames; ++frame) {
    const std::uint8_t *bytes = run.input.data() + frame * network::in_beats * kBeatBytes;
    for (std::uint64_t beat = 0; beat < network::in_beats; ++beat) s_axis.write(beat_of(bytes + beat * kBeatBytes));
    network::top(s_axis, m_axis);
    if (!s_axis.empty()) xh::fail(xh::kLeftOver, "left over: s_axis %zu", s_axis.size());
    if (m_axis.size() != network::out_beats)
      xh::fail(xh::kResults, "frame %" PRIu64 " gives %zu beats, not %" PRIu64, frame, m_axis.size(),
               std::uint64_t(network::out_beats));
    while (!m_axis.empty()) run.take(m_axis.read());
  }
}

// What is wrong when nobody can go on any more; 0 where all is well.
int verdict(const Run &run, const xh::Scheduler &scheduler) {
  bool full = false, inside = false;
  for (const auto &process : scheduler.processes()) {
    full = full || process->state == xh::State::writes;
    inside = inside || (process->forever && process->operations);
  }
  if (run.received > run.expected()) {
    std::fprintf(stderr, "%" PRIu64 " result beats, not %" PRIu64 "\n", run.received, run.expected());
    return xh::kResults;
  }
  if (full || (inside && run.received < run.expected())) {
    for (const auto &process : scheduler.processes()) {
      if (process->state != xh::State::reads && process->state != xh::State::writes) continue;
      std::printf("deadlock: %s waits to %s %s (%zu of %zu words)\n", process->name.c_str(),
                  process->state == xh::State::reads ? "read" : "write", process->at->name.c_str(),
                  process->at->count, process->at->depth);
    }
    return xh::kDeadlock;
  }
  int code = xh::kDone;
  for (const xh::Channel *channel : scheduler.channels()) {
    if (!channel->count) continue;
    std::printf("left over: %s %zu\n", channel->name.c_str(), channel->count);
    code = xh::kLeftOver;
  }
  for (const auto &process : scheduler.processes()) {
    if (!process->forever || (!process->operations && process->frames == run.frames)) continue;
    std::printf("left over: process %s did %" PRIu64 " frames of %" PRIu64 "%s\n", process->name.c_str(),
                process->frames, run.frames, process->operations ? " and stands inside of one" : "");
    if (run.received == run.expected()) code = xh::kLeftOver;
  }
  if (run.received < run.expected()) {
    std::fprintf(stderr, "%" PRIu64 " result beats, not %" PRIu64 "\n", run.received, run.expected());
    return xh::kResults;
  }
  return code;
}

int bounded(Run &run, const Options &options) {
  const std::uint64_t seed = number(options, "seed", 1);
  const std::uint32_t source_pauses = std::uint32_t(number(options, "source", 0));
  const std::uint32_t sink_pauses = std::uint32_t(number(options, "sink", 0));
  if (source_pauses > 99 || sink_pauses > 99) xh::fail(xh::kUsage, "source and sink are 99 at most");
  xh::Chance source_chance(3 * seed + 1), sink_chance(3 * seed + 2);
  // the streams outlive the processes: the scheduler, declared last, goes first
  std::unique_ptr<hls::stream<Beat, 2> > s_axis, m_axis;
  xh::Scheduler scheduler(3 * seed, number(options, "latency", 1));
  xh::host() = &scheduler;
  s_axis.reset(new hls::stream<Beat, 2>("s_axis"));
  m_axis.reset(new hls::stream<Beat, 2>("m_axis"));
  xh::host() = nullptr;

  scheduler.add(
      "top", [&] { network::top(*s_axis, *m_axis); }, false);
  scheduler.add(
      "source",
      [&] {
        const std::uint64_t beats = run.frames * network::in_beats;
        for (std::uint64_t beat = 0; beat < beats; ++beat) {
          while (source_chance.percent(source_pauses)) scheduler.pause();
          s_axis->write(beat_of(run.input.data() + beat * kBeatBytes));
        }
      },
      false);
  scheduler.add(
      "sink",
      [&] {
        for (;;) {
          while (sink_chance.percent(sink_pauses)) scheduler.pause();
          run.take(m_axis->read());
          if (run.received % network::out_beats == 0) run.ends.push_back(scheduler.clock());
        }
      },
      false);
  scheduler.settle();

  const int code = verdict(run, scheduler);
  if (code == xh::kDone) {
    if (run.frames > 1)
      std::printf("cycles_per_frame %.3f\n",
                  double(run.ends[run.frames - 1] - run.ends[0]) / double(run.frames - 1));
    std::printf("latency_cycles %" PRIu64 "\n", run.ends[0]);
  }
  for (const auto &process : scheduler.processes())
    if (process->forever) std::printf("process %s frames %" PRIu64 "\n", process->name.c_str(), process->frames);
  for (const xh::Channel *channel : scheduler.channels())
    std::printf("stream %s depth %zu most %zu words %" PRIu64 "\n", channel->name.c_str(), channel->depth,
                channel->most, channel->words);
  return code;
}

}  // namespace

int main(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    if (equals == std::string::npos) xh::fail(xh::kUsage, "%s is not NAME=VALUE", argv[i]);
    const std::string name = argument.substr(0, equals);
    bool known = false;
    for (const char *one : {"input", "result", "frames", "mode", "seed", "source", "sink", "latency", "words"})
      known = known || name == one;
    if (!known) xh::fail(xh::kUsage, "there is no option %s", name.c_str());
    options[name] = argument.substr(equals + 1);
  }
  const std::string mode = text(options, "mode", "bounded");
  if (mode != "bounded" && mode != "csim") xh::fail(xh::kUsage, "mode is bounded or csim, not %s", mode.c_str());

  Run run;
  {
    const File file = open(text(options, "input", "input.bin"), "rb");
    std::uint8_t bytes[4096];
    while (const std::size_t got = std::fread(bytes, 1, sizeof bytes, file.get()))
      run.input.insert(run.input.end(), bytes, bytes + got);
    if (std::ferror(file.get())) xh::fail(xh::kUsage, "the input cannot be read");
  }
  const std::uint64_t frame_bytes = std::uint64_t(network::in_beats) * kBeatBytes;
  if (run.input.empty() || run.input.size() % frame_bytes)
    xh::fail(xh::kUsage, "the input is no whole number of frames of %" PRIu64 " bytes", frame_bytes);
  const std::uint64_t held = run.input.size() / frame_bytes;
  run.frames = number(options, "frames", held);
  if (run.frames == 0 || run.frames > held) xh::fail(xh::kUsage, "the input holds %" PRIu64 " frames", held);
  run.result = open(text(options, "result", "result.bin"), "wb");

  const std::string folder = text(options, "words", ".");
  for (const xh::Observed *one = network::observed; one->stream; ++one)
    logs[one->stream] = open(folder + "/" + one->stem + ".hex", "w");
  xh::observer() = log_of;

  if (mode == "bounded") return bounded(run, options);
  csim(run);
  return xh::kDone;
}
