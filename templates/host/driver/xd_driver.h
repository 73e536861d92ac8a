/* The accelerator's driver: what every build's driver shares.  Static; a build adds its numbers.
 *
 * A program includes {prefix}_driver.h, which wraps these calls for one network; this header
 * is what it shares with others: the codes, the options, the counters.
 *
 * Threads.  A driver serves one call at a time, from any thread: give it to one thread, or
 * put a lock around it.  Two drivers share nothing.  No call is fit for a signal handler.
 *
 * Processes.  One at a time has a device: open takes a lock (flock) on
 * /run/lock/xnorhw-<address of the DMA>.lock, whichever way it goes, and on the device files;
 * another process gets XD_IN_USE until this one closes or ends. */
#ifndef XD_DRIVER_H
#define XD_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns; also the exit code of the command-line program, whose wrong usage is 2. */
typedef enum xd_status {
    XD_OK = 0,
    XD_ARGUMENT = 3,    /* a null pointer, no frames, an option that makes no sense */
    XD_LENGTH = 4,      /* data that are no whole frames, or more than one transfer can move */
    XD_NO_DEVICE = 5,   /* a device file is not there */
    XD_PERMISSION = 6,  /* a device file may not be opened */
    XD_IN_USE = 7,      /* another process has the device */
    XD_SYSTEM = 8,      /* the operating system refused something else */
    XD_ADDRESS = 9,     /* registers or memory lie elsewhere than this build has them */
    XD_IDENTITY = 10,   /* what answers at the address is no accelerator of this kind */
    XD_ABI = 11,        /* its registers are of another version */
    XD_BUILD = 12,      /* it is of another build: another bitstream is loaded */
    XD_FRAME = 13,      /* its frames have another length than this build's */
    XD_DMA_KIND = 14,   /* the DMA has scatter-gather, or does not start */
    XD_BUFFER = 15,     /* the buffer is too small for these frames */
    XD_BUSY = 16,       /* both halves of the buffer are in flight */
    XD_NOTHING = 17,    /* nothing is in flight that could be waited for */
    XD_TIMEOUT = 18,    /* no result within the time limit */
    XD_DMA = 19,        /* the DMA reports an error */
    XD_RESULT = 20,     /* a result of another length came back */
    XD_STREAM = 21,     /* the accelerator reports an error in its input stream */
    XD_RESET = 22,      /* a reset did not finish: close, and load the bitstream again */
    XD_ENGINE = 23,     /* the host's part of the network failed */
    XD_MEMORY = 24      /* no memory for the driver */
} xd_status;

/* A status in words, without a place: "no result within the time limit". */
const char *xd_status_text(int status);
/* What to do about it, one sentence. */
const char *xd_status_remedy(int status);

/* The last error with its place, its reason and what to do: "place: reason. Remedy." */
typedef struct xd_error {
    xd_status status;
    char text[400];
} xd_error;

typedef enum xd_transport_kind {
    XD_UIO, /* registers through /dev/uio*, a buffer of u-dma-buf, cached and synchronised */
    XD_MEM  /* registers and reserved memory through /dev/mem, not cached; needs root */
} xd_transport_kind;

typedef struct xd_options {
    xd_transport_kind transport;
    int ip_uio;              /* XD_UIO: the number of /dev/uioN of the accelerator; -1: by its name */
    int dma_uio;             /* the same of the DMA */
    const char *buffer;      /* XD_UIO: the u-dma-buf's name under /dev */
    uint64_t memory_address; /* XD_MEM: the reserved memory, whole pages */
    uint64_t memory_bytes;
    unsigned timeout_ms;     /* of each wait for the hardware, at least 1; a transfer has twice
                                the planned time of its frames on top of it */
} xd_options;

/* What the accelerator has counted since its last reset; clocks are those of the accelerator. */
typedef struct xd_counters {
    uint32_t frames_in, frames_out;
    uint32_t busy_cycles, input_stalls, output_stalls;
} xd_counters;

/* One build: its numbers.  Generated. */
typedef struct xd_build {
    const char *name;           /* of the accelerator's device-tree node; the DMA's is NAME-dma */
    uint64_t hash;
    uint32_t abi;               /* major << 16 | minor */
    uint32_t beat_bytes, in_beats, out_beats;
    uint64_t ip_base, dma_base; /* physical addresses of the registers */
    uint32_t window_bytes;      /* of each of the two sets */
    uint64_t reach_base, reach_bytes; /* the memory that the DMA reaches */
    uint32_t max_transfer;      /* bytes of one transfer: the DMA's length register */
    uint32_t clock_hz, cycles_per_frame; /* as planned */
} xd_build;

typedef struct xd_driver xd_driver;

/* Options: UIO, devices by name, udmabuf0, one second. */
void xd_options_init(xd_options *options);

/* Opens and locks the device, compares identity, ABI version, build hash and frame lengths,
 * resets it.  `error` may be NULL.  *driver is NULL after an error.  `build` must outlive it. */
xd_status xd_open(xd_driver **driver, const xd_build *build, const xd_options *options, xd_error *error);

/* Stops the DMA, gives the buffer and the device back.  NULL is allowed.  XD_RESET: the DMA did not
 * stop; the buffer then stays mapped until the process ends. */
xd_status xd_close(xd_driver *driver);

/* Frames that one transfer can hold: half of the buffer, and the DMA's longest transfer. */
size_t xd_capacity(const xd_driver *driver);

/* A transfer of `frames` frames, in four steps.  xd_begin takes a free half of the buffer;
 * xd_frame gives room in which frame i may be made and xd_frame_done takes it, from there or from
 * elsewhere, filled up with zeros; xd_submit hands all to the device and returns at once.  Two may be in flight; the second starts when the
 * first is done and xd_ready, xd_wait or xd_submit is called, any of which may find that a
 * transfer under way has failed. */
xd_status xd_begin(xd_driver *driver, size_t frames);
uint8_t *xd_frame(xd_driver *driver, size_t i);
void xd_frame_done(xd_driver *driver, size_t i, const uint8_t *data, size_t bytes);
xd_status xd_submit(xd_driver *driver);

/* Whether the oldest transfer is done, without waiting. */
xd_status xd_ready(xd_driver *driver, int *ready);

/* Waits for the oldest transfer.  xd_result then gives the int32 sums of its frame i (valid until
 * the next call), xd_frames their number, and xd_finish frees its half of the buffer.
 * After an error everything in flight is lost, and the device is reset and ready again. */
xd_status xd_wait(xd_driver *driver);
size_t xd_frames(const xd_driver *driver);
const int32_t *xd_result(xd_driver *driver, size_t i);
void xd_finish(xd_driver *driver);

/* Transfers in flight, 0 to 2. */
unsigned xd_in_flight(const xd_driver *driver);

xd_status xd_read_counters(xd_driver *driver, xd_counters *counters);

/* The last error of this driver. */
const xd_error *xd_last_error(const xd_driver *driver);
/* Makes `status` the last error of this driver, "place: reason. Remedy.", and returns it. */
xd_status xd_set_error(xd_driver *driver, xd_status status, const char *place, const char *reason);

#ifdef __cplusplus
}
#endif
#endif
