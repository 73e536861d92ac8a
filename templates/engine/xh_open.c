/* Opens an engine: checks the network, chooses the path, lays out all memory that runs use. */
#define _POSIX_C_SOURCE 200809L
#include "xh_run.h"

#include <stdlib.h>
#include <string.h>

#include "xh_engine.h"

static const size_t aligned = 64;

static size_t rounded(size_t bytes) { return (bytes + aligned - 1) / aligned * aligned; }

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* What the parts of the engine's memory must hold, in bytes. */
typedef struct needs {
    size_t maps, sums, packed, values, traced, real, areas, runs, window; /* `maps`: of all buffers, each rounded */
    size_t full, spread, whole; /* `full`: every full product's weights and runs, each rounded */
    size_t ones;                /* of every product by planes, each rounded */
} needs;

/* A load whose address equals that of a store under way in its low 12 bits waits for it on most
 * processors.  A layer reads its input and writes its output in step, so buffers start at
 * different places of a page; a quarter of one or more lies between any two that a chain uses. */
enum { PAGE = 4096, QUARTER = PAGE / 4 };

static void measure_full(const xh_full *full, const xh_tensor *in, const xh_tensor *out, needs *need)
{
    need->full += rounded(xh_full_weight_bytes(full, in, out)) + rounded(xh_full_runs_bytes(full, in, out));
    need->spread = larger(need->spread, xh_full_map_bytes(full, in, out));
}

static size_t buffer_bytes(const xh_network *n, int32_t buffer)
{
    size_t most = 0;
    for (int32_t i = -1; i < n->layers; i++)
        if (xh_buffer_of_layer(n, i) == buffer)
            most = larger(most, xh_tensor_bytes(&n->tensor[i < 0 ? 0 : n->layer[i].output]));
    return most;
}

static void measure_areas(const xh_product *p, const xh_tensor *in, const xh_tensor *out, needs *need)
{
    const xh_areas areas = xh_product_areas(p, in, out);
    need->areas = larger(need->areas, areas.areas * sizeof(xh_area));
    need->runs = larger(need->runs, areas.runs * sizeof(xh_run_of_words));
}

static void measure_product(const xh_product *p, const xh_tensor *in, const xh_tensor *out, int traced, needs *need)
{
    const size_t taps = (size_t)p->window.kernel_h * (size_t)p->window.kernel_w;
    need->packed = larger(need->packed, xh_product_packed_words(p, in, out) * sizeof(uint32_t));
    if (p->sign && (traced || !xh_product_fuses(p, in, out)))
        need->sums = larger(need->sums, xh_tensor_count(out) * sizeof(int32_t));
    if (in->format == XH_BITS) {
        measure_areas(p, in, out, need);
    } else {
        need->values = larger(need->values, xh_tensor_count(in) * sizeof(int32_t));
        need->window = larger(need->window, 4 * taps * (size_t)(in->channels / p->groups) * sizeof(int32_t));
    }
}

static void measure_planes(const xh_planes *p, const xh_tensor *in, const xh_tensor *out, needs *need)
{
    measure_areas(&p->product, in, out, need);
    need->packed = larger(need->packed, xh_planes_packed_words(p, in, out) * sizeof(uint32_t));
    need->ones += rounded(xh_planes_ones_bytes(p, out));
    if (xh_bytes_suit(p, in, out)) {
        need->packed = larger(need->packed, xh_bytes_map_bytes(p, in, out));
        need->ones += rounded(sizeof(xh_byte_block)) + rounded(xh_bytes_weight_bytes(p, in, out)) +
                      rounded(xh_bytes_runs_bytes(p, in, out));
    }
}

static int measure(const xh_network *n, int traced, needs *need)
{
    if (n->chip_input >= 0 && n->chip_bits != 1 && n->chip_bits != 8 && n->chip_bits != 16)
        return XH_BAD_NETWORK;
    memset(need, 0, sizeof *need);
    for (int32_t b = 0; b < xh_buffers_of(n); b++)
        need->maps += rounded(buffer_bytes(n, b)) + PAGE;
    for (int32_t i = 0; i < n->layers; i++) {
        const xh_layer *layer = &n->layer[i];
        if (!xh_layer_is_sound(n, i))
            return XH_BAD_NETWORK;
        const xh_tensor *in = &n->tensor[layer->input], *out = &n->tensor[layer->output];
        if (layer->kind == XH_PRODUCT)
            measure_product(layer->data, in, out, traced, need);
        else if (layer->kind == XH_PLANES)
            measure_planes(layer->data, in, out, need);
        else if (layer->kind == XH_FULL)
            measure_full(layer->data, in, out, need);
    }
    if (need->ones)
        need->ones += 2 * rounded((size_t)n->layers * sizeof(void *));
    for (int32_t i = 0; i < n->hosts; i++) {
        if (n->host[i].kind != XH_HOSTFULL)
            continue;
        const xh_host_product p = xh_host_as_product(&n->host[i]);
        measure_full(&p.full, &p.input, &p.output, need);
        need->whole = larger(need->whole, (xh_tensor_count(&p.input) + xh_tensor_count(&p.output)) * sizeof(int64_t));
    }
    if (need->full)
        need->full += rounded((size_t)(n->layers + n->hosts) * sizeof(xh_packed));
    for (int32_t t = 0; traced && t < n->tensors; t++)
        need->traced = larger(need->traced, xh_tensor_count(&n->tensor[t]) * sizeof(int64_t));
    need->real = xh_host_floats(n) * sizeof(float);
    return XH_OK;
}

