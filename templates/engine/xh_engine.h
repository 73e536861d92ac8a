/* The engine's state, shared by the files that run its layers. */
#ifndef XH_ENGINE_H
#define XH_ENGINE_H

#include "xh_path.h"
#include "xh_run.h"

enum { XH_MOST_THREADS = 64 };

/* One thread's part of a layer. */
typedef struct xh_scratch {
    xh_run_of_words *runs; /* as many as the largest kernel has taps */
    int32_t *window;       /* 4 windows of codes, or 1 for a full product */
} xh_scratch;

struct xh_engine {
    const xh_network *network;
    const xh_path *path;
    void *map[2];      /* where layer i puts its output: map[i & 1]; the input lies in map[1] */
    int32_t *sums;     /* sums of a product whose sign is not fused in the loop, and for a trace */
    uint32_t *packed;  /* a map with its padding written out, or with each group on whole words */
    uint32_t *parity;  /* beside a map that a 3-wide kernel reads: see xh_path.h */
    int32_t *values;   /* a map of codes as int32 */
    int64_t *traced;   /* NULL where no trace was asked for at the start */
    float *real[2];    /* the float operations' vectors */
    xh_scratch scratch[XH_MOST_THREADS];
    size_t scratch_bytes;
    int32_t threads;
    struct xh_pool_of_threads *pool;
    xh_trace trace;
    void *trace_context;
    void *memory;  /* what xh_close frees, or NULL */
    void *observed; /* memory of a trace that was asked for later, or NULL */
    void *extra;    /* scratch of the threads behind the first, or NULL */
};

/* Sizes, in elements or bytes, that the engine's memory must have for a layer. */
static inline int32_t xh_words(int32_t channels) { return (channels + 31) / 32; }
static inline int32_t xh_blocks(int32_t channels) { return (channels + XH_LANES - 1) / XH_LANES; }
size_t xh_tensor_count(const xh_tensor *tensor);
size_t xh_tensor_bytes(const xh_tensor *tensor);

/* Value i in [H][W][C]. */
int64_t xh_value(const xh_tensor *tensor, const void *data, size_t index);
/* All values [H][W][C]. */
void xh_values64(const xh_tensor *tensor, const void *data, int64_t *values);
void xh_values32(const xh_tensor *tensor, const void *data, int32_t *values);

/* Padding or groups make the product read a map rearranged first. */
int xh_product_repacks(const xh_product *product, const xh_tensor *input);
size_t xh_product_packed_words(const xh_product *product, const xh_tensor *input, const xh_tensor *output);
size_t xh_product_parity_words(const xh_product *product, const xh_tensor *input, const xh_tensor *output);
/* The threshold is compared in the block loop itself (else: sums, then signs). */
int xh_product_fuses(const xh_product *product, const xh_tensor *input, const xh_tensor *output);

void xh_run_product(xh_engine *engine, const xh_product *product, const xh_tensor *input, const void *from,
                    const xh_tensor *output, void *to, int32_t *sums);
/* The same from codes; the sums always leave. */
void xh_run_product_of_codes(xh_engine *engine, const xh_product *product, const xh_tensor *input, const void *from,
                             const xh_tensor *output, int32_t *sums);
void xh_run_full(xh_engine *engine, const xh_full *full, const xh_tensor *input, const void *from,
                 const xh_tensor *output, void *to);

int xh_lookup_run(const xh_lookup *lookup, const xh_tensor *input, const void *from, const xh_tensor *output,
                  void *to);
void xh_sign_run(const xh_sign *sign, int32_t groups, const xh_tensor *input, const void *from,
                 const xh_tensor *output, uint32_t *to);
void xh_levels_run(const xh_levels *levels, const xh_tensor *input, const void *from, const xh_tensor *output,
                   void *to);
void xh_pool_run(const xh_pool *pool, const xh_tensor *input, const void *from, const xh_tensor *output,
                 void *to);
void xh_reshape_run(const xh_tensor *input, const void *from, const xh_tensor *output, void *to);

/* Floats that the operations need at once. */
size_t xh_host_floats(const xh_network *network);
void xh_host_run(xh_engine *engine, const xh_tensor *output, const void *from, float *scores);

/* Calls part(context, i, scratch of a thread) for i in 0 .. count - 1, divided over the threads. */
typedef void (*xh_part)(void *context, int32_t index, xh_scratch *scratch);
void xh_divide(xh_engine *engine, int32_t count, xh_part part, void *context);
int xh_threads_start(xh_engine *engine, int32_t count);
void xh_threads_stop(xh_engine *engine);

#endif
