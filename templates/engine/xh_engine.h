/* The engine's state, shared by the files that run its layers. */
#ifndef XH_ENGINE_H
#define XH_ENGINE_H

#include "xh_areas.h"
#include "xh_path.h"
#include "xh_run.h"

enum { XH_MOST_THREADS = 64 };

/* One thread's part of a layer. */
typedef struct xh_scratch {
    int32_t *window; /* 4 windows of codes */
} xh_scratch;

/* The weights of a full-precision layer as the paths read them. */
typedef struct xh_packed {
    const int16_t *weights; /* [groups][blocks][limbs][runs][pairs][16][2] */
    const ptrdiff_t *run;   /* where a window's runs lie in the written-out map */
    int32_t limbs, runs, pairs;
} xh_packed;

/* 8-bit digits of the widest code. */
enum { XH_MOST_DIGITS = 8 };

struct xh_engine {
    const xh_network *network;
    const xh_path *path;
    void **map;        /* the buffers that tensors lie in; the input of a chain lies in map[1] */
    const void **at;   /* where each tensor lies: in a buffer, or in the caller's memory */
    int32_t *sums;     /* sums of a product whose sign is not fused in the loop, and for a trace */
    uint32_t *packed;  /* a map with its padding written out, or with each group on whole words */
    xh_area *area;     /* of the binary product that runs, with its runs */
    xh_run_of_words *runs;
    int32_t *values;   /* a map of codes as int32 */
    const int32_t **ones; /* of layer i: see xh_planes.c; NULL where it has no planes */
    const xh_byte_block **bytes; /* of layer i, where its codes are multiplied byte by byte; else NULL */
    xh_packed *full;   /* of layer i, then of float operation i; zeros where it is no full product */
    int16_t *spread;   /* a full product's map with its padding written out */
    int64_t *whole;    /* a full product's inputs and sums behind the last integer */
    int64_t *traced;   /* NULL where no trace was asked for at the start */
    float *real[2];    /* the float operations' vectors */
    xh_scratch scratch[XH_MOST_THREADS];
    size_t scratch_bytes;
    int32_t threads;
    struct xh_pool_of_threads *pool;
    xh_trace trace;
    void *trace_context;
    xh_watch watch;
    void *watch_context;
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
/* The areas of equal taps of its output map, read from bits or from planes. */
xh_areas xh_product_areas(const xh_product *product, const xh_tensor *input, const xh_tensor *output);
/* The threshold is compared in the block loop itself (else: sums, then signs). */
int xh_product_fuses(const xh_product *product, const xh_tensor *input, const xh_tensor *output);

void xh_run_product(xh_engine *engine, const xh_product *product, const xh_tensor *input, const void *from,
                    const xh_tensor *output, void *to, int32_t *sums);
/* The same from codes; the sums always leave. */
void xh_run_product_of_codes(xh_engine *engine, const xh_product *product, const xh_tensor *input, const void *from,
                             const xh_tensor *output, int32_t *sums);

/* A full product: what its weights, its runs and its written-out map take; its weights packed. */
size_t xh_full_weight_bytes(const xh_full *full, const xh_tensor *input, const xh_tensor *output);
size_t xh_full_runs_bytes(const xh_full *full, const xh_tensor *input, const xh_tensor *output);
size_t xh_full_map_bytes(const xh_full *full, const xh_tensor *input, const xh_tensor *output);
void xh_full_pack(const xh_full *full, const xh_tensor *input, const xh_tensor *output, int16_t *weights,
                  ptrdiff_t *run, xh_packed *packed);
void xh_run_full(xh_engine *engine, const xh_full *full, const xh_packed *packed, const xh_tensor *input,
                 const void *from, const xh_tensor *output, void *to);

/* Sums by bit planes: the words of all planes of a map; a table of the bits of the weights, made once. */
size_t xh_planes_packed_words(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output);
size_t xh_planes_ones_bytes(const xh_planes *planes, const xh_tensor *output);
void xh_planes_count_ones(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output, int32_t *ones);
void xh_run_planes(xh_engine *engine, const xh_planes *planes, const int32_t *ones, const xh_tensor *input,
                   const void *from, const xh_tensor *output, int32_t *to);

/* How many planes a product reads; writes them, [planes][height][width][groups][words]. */
int32_t xh_planes_count(const xh_planes *planes);
void xh_planes_write(xh_engine *engine, const xh_planes *planes, const xh_tensor *input, const void *from,
                     int32_t height, int32_t width, uint32_t *to);
/* Where term i's first plane lies, and how many it takes. */
int32_t xh_planes_of_term(const xh_planes *planes, int32_t term, int32_t *first);
/* What a bit of its plane i that differs takes from the sum. */
int32_t xh_planes_factor(const xh_planes *planes, const xh_tensor *input, int32_t term, int32_t i);

/* The same sums by multiplying bytes, where that is faster: what the weights, the runs and the written-out map
 * take; the weights made once. */
int xh_bytes_suit(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output);
size_t xh_bytes_weight_bytes(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output);
size_t xh_bytes_runs_bytes(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output);
size_t xh_bytes_map_bytes(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output);
void xh_bytes_pack(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output, int8_t *weights,
                   ptrdiff_t *run, xh_byte_block *block);
void xh_run_bytes(xh_engine *engine, const xh_planes *planes, const xh_byte_block *block, const xh_tensor *input,
                  const void *from, const xh_tensor *output, int32_t *to);

/* The buffers of a network; the one that layer i writes, or (-1) that the input lies in. */
int32_t xh_buffers_of(const xh_network *network);
int32_t xh_buffer_of_layer(const xh_network *network, int32_t i);
/* Layer i is one that the engine runs, and reads what is still there. */
int xh_layer_is_sound(const xh_network *network, int32_t i);

/* The k-th tensor that a layer reads, -1 past the last. */
int32_t xh_layer_input(const xh_layer *layer, int32_t k);
/* One of the kinds of xh_pass. */
int xh_run_pass(xh_engine *engine, const xh_pass *pass);
void xh_sign_of_groups(const xh_sign *sign, int32_t groups, const int32_t *sums, const xh_tensor *output, uint32_t *to);
void xh_pool_bits(const xh_pool *pool, const xh_tensor *input, const uint32_t *from, const xh_tensor *output,
                  uint32_t *to);
void xh_reshape_run(const xh_tensor *input, const void *from, const xh_tensor *output, void *to);

/* A full product on real values as one on integers. */
typedef struct xh_host_product {
    xh_full full;
    xh_tensor input, output;
} xh_host_product;
xh_host_product xh_host_as_product(const xh_host *op);

/* Floats that the operations need at once. */
size_t xh_host_floats(const xh_network *network);
void xh_host_run(xh_engine *engine, const xh_tensor *output, const void *from, float *scores);

/* Calls part(context, i, scratch of a thread) for i in 0 .. count - 1, divided over the threads. */
typedef void (*xh_part)(void *context, int32_t index, xh_scratch *scratch);
void xh_divide(xh_engine *engine, int32_t count, xh_part part, void *context);
int xh_threads_start(xh_engine *engine, int32_t count);
void xh_threads_stop(xh_engine *engine);

#endif
