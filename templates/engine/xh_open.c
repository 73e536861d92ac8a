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
    size_t map[2], sums, packed, parity, values, traced, real, runs, window;
} needs;

static int known_formats(const xh_network *n, const xh_layer *layer)
{
    const xh_tensor *in = &n->tensor[layer->input], *out = &n->tensor[layer->output];
    switch (layer->kind) {
    case XH_LOOKUP:
    case XH_LEVELS:
    case XH_RESHAPE:
        return xh_tensor_count(in) == xh_tensor_count(out);
    case XH_SIGN:
        return out->format == XH_BITS;
    case XH_POOL:
        return in->format == out->format && in->channels == out->channels;
    case XH_FULL:
        return out->format == XH_I32 || out->format == XH_I64;
    case XH_PRODUCT: {
        const xh_product *p = layer->data;
        if (p->terms < 1 || p->groups < 1 || in->channels % p->groups || out->channels % p->groups)
            return 0;
        if (in->format == XH_BITS ? p->pad_value < -1 || p->pad_value > 1 : 0)
            return 0;
        for (int32_t t = 0; t < p->terms; t++)
            if (in->format == XH_BITS ? p->term[t].bits == NULL : p->term[t].lanes == NULL)
                return 0;
        return out->format == (p->sign ? XH_BITS : XH_I32) && (p->sign == NULL || p->sums >= 0);
    }
    }
    return 0;
}

static int measure(const xh_network *n, int traced, needs *need)
{
    if (n->chip_input >= 0 && n->chip_bits != 1 && n->chip_bits != 8)
        return XH_BAD_NETWORK;
    memset(need, 0, sizeof *need);
    need->map[1] = xh_tensor_bytes(&n->tensor[0]);
    for (int32_t i = 0; i < n->layers; i++) {
        const xh_layer *layer = &n->layer[i];
        if (layer->input < 0 || layer->input >= n->tensors || layer->output < 0 || layer->output >= n->tensors ||
            layer->input != (i ? n->layer[i - 1].output : 0) || !known_formats(n, layer))
            return XH_BAD_NETWORK;
        const xh_tensor *in = &n->tensor[layer->input], *out = &n->tensor[layer->output];
        need->map[i & 1] = larger(need->map[i & 1], xh_tensor_bytes(out));
        if (layer->kind == XH_PRODUCT) {
            const xh_product *p = layer->data;
            const size_t taps = (size_t)p->window.kernel_h * (size_t)p->window.kernel_w;
            need->runs = larger(need->runs, taps * sizeof(xh_run_of_words));
            need->packed = larger(need->packed, xh_product_packed_words(p, in, out) * sizeof(uint32_t));
            need->parity = larger(need->parity, xh_product_parity_words(p, in, out) * sizeof(uint32_t));
            if (p->sign && (traced || !xh_product_fuses(p, in, out)))
                need->sums = larger(need->sums, xh_tensor_count(out) * sizeof(int32_t));
            if (in->format != XH_BITS) {
                need->values = larger(need->values, xh_tensor_count(in) * sizeof(int32_t));
                need->window =
                    larger(need->window, 4 * taps * (size_t)(in->channels / p->groups) * sizeof(int32_t));
            }
        } else if (layer->kind == XH_FULL) {
            const xh_full *f = layer->data;
            const size_t taps = (size_t)f->window.kernel_h * (size_t)f->window.kernel_w;
            need->values = larger(need->values, xh_tensor_count(in) * sizeof(int32_t));
            need->window = larger(need->window, taps * (size_t)(in->channels / f->groups) * sizeof(int32_t));
        }
    }
    for (int32_t t = 0; traced && t < n->tensors; t++)
        need->traced = larger(need->traced, xh_tensor_count(&n->tensor[t]) * sizeof(int64_t));
    if (n->chip_output >= 0)
        need->map[1] = larger(need->map[1], xh_tensor_bytes(&n->tensor[n->chip_output]));
    need->real = xh_host_floats(n) * sizeof(float);
    return XH_OK;
}

/* A load whose address equals that of a store under way in its low 12 bits waits for it on most
 * processors.  A layer reads its input and parity map and writes its output in step, so the
 * three start at different places of a page; a quarter of one lies between any two. */
enum { PAGE = 4096, QUARTER = PAGE / 4 };

static char *at_quarter(char *next, uintptr_t quarter)
{
    return next + (quarter * QUARTER - (uintptr_t)next) % PAGE;
}

/* The scratch of a thread beyond the first is allocated when it is asked for. */
static size_t total(const needs *need)
{
    return rounded(sizeof(xh_engine)) + rounded(need->map[0]) + rounded(need->map[1]) + rounded(need->sums) +
           rounded(need->packed) + rounded(need->parity) + rounded(need->values) + rounded(need->traced) +
           2 * rounded(need->real) + rounded(need->runs) + rounded(need->window) + 3 * (size_t)PAGE;
}

size_t xh_engine_bytes(const xh_network *network, int traced)
{
    needs need;
    if (network == NULL || measure(network, traced, &need) != XH_OK)
        return 0;
    return total(&need);
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
    if (status == XH_OK && total(&need) > bytes)
        status = measure(network, 0, &need);
    if (status != XH_OK)
        return status;
    if (total(&need) > bytes)
        return XH_NO_MEMORY;
    xh_engine *e = memory;
    memset(e, 0, sizeof *e);
    char *next = (char *)memory + rounded(sizeof *e);
#define TAKE(bytes) (next += rounded(bytes), (void *)(next - rounded(bytes)))
    e->network = network;
    e->path = chosen;
    next = at_quarter(next, 0);
    e->map[0] = TAKE(need.map[0]);
    next = at_quarter(next, 2);
    e->map[1] = TAKE(need.map[1]);
    next = at_quarter(next, 1);
    e->parity = TAKE(need.parity);
    e->sums = TAKE(need.sums);
    e->packed = TAKE(need.packed);
    e->values = TAKE(need.values);
    e->traced = need.traced ? TAKE(need.traced) : NULL;
    e->real[0] = TAKE(need.real);
    e->real[1] = TAKE(need.real);
    e->scratch[0].runs = TAKE(need.runs);
    e->scratch[0].window = TAKE(need.window);
#undef TAKE
    e->scratch_bytes = rounded(need.runs) + rounded(need.window);
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
    needs need;
    measure(engine->network, 0, &need);
    if (posix_memalign(&engine->extra, aligned, engine->scratch_bytes * (size_t)(count - 1) + aligned) != 0) {
        engine->extra = NULL;
        return XH_NO_MEMORY;
    }
    char *next = engine->extra;
    for (int i = 1; i < count; i++, next += engine->scratch_bytes) {
        engine->scratch[i].runs = (void *)next;
        engine->scratch[i].window = (void *)(next + rounded(need.runs));
    }
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
