/* The executor: walks a network's layers. */
#include "xh_run.h"

#include <string.h>

#include "xh_engine.h"

const char *xh_status_text(int status)
{
    switch ((xh_status)status) {
    case XH_OK:
        return "no error";
    case XH_NO_MEMORY:
        return "there is not enough memory for the engine";
    case XH_UNKNOWN_PATH:
        return "no such path in this library: XH_PATH is one of avx512, avx2, ssse3, popcnt (x86), neon (ARM) "
               "or plain";
    case XH_NO_PATH:
        return "this processor lacks the instructions of the path that was asked for or built";
    case XH_BAD_NETWORK:
        return "the network's tables describe a layer that the engine does not run";
    case XH_BAD_INPUT:
        return "an input value lies outside of the range that the network was declared to take";
    case XH_BAD_ARGUMENT:
        return "a pointer is null, or the network has no such part";
    case XH_BAD_SIZE:
        return "a buffer's length is not what the network takes or gives";
    case XH_NO_THREADS:
        return "threads could not be started: build with -DXH_THREADS -pthread, ask for 1 to 64";
    }
    return "unknown status";
}

size_t xh_input_bytes(const xh_network *network)
{
    const xh_tensor *input = &network->tensor[0];
    return input->format == XH_BITS ? xh_tensor_count(input) : xh_tensor_bytes(input);
}

static void show(xh_engine *engine, int32_t tensor, const void *data)
{
    const xh_tensor *t = &engine->network->tensor[tensor];
    if (engine->trace == NULL)
        return;
    xh_values64(t, data, engine->traced);
    engine->trace(engine->trace_context, tensor, engine->traced, xh_tensor_count(t));
}

/* The user's frame as tensor 0: packed, or checked and read in place. */
static int take_input(xh_engine *engine, const void *input, size_t bytes)
{
    const xh_network *n = engine->network;
    const xh_tensor *t = &n->tensor[0];
    void *own = engine->map[n->buffer ? n->buffer[0] : 1];
    if (bytes != xh_input_bytes(n))
        return XH_BAD_SIZE;
    engine->at[0] = own;
    if (t->format == XH_BITS) {
        const int8_t *value = input;
        uint32_t *word = own;
        const size_t pixels = (size_t)t->height * (size_t)t->width;
        for (size_t p = 0; p < pixels; p++) {
            for (int32_t c0 = 0; c0 < t->channels; c0 += 32) {
                const int32_t many = t->channels - c0 < 32 ? t->channels - c0 : 32;
                uint32_t bits = 0;
                for (int32_t b = 0; b < many; b++, value++) {
                    if (*value != 1 && *value != -1)
                        return XH_BAD_INPUT;
                    bits |= (uint32_t)(*value > 0) << b;
                }
                *word++ = bits;
            }
        }
        return XH_OK;
    }
    if (t->format == XH_U8 || t->format == XH_I8)
        engine->at[0] = input;
    else
        memcpy(own, input, bytes); /* the caller's bytes need not be aligned */
    if (n->input_low != n->input_high) {
        const size_t count = xh_tensor_count(t);
        for (size_t i = 0; i < count; i++) {
            const int64_t v = xh_value(t, engine->at[0], i);
            if (v < n->input_low || v > n->input_high)
                return XH_BAD_INPUT;
        }
    }
    return XH_OK;
}

void xh_set_watch(xh_engine *engine, xh_watch watch, void *context)
{
    engine->watch = watch;
    engine->watch_context = context;
}

static void product(xh_engine *engine, const xh_layer *layer, const xh_tensor *in, const void *from,
                    const xh_tensor *out, void *to)
{
    const xh_product *p = layer->data;
    if (p->sign == NULL) {
        xh_run_product(engine, p, in, from, out, to, NULL);
        return;
    }
    const int fuses = xh_product_fuses(p, in, out);
    if (engine->trace != NULL || !fuses) {
        const xh_tensor sums = {NULL, out->channels, out->height, out->width, XH_I32};
        xh_run_product(engine, p, in, from, out, to, engine->sums);
        show(engine, p->sums, engine->sums);
        if (!fuses && p->groups > 1)
            xh_sign_of_groups(p->sign, p->groups, engine->sums, out, to);
        else if (!fuses)
            xh_run_pass(engine, &(xh_pass){XH_SIGN, p->sign, &sums, out, engine->sums, to, NULL, NULL});
    }
    if (fuses)
        xh_run_product(engine, p, in, from, out, to, NULL);
}

