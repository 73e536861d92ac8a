/* The CPU engine: runs a network of xh_layers.h on one frame at a time.
 *
 * All state lies in the engine object: two engines on one network run at the same time in
 * two threads; one engine serves one thread at a time.  No run allocates: memory is taken by
 * xh_open, xh_set_threads and xh_set_trace alone. */
#ifndef XH_RUN_H
#define XH_RUN_H

#include "xh_layers.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum xh_status {
    XH_OK = 0,
    XH_NO_MEMORY,    /* the allocation failed, or the memory given is too small */
    XH_UNKNOWN_PATH, /* no path of that name is in this library */
    XH_NO_PATH,      /* this processor lacks the path's instructions */
    XH_BAD_NETWORK,  /* the structs describe what the engine does not run */
    XH_BAD_INPUT,    /* an input value outside of the network's declared range */
    XH_BAD_ARGUMENT, /* a null pointer, or a part that this network does not have */
    XH_BAD_SIZE,     /* a buffer's length is not what the network takes or gives */
    XH_NO_THREADS    /* the library was built without XH_THREADS, or a thread did not start */
} xh_status;

/* One sentence for a status; never NULL. */
const char *xh_status_text(int status);

/* Called for every tensor when one is made: its index in xh_network.tensor, and its values
 * as int64_t [H][W][C] (bipolar: -1 and +1).  The values live until the call returns. */
typedef void (*xh_trace)(void *context, int32_t tensor, const int64_t *values, size_t count);

typedef struct xh_engine xh_engine;

/* Bytes that xh_place needs for one engine (with a trace: the larger number). */
size_t xh_engine_bytes(const xh_network *network, int traced);

/* An engine in one allocation; `path` NULL: the environment's XH_PATH, or else the best that
 * this processor has.  Names: avx512, avx2, ssse3, popcnt, neon, plain. */
int xh_open(const xh_network *network, const char *path, xh_engine **engine);
/* The same in memory of the caller's, aligned to 64 bytes. */
int xh_place(const xh_network *network, const char *path, void *memory, size_t bytes, xh_engine **engine);
void xh_close(xh_engine *engine);

/* The path in use. */
const char *xh_path_name(const xh_engine *engine);
/* Name of path i (0 is the best) that this library holds and this processor runs, or NULL. */
const char *xh_path_available(int i);

/* Divide each layer over `count` threads, 1 to 64 (1: none); results are the same.  Allocates
 * the threads' scratch memory; xh_close frees it, also where the engine was placed. */
int xh_set_threads(xh_engine *engine, int count);

/* Make every tensor known to `trace` (NULL: stop).  An engine that xh_place put into the
 * smaller number of bytes has no room for that: XH_NO_MEMORY. */
int xh_set_trace(xh_engine *engine, xh_trace trace, void *context);

/* Called when the input is taken (layer -1), when each layer of the network is done, and when the
 * scores are (layer network->layers): for timing. */
typedef void (*xh_watch)(void *context, int32_t layer);
void xh_set_watch(xh_engine *engine, xh_watch watch, void *context);

/* The number of bytes of an input frame: elements [H][W][C] of the tensor's own type; one
 * int8_t (-1, +1) an element where it is XH_BITS. */
size_t xh_input_bytes(const xh_network *network);

/* One frame: `input` -> `scores` float32 [network->scores] in torch's order. */
int xh_run(xh_engine *engine, const void *input, size_t input_bytes, float *scores);

/* The front alone: `input` -> the frame that enters the accelerator, raster order, channels
 * innermost; one-bit codes packed lowest bit first through the whole frame, every wider code
 * a byte.  `frame_bytes` may be more than the data (whole beats): the rest is zeroed. */
int xh_run_front(xh_engine *engine, const void *input, size_t input_bytes, uint8_t *frame, size_t frame_bytes);

/* The same without a copy: *data is `room` (of `room_bytes`) where bits had to be packed, else the
 * engine's own memory or, where nothing stands before the accelerator, `input`; *count bytes, without
 * the zeros that fill up the last beat.  Good until the next call. */
int xh_front_at(xh_engine *engine, const void *input, size_t input_bytes, uint8_t *room, size_t room_bytes,
                const uint8_t **data, size_t *count);

/* The back alone: int32 sums [H][W][C] of tensor chip_output -> scores. */
int xh_run_back(xh_engine *engine, const int32_t *sums, size_t count, float *scores);

/* The class: index of the largest score, the lowest on ties. */
int32_t xh_argmax(const float *scores, int32_t count);

#ifdef __cplusplus
}
#endif
#endif
