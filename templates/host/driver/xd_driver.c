#define _POSIX_C_SOURCE 200809L

#include "xd_driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "xd_dma.h"
#include "xd_error.h"
#include "xd_registers.h"

/* Areas begin where no cache line and no burst is shared between two of them. */
enum { AREA_BYTES = 128, HALVES = 2 };

/* Waits spin this long, then sleep between looks, so that a slow network does not burn a core. */
enum { SPIN_MS = 1, SLEEP_NS = 50000 };

typedef enum half_state { FREE, FILLING, QUEUED, RUNNING, DONE } half_state;

/* One half of the buffer: the frames of a transfer, and room for their results. */
typedef struct half {
    half_state state;
    size_t frames;
    xd_transfer transfer;
} half;

struct xd_driver {
    const xd_build *build;
    xd_transport transport;
    unsigned timeout_ms;
    size_t input_bytes, output_bytes; /* of one frame */
    size_t capacity;
    half halves[HALVES];
    unsigned oldest, in_flight;
    uint32_t *frame_copy, *result_copy; /* one frame each, where the buffer is not cached */
    int dead;
    xd_error error;
};

void xd_options_init(xd_options *options) {
    memset(options, 0, sizeof *options);
    options->ip_uio = options->dma_uio = -1;
    options->buffer = "udmabuf0";
    options->timeout_ms = 1000;
}

const xd_error *xd_last_error(const xd_driver *driver) {
    return &driver->error;
}

xd_status xd_set_error(xd_driver *driver, xd_status status, const char *place, const char *reason) {
    return xd_fail(&driver->error, status, place, "%s", reason);
}

size_t xd_capacity(const xd_driver *driver) {
    return driver->capacity;
}

unsigned xd_in_flight(const xd_driver *driver) {
    return driver->in_flight;
}

static uint32_t ip_read(xd_driver *driver, uint32_t offset) {
    return xd_read(&driver->transport.ip, offset);
}

static half *oldest(xd_driver *driver) {
    return &driver->halves[driver->oldest];
}

static half *newest_free(xd_driver *driver) {
    return &driver->halves[(driver->oldest + driver->in_flight) % HALVES];
}

/* --- reset ------------------------------------------------------------------------------------ */

/* The DMA first: from then on nothing writes to the buffer.  Then the accelerator, which drops
 * the frames inside of it; then its errors must read as clear.  Only now are the halves free. */
static xd_status reset(xd_driver *driver, xd_error *error) {
    const xd_window *ip = &driver->transport.ip;
    driver->dead = 1;
    xd_status status = xd_dma_reset(&driver->transport, driver->timeout_ms, error);
    if (status) return status;
    xd_write(ip, XD_REG_CONTROL, 1);
    (void)xd_read(ip, XD_REG_CONTROL); /* answered only when the write has arrived */
    xd_write(ip, XD_REG_CONTROL, 0);
    uint32_t errors = xd_read(ip, XD_REG_ERRORS);
    if (errors)
        return xd_fail(error, XD_RESET, driver->build->name, "its errors read 0x%" PRIx32 " after a reset", errors);
    status = xd_dma_run(&driver->transport, driver->timeout_ms, error);
    if (status) return status;
    for (int i = 0; i < HALVES; i++) driver->halves[i].state = FREE;
    driver->in_flight = 0;
    driver->dead = 0;
    return XD_OK;
}

/* Ends a failed transfer: the device is reset, what was in flight is lost. */
static xd_status give_up(xd_driver *driver, xd_status status) {
    xd_error kept = driver->error, second = {XD_OK, ""};
    if (reset(driver, &second)) {
        driver->in_flight = 0;
        driver->error = second;
        return second.status;
    }
    driver->error = kept;
    return status;
}

static xd_status refuse_dead(xd_driver *driver) {
    return xd_fail(&driver->error, XD_RESET, driver->build->name, "an earlier reset did not finish");
}

/* --- open and close --------------------------------------------------------------------------- */