static char *at_quarter(char *next, uintptr_t quarter)
{
    return next + (quarter * QUARTER - (uintptr_t)next) % PAGE;
}

/* The scratch of a thread beyond the first is allocated when it is asked for. */
static size_t total(const xh_network *n, const needs *need)
{
    return rounded(sizeof(xh_engine)) + need->maps + rounded(need->sums) + rounded(need->packed) +
           rounded(need->areas) + rounded(need->values) + rounded(need->traced) + 2 * rounded(need->real) +
           rounded(need->runs) + rounded(need->window) + need->full + need->ones + rounded(need->spread) +
           rounded(need->whole) + rounded((size_t)n->tensors * sizeof(void *)) +
           rounded((size_t)xh_buffers_of(n) * sizeof(void *)) + (size_t)PAGE;
}

size_t xh_engine_bytes(const xh_network *network, int traced)
{
    needs need;
    if (network == NULL || measure(network, traced, &need) != XH_OK)
        return 0;
    return total(network, &need);
}

static char *pack_one(const xh_full *full, const xh_tensor *in, const xh_tensor *out, char *next, xh_packed *packed)
{
    int16_t *weights = (void *)next;
    next += rounded(xh_full_weight_bytes(full, in, out));
    xh_full_pack(full, in, out, weights, (void *)next, packed);
    return next + rounded(xh_full_runs_bytes(full, in, out));
}

/* The full products' weights as every path reads them, behind the list of them. */
static void pack_all(xh_engine *e, char *next)
{
    const xh_network *n = e->network;
    e->full = (void *)next;
    memset(e->full, 0, (size_t)(n->layers + n->hosts) * sizeof *e->full);
    next += rounded((size_t)(n->layers + n->hosts) * sizeof *e->full);
    for (int32_t i = 0; i < n->layers; i++)
        if (n->layer[i].kind == XH_FULL)
            next = pack_one(n->layer[i].data, &n->tensor[n->layer[i].input], &n->tensor[n->layer[i].output], next,
                            &e->full[i]);
    for (int32_t i = 0; i < n->hosts; i++) {
        if (n->host[i].kind != XH_HOSTFULL)
            continue;
        const xh_host_product p = xh_host_as_product(&n->host[i]);
        next = pack_one(&p.full, &p.input, &p.output, next, &e->full[n->layers + i]);
    }
}

/* What the products of codes need beside their tables, behind the lists of it: the bits of their weights or,
 * where the path multiplies bytes, the weights as bytes. */
static void pack_codes(xh_engine *e, char *next)
{
    const xh_network *n = e->network;
    e->ones = (void *)next;
    memset(e->ones, 0, (size_t)n->layers * sizeof *e->ones);
    next += rounded((size_t)n->layers * sizeof *e->ones);
    e->bytes = (void *)next;
    memset(e->bytes, 0, (size_t)n->layers * sizeof *e->bytes);
    next += rounded((size_t)n->layers * sizeof *e->bytes);
    for (int32_t i = 0; i < n->layers; i++) {
        if (n->layer[i].kind != XH_PLANES)
            continue;
        const xh_planes *planes = n->layer[i].data;
        const xh_tensor *in = &n->tensor[n->layer[i].input], *out = &n->tensor[n->layer[i].output];
        if (e->path->bytes != NULL && xh_bytes_suit(planes, in, out)) {
            xh_byte_block *block = (void *)next;
            int8_t *weights = (void *)(next += rounded(sizeof *block));
            ptrdiff_t *run = (void *)(next += rounded(xh_bytes_weight_bytes(planes, in, out)));
            next += rounded(xh_bytes_runs_bytes(planes, in, out));
            xh_bytes_pack(planes, in, out, weights, run, block);
            e->bytes[i] = block;
        } else {
            xh_planes_count_ones(planes, in, out, (int32_t *)(void *)next);
            e->ones[i] = (void *)next;
            next += rounded(xh_planes_ones_bytes(planes, out));
        }
    }
}

