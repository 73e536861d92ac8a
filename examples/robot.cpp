// A robot's eye: gray camera pictures in, one class each out.  A build's folder is all that it needs:
//
//     xnorhw build --board pynq-z2 digits.pt -o out
//     make -C out/host
//     g++ -std=c++11 -O2 -Iout/host robot.cpp -o robot out/host/work/$(gcc -dumpmachine)/libaccel.a -lm
//     ./robot < frames.bin

#include <cstdio>
#include <vector>

#include "accel_engine.h"

namespace {

// The network, opened once: after that no call of it takes memory, so that a control loop may use it.
class Eye {
public:
    Eye() : engine_(nullptr), error_(accel_engine_open(&engine_)) {}
    ~Eye() { accel_engine_close(engine_); }
    Eye(const Eye &) = delete;
    Eye &operator=(const Eye &) = delete;

    // The class of one picture, or -1; why() says what is wrong.
    int look(const accel_input_t *picture)
    {
        if (engine_ != nullptr)
            error_ = accel_engine_run(engine_, picture, scores_);
        return error_ == ACCEL_ENGINE_OK ? static_cast<int>(accel_engine_class(scores_)) : -1;
    }

    const char *why() const { return accel_engine_text(error_); }

private:
    accel_engine *engine_;
    int error_;
    float scores_[ACCEL_CLASSES];
};

}  // namespace

int main()
{
    Eye eye;
    std::vector<accel_input_t> picture(ACCEL_INPUT_ELEMENTS);
    size_t got;
    while ((got = std::fread(picture.data(), sizeof picture[0], picture.size(), stdin)) == picture.size()) {
        const int what = eye.look(picture.data());
        if (what < 0) {
            std::fprintf(stderr, "robot: error: %s\n", eye.why());
            return 1;
        }
        std::printf("%d\n", what);
    }
    if (got != 0) {
        std::fprintf(stderr, "robot: error: the last picture is cut off\n");
        return 1;
    }
    return 0;
}