static xd_status check_identity(xd_driver *driver, xd_error *error) {
    const xd_build *build = driver->build;
    uint32_t id = ip_read(driver, XD_REG_ID);
    if (id != XD_IDENTITY_VALUE)
        return xd_fail(error, XD_IDENTITY, build->name, "0x%08" PRIx32 " answers at 0x%" PRIx64 ", not 0x%08" PRIx32, id,
                       build->ip_base, (uint32_t)XD_IDENTITY_VALUE);
    uint32_t abi = ip_read(driver, XD_REG_ABI);
    if (abi >> 16 != build->abi >> 16 || (abi & 0xFFFF) < (build->abi & 0xFFFF))
        return xd_fail(error, XD_ABI, build->name, "its registers are of version %" PRIu32 ".%" PRIu32
                       ", this driver knows %" PRIu32 ".%" PRIu32,
                       abi >> 16, abi & 0xFFFF, build->abi >> 16, build->abi & 0xFFFF);
    uint64_t hash = (uint64_t)ip_read(driver, XD_REG_BUILD_HASH1) << 32 | ip_read(driver, XD_REG_BUILD_HASH0);
    if (hash != build->hash)
        return xd_fail(error, XD_BUILD, build->name, "its build is %016" PRIx64 ", this driver's is %016" PRIx64, hash,
                       build->hash);
    uint32_t in_beats = ip_read(driver, XD_REG_IN_BEATS), out_beats = ip_read(driver, XD_REG_OUT_BEATS);
    if (in_beats != build->in_beats || out_beats != build->out_beats)
        return xd_fail(error, XD_FRAME, build->name, "its frames are %" PRIu32 " beats in and %" PRIu32
                       " out, this driver's %" PRIu32 " and %" PRIu32,
                       in_beats, out_beats, build->in_beats, build->out_beats);
    return XD_OK;
}

static size_t round_up(size_t bytes) {
    return (bytes + AREA_BYTES - 1) / AREA_BYTES * AREA_BYTES;
}

/* Divides the buffer: a half holds the frames of a transfer, and behind them their results. */
static xd_status divide_buffer(xd_driver *driver, xd_error *error) {
    const xd_transport *transport = &driver->transport;
    size_t half_bytes = transport->buffer_bytes / HALVES / AREA_BYTES * AREA_BYTES;
    size_t frame = driver->input_bytes + driver->output_bytes, slack = 2 * AREA_BYTES;
    size_t larger = driver->input_bytes > driver->output_bytes ? driver->input_bytes : driver->output_bytes;
    size_t held = half_bytes > slack ? (half_bytes - slack) / frame : 0;
    size_t moved = driver->build->max_transfer / larger;
    driver->capacity = held < moved ? held : moved;
    if (!driver->capacity)
        return xd_fail(error, XD_BUFFER, "buffer", "%zu bytes do not hold two frames with their results, %zu bytes",
                       transport->buffer_bytes, HALVES * (frame + slack));
    for (size_t i = 0; i < HALVES; i++) {
        driver->halves[i].transfer.input = i * half_bytes;
        driver->halves[i].transfer.output = i * half_bytes + round_up(driver->capacity * driver->input_bytes);
    }
    if (transport->uncached) {
        driver->frame_copy = malloc(driver->input_bytes);
        driver->result_copy = malloc(driver->output_bytes);
        if (!driver->frame_copy || !driver->result_copy)
            return xd_fail(error, XD_MEMORY, driver->build->name, "%zu bytes are not to be had", frame);
    }
    return XD_OK;
}

static void destroy(xd_driver *driver, int release) {
    xd_transport_close(&driver->transport, release);
    free(driver->frame_copy);
    free(driver->result_copy);
    free(driver);
}