/* One layer; where it is a pass, `pass` says of what. */
static int run_layer(xh_engine *engine, int32_t i, const xh_pass *pass)
{
    const xh_layer *layer = &engine->network->layer[i];
    switch (layer->kind) {
    case XH_PRODUCT:
        product(engine, layer, pass->input, pass->from, pass->output, pass->to);
        return XH_OK;
    case XH_PLANES:
        if (engine->bytes[i] != NULL)
            xh_run_bytes(engine, layer->data, engine->bytes[i], pass->input, pass->from, pass->output, pass->to);
        else
            xh_run_planes(engine, layer->data, engine->ones[i], pass->input, pass->from, pass->output, pass->to);
        return XH_OK;
    case XH_FULL:
        xh_run_full(engine, layer->data, &engine->full[i], pass->input, pass->from, pass->output, pass->to);
        return XH_OK;
    case XH_RESHAPE:
        xh_reshape_run(pass->input, pass->from, pass->output, pass->to);
        return XH_OK;
    case XH_POOL:
        if (pass->input->format == XH_BITS) {
            xh_pool_bits(layer->data, pass->input, pass->from, pass->output, pass->to);
            return XH_OK;
        }
        return xh_run_pass(engine, pass);
    default:
        return xh_run_pass(engine, pass);
    }
}

/* Layers [first, end); where the tensors that they read lie is known. */
static int walk(xh_engine *engine, int32_t first, int32_t end)
{
    const xh_network *n = engine->network;
    for (int32_t i = first; i < end; i++) {
        const xh_layer *layer = &n->layer[i];
        void *to = engine->map[n->buffer ? n->buffer[layer->output] : i & 1];
        const xh_pass pass = {layer->kind, layer->data, &n->tensor[layer->input], &n->tensor[layer->output],
                              engine->at[layer->input], to, n->tensor, engine->at};
        const int status = run_layer(engine, i, &pass);
        if (status != XH_OK)
            return status;
        engine->at[layer->output] = to;
        show(engine, layer->output, to);
        if (engine->watch != NULL)
            engine->watch(engine->watch_context, i);
    }
    return XH_OK;
}

static int32_t last_index(const xh_network *n) { return n->layers ? n->layer[n->layers - 1].output : 0; }

static void finish(xh_engine *engine, float *scores)
{
    const xh_network *n = engine->network;
    xh_host_run(engine, &n->tensor[last_index(n)], engine->at[last_index(n)], scores);
    if (engine->watch != NULL)
        engine->watch(engine->watch_context, n->layers);
}

int xh_run(xh_engine *engine, const void *input, size_t input_bytes, float *scores)
{
    if (engine == NULL || input == NULL || scores == NULL)
        return XH_BAD_ARGUMENT;
    int status = take_input(engine, input, input_bytes);
    if (status != XH_OK)
        return status;
    show(engine, 0, engine->at[0]);
    if (engine->watch != NULL)
        engine->watch(engine->watch_context, -1);
    status = walk(engine, 0, engine->network->layers);
    if (status == XH_OK)
        finish(engine, scores);
    return status;
}

/* The bits of a map, pixel behind pixel without a gap, as the accelerator takes them. */
static void join_bits(const xh_tensor *t, const uint32_t *word, uint8_t *to)
{
    const size_t pixels = (size_t)t->height * (size_t)t->width;
    uint64_t waiting = 0;
    int filled = 0;
    for (size_t p = 0; p < pixels; p++) {
        for (int32_t c = 0; c < t->channels; c += 32) {
            const int many = t->channels - c < 32 ? (int)(t->channels - c) : 32;
            waiting |= (uint64_t)*word++ << filled;
            for (filled += many; filled >= 8; filled -= 8, waiting >>= 8)
                *to++ = (uint8_t)waiting;
        }
    }
    if (filled)
        *to = (uint8_t)waiting;
}