int xh_place(const xh_network *network, const char *path, void *memory, size_t bytes, xh_engine **engine)
{
    needs need;
    int status;
    if (network == NULL || memory == NULL || engine == NULL || (uintptr_t)memory % aligned != 0)
        return XH_BAD_ARGUMENT;
    const xh_path *chosen = xh_choose_path(path, &status);
    if (chosen == NULL)
        return status;
    status = measure(network, 1, &need);
    if (status == XH_OK && total(network, &need) > bytes)
        status = measure(network, 0, &need);
    if (status != XH_OK)
        return status;
    if (total(network, &need) > bytes)
        return XH_NO_MEMORY;
    xh_engine *e = memory;
    memset(e, 0, sizeof *e);
    char *next = (char *)memory + rounded(sizeof *e);
#define TAKE(bytes) (next += rounded(bytes), (void *)(next - rounded(bytes)))
    e->network = network;
    e->path = chosen;
    e->at = TAKE((size_t)network->tensors * sizeof *e->at);
    e->map = TAKE((size_t)xh_buffers_of(network) * sizeof *e->map);
    for (int32_t b = 0; b < xh_buffers_of(network); b++) {
        static const uintptr_t quarter[] = {0, 2, 1, 3};
        next = at_quarter(next, quarter[b % 4]);
        e->map[b] = TAKE(buffer_bytes(network, b));
    }
    for (int32_t i = -1; i < network->layers; i++)
        e->at[i < 0 ? 0 : network->layer[i].output] = e->map[xh_buffer_of_layer(network, i)];
    e->area = TAKE(need.areas);
    e->runs = TAKE(need.runs);
    e->sums = TAKE(need.sums);
    e->packed = TAKE(need.packed);
    e->values = TAKE(need.values);
    e->traced = need.traced ? TAKE(need.traced) : NULL;
    e->real[0] = TAKE(need.real);
    e->real[1] = TAKE(need.real);
    e->scratch[0].window = TAKE(need.window);
    e->spread = TAKE(need.spread);
    e->whole = TAKE(need.whole);
    if (need.full)
        pack_all(e, TAKE(need.full));
    if (need.ones)
        pack_codes(e, TAKE(need.ones));
#undef TAKE
    e->scratch_bytes = rounded(need.window);
    e->threads = 1;
    *engine = e;
    return XH_OK;
}

int xh_open(const xh_network *network, const char *path, xh_engine **engine)
{
    needs need;
    if (network == NULL || engine == NULL)
        return XH_BAD_ARGUMENT;
    const int status = measure(network, 0, &need);
    if (status != XH_OK)
        return status;
    const size_t bytes = xh_engine_bytes(network, 0);
    void *memory = NULL;
    if (posix_memalign(&memory, aligned, bytes) != 0)
        return XH_NO_MEMORY;
    const int placed = xh_place(network, path, memory, bytes, engine);
    if (placed != XH_OK) {
        free(memory);
        return placed;
    }
    (*engine)->memory = memory;
    return XH_OK;
}

void xh_close(xh_engine *engine)
{
    if (engine == NULL)
        return;
    xh_threads_stop(engine);
    free(engine->observed);
    free(engine->extra);
    free(engine->memory);
}

const char *xh_path_name(const xh_engine *engine) { return engine->path->name; }

int xh_set_threads(xh_engine *engine, int count)
{
    if (engine == NULL || count < 1 || count > XH_MOST_THREADS)
        return XH_BAD_ARGUMENT;
    xh_threads_stop(engine);
    free(engine->extra);
    engine->extra = NULL;
    if (count == 1)
        return XH_OK;
    if (posix_memalign(&engine->extra, aligned, engine->scratch_bytes * (size_t)(count - 1) + aligned) != 0) {
        engine->extra = NULL;
        return XH_NO_MEMORY;
    }
    char *next = engine->extra;
    for (int i = 1; i < count; i++, next += engine->scratch_bytes)
        engine->scratch[i].window = (void *)next;
    return xh_threads_start(engine, count);
}

int xh_set_trace(xh_engine *engine, xh_trace trace, void *context)
{
    if (engine == NULL)
        return XH_BAD_ARGUMENT;
    if (trace != NULL && engine->traced == NULL) {
        needs need;
        if (engine->memory == NULL)
            return XH_NO_MEMORY;
        measure(engine->network, 1, &need);
        if (posix_memalign(&engine->observed, aligned, rounded(need.traced) + rounded(need.sums) + aligned) != 0) {
            engine->observed = NULL;
            return XH_NO_MEMORY;
        }
        engine->traced = engine->observed;
        engine->sums = (void *)((char *)engine->observed + rounded(need.traced));
    }
    engine->trace = trace;
    engine->trace_context = context;
    return XH_OK;
}