xd_status xd_open(xd_driver **result, const xd_build *build, const xd_options *options, xd_error *error) {
    if (result) *result = NULL;
    if (!result || !build || !options || !options->timeout_ms || !build->clock_hz ||
        (options->transport == XD_UIO && !options->buffer))
        return xd_fail(error, XD_ARGUMENT, "open", "a null pointer, a time limit of 0, or a build without a clock");
    xd_driver *driver = calloc(1, sizeof *driver);
    if (!driver) return xd_fail(error, XD_MEMORY, build->name, "%zu bytes are not to be had", sizeof *driver);
    driver->build = build;
    driver->timeout_ms = options->timeout_ms;
    driver->input_bytes = (size_t)build->in_beats * build->beat_bytes;
    driver->output_bytes = (size_t)build->out_beats * build->beat_bytes;
    xd_status status = xd_transport_open(&driver->transport, build, options, error);
    if (status) {
        free(driver);
        return status;
    }
    status = check_identity(driver, error);
    if (!status) status = divide_buffer(driver, error);
    /* last: from here on the DMA runs */
    if (!status) status = reset(driver, error);
    if (status) {
        /* a DMA that does not stop, or that is another one, may write to the buffer */
        destroy(driver, status != XD_RESET && status != XD_DMA_KIND);
        return status;
    }
    *result = driver;
    return XD_OK;
}

xd_status xd_close(xd_driver *driver) {
    if (!driver) return XD_OK;
    xd_status status = xd_dma_reset(&driver->transport, driver->timeout_ms, NULL);
    destroy(driver, !status);
    return status;
}

/* --- a transfer ------------------------------------------------------------------------------- */

xd_status xd_begin(xd_driver *driver, size_t frames) {
    if (driver->dead) return refuse_dead(driver);
    if (!frames) return xd_fail(&driver->error, XD_ARGUMENT, driver->build->name, "no frames were given");
    if (driver->in_flight == HALVES)
        return xd_fail(&driver->error, XD_BUSY, driver->build->name, "both halves of the buffer are in flight");
    if (frames > driver->capacity)
        return xd_fail(&driver->error, XD_BUFFER, "buffer", "%zu frames are asked for, one transfer takes up to %zu",
                       frames, driver->capacity);
    half *free_half = newest_free(driver);
    free_half->state = FILLING;
    free_half->frames = frames;
    free_half->transfer.input_bytes = frames * driver->input_bytes;
    free_half->transfer.output_bytes = frames * driver->output_bytes;
    return XD_OK;
}

static uint8_t *frame_address(xd_driver *driver, size_t i) {
    return driver->transport.buffer + newest_free(driver)->transfer.input + i * driver->input_bytes;
}

uint8_t *xd_frame(xd_driver *driver, size_t i) {
    return driver->transport.uncached ? (uint8_t *)driver->frame_copy : frame_address(driver, i);
}

void xd_frame_done(xd_driver *driver, size_t i, const uint8_t *data, size_t bytes) {
    uint8_t *frame = frame_address(driver, i);
    if (driver->transport.uncached) {
        xd_copy_out((volatile uint32_t *)(void *)frame, driver->input_bytes, data, bytes);
        return;
    }
    if (data != frame) memcpy(frame, data, bytes);
    memset(frame + bytes, 0, driver->input_bytes - bytes);
}

static xd_status check_stream(xd_driver *driver) {
    uint32_t errors = ip_read(driver, XD_REG_ERRORS);
    const char *what = errors & XD_ERROR_TLAST_INSIDE_FRAME ? "a packet ended inside of a frame"
                                                            : "a beat came with bytes missing";
    if (!errors) return XD_OK;
    return xd_fail(&driver->error, XD_STREAM, driver->build->name, "%s (errors 0x%" PRIx32 ")", what, errors);
}

/* Looks at a transfer that runs: DONE where its result is complete, of the right length and without error. */
static xd_status check_running(xd_driver *driver, half *running) {
    int done = 0;
    xd_status status = xd_dma_poll(&driver->transport, &running->transfer, &done, &driver->error);
    if (status || !done) return status;
    status = check_stream(driver);
    if (!status) running->state = DONE;
    return status;
}

static xd_status start(xd_driver *driver, half *queued) {
    queued->state = RUNNING;
    return xd_dma_start(&driver->transport, &queued->transfer, &driver->error);
}