int xh_front_at(xh_engine *engine, const void *input, size_t input_bytes, uint8_t *room, size_t room_bytes,
                const uint8_t **data, size_t *used)
{
    if (engine == NULL || input == NULL || room == NULL || engine->network->chip_input < 0)
        return XH_BAD_ARGUMENT;
    const xh_network *n = engine->network;
    const xh_tensor *t = &n->tensor[n->chip_input];
    const size_t count = xh_tensor_count(t);
    const size_t bytes = n->chip_bits == 1 ? (count + 7) / 8 : count * (size_t)(n->chip_bits / 8);
    if (room_bytes < bytes)
        return XH_BAD_SIZE;
    int status = take_input(engine, input, input_bytes);
    if (status != XH_OK)
        return status;
    show(engine, 0, engine->at[0]);
    status = walk(engine, 0, n->front_layers);
    if (status != XH_OK)
        return status;
    const void *codes = engine->at[n->chip_input];
    *used = bytes;
    if (n->chip_bits == 8 && xh_tensor_bytes(t) == count) {
        *data = codes;
        return XH_OK;
    }
    *data = room;
    if (t->format == XH_BITS) {
        join_bits(t, codes, room);
        return XH_OK;
    }
    memset(room, 0, bytes);
    for (size_t i = 0; i < count; i++) {
        const int64_t v = xh_value(t, codes, i);
        if (n->chip_bits == 1) {
            room[i / 8] = (uint8_t)(room[i / 8] | (v & 1) << (i % 8));
        } else if (n->chip_bits == 8) {
            room[i] = (uint8_t)(v & 255);
        } else {
            room[2 * i] = (uint8_t)(v & 255);
            room[2 * i + 1] = (uint8_t)(v >> 8 & 255);
        }
    }
    return XH_OK;
}

int xh_run_front(xh_engine *engine, const void *input, size_t input_bytes, uint8_t *frame, size_t frame_bytes)
{
    const uint8_t *data;
    size_t count;
    const int status = xh_front_at(engine, input, input_bytes, frame, frame_bytes, &data, &count);
    if (status != XH_OK)
        return status;
    if (data != frame)
        memcpy(frame, data, count);
    memset(frame + count, 0, frame_bytes - count);
    return XH_OK;
}

/* Numbers as the accelerator gives them, to the map that the layers behind it read. */
static void take_numbers(const xh_tensor *t, const int32_t *numbers, void *to)
{
    const size_t count = xh_tensor_count(t);
    if (t->format == XH_BITS)
        memset(to, 0, xh_tensor_bytes(t));
    for (size_t i = 0; i < count; i++) {
        const int32_t v = numbers[i];
        switch (t->format) {
        case XH_BITS: {
            const size_t channels = (size_t)t->channels, c = i % channels;
            uint32_t *pixel = (uint32_t *)to + i / channels * (size_t)xh_words(t->channels);
            pixel[c / 32] |= (uint32_t)(v > 0) << (c % 32);
            break;
        }
        case XH_U8:
        case XH_I8:
            ((uint8_t *)to)[i] = (uint8_t)v;
            break;
        case XH_U16:
        case XH_I16:
            ((uint16_t *)to)[i] = (uint16_t)v;
            break;
        case XH_I32:
            ((int32_t *)to)[i] = v;
            break;
        case XH_I64:
            ((int64_t *)to)[i] = v;
            break;
        }
    }
}

int xh_run_back(xh_engine *engine, const int32_t *sums, size_t count, float *scores)
{
    if (engine == NULL || sums == NULL || scores == NULL || engine->network->chip_output < 0)
        return XH_BAD_ARGUMENT;
    const xh_network *n = engine->network;
    const xh_tensor *t = &n->tensor[n->chip_output];
    if (count != xh_tensor_count(t))
        return XH_BAD_SIZE;
    if (t->format == XH_I32) {
        engine->at[n->chip_output] = sums;
    } else {
        /* where the layer that the accelerator takes the place of would write */
        void *own = engine->map[xh_buffer_of_layer(n, n->back_layer - 1)];
        take_numbers(t, sums, own);
        engine->at[n->chip_output] = own;
    }
    show(engine, n->chip_output, engine->at[n->chip_output]);
    const int status = walk(engine, n->back_layer, n->layers);
    if (status == XH_OK)
        finish(engine, scores);
    return status;
}