/* Looks once: a transfer that is done makes room for the one that waits for its turn. */
static xd_status look(xd_driver *driver) {
    half *first = oldest(driver), *second = &driver->halves[(driver->oldest + 1) % HALVES];
    xd_status status = XD_OK;
    if (first->state == RUNNING) status = check_running(driver, first);
    if (!status && first->state == QUEUED) status = start(driver, first);
    if (!status && first->state == DONE) {
        if (second->state == RUNNING) status = check_running(driver, second);
        else if (second->state == QUEUED) status = start(driver, second);
    }
    return status ? give_up(driver, status) : XD_OK;
}

xd_status xd_submit(xd_driver *driver) {
    if (driver->dead) return refuse_dead(driver);
    half *filled = newest_free(driver);
    if (driver->in_flight == HALVES || filled->state != FILLING)
        return xd_fail(&driver->error, XD_ARGUMENT, driver->build->name, "no transfer was begun");
    filled->state = QUEUED;
    driver->in_flight++;
    return look(driver);
}

xd_status xd_ready(xd_driver *driver, int *ready) {
    *ready = 0;
    if (driver->dead) return refuse_dead(driver);
    if (!driver->in_flight) return xd_fail(&driver->error, XD_NOTHING, driver->build->name, "nothing is in flight");
    xd_status status = look(driver);
    *ready = !status && oldest(driver)->state == DONE;
    return status;
}

/* The user's limit and twice what the plan says of the frames.  Rounded down: the limit is 1 ms at least. */
static uint64_t limit_ms(const xd_driver *driver, size_t frames) {
    uint64_t cycles = (uint64_t)frames * driver->build->cycles_per_frame, clock = driver->build->clock_hz;
    return driver->timeout_ms + cycles / clock * 2000 + cycles % clock * 2000 / clock;
}

xd_status xd_wait(xd_driver *driver) {
    static const struct timespec pause = {0, SLEEP_NS};
    const uint64_t begin = xd_now_ms(), limit = limit_ms(driver, xd_frames(driver));
    int ready;
    for (;;) {
        /* before the look, so that a process that was kept from running finds its result */
        uint64_t now = xd_now_ms();
        xd_status status = xd_ready(driver, &ready);
        if (status || ready) return status;
        if (now - begin > limit) break;
        if (now - begin > SPIN_MS) nanosleep(&pause, NULL);
    }
    char words[220];
    /* a frame that the accelerator could not take whole gives no result either */
    xd_status status = check_stream(driver);
    if (status) return give_up(driver, status);
    xd_dma_describe(&driver->transport, words, sizeof words);
    return give_up(driver, xd_fail(&driver->error, XD_TIMEOUT, driver->build->name, "no result within %" PRIu64 " ms: %s",
                                   limit, words));
}

size_t xd_frames(const xd_driver *driver) {
    return driver->in_flight ? driver->halves[driver->oldest].frames : 0;
}

const int32_t *xd_result(xd_driver *driver, size_t i) {
    uint8_t *address = driver->transport.buffer + oldest(driver)->transfer.output + i * driver->output_bytes;
    if (!driver->transport.uncached) return (const int32_t *)(const void *)address;
    xd_copy_in(driver->result_copy, (const volatile uint32_t *)(void *)address, driver->output_bytes);
    return (const int32_t *)(const void *)driver->result_copy;
}

void xd_finish(xd_driver *driver) {
    if (!driver->in_flight || oldest(driver)->state != DONE) return;
    oldest(driver)->state = FREE;
    driver->oldest = (driver->oldest + 1) % HALVES;
    driver->in_flight--;
}

xd_status xd_read_counters(xd_driver *driver, xd_counters *counters) {
    if (!counters) return xd_fail(&driver->error, XD_ARGUMENT, "counters", "a null pointer");
    counters->frames_in = ip_read(driver, XD_REG_FRAMES_IN);
    counters->frames_out = ip_read(driver, XD_REG_FRAMES_OUT);
    counters->busy_cycles = ip_read(driver, XD_REG_BUSY_CYCLES);
    counters->input_stalls = ip_read(driver, XD_REG_INPUT_STALLS);
    counters->output_stalls = ip_read(driver, XD_REG_OUTPUT_STALLS);
    return XD_OK;
}
