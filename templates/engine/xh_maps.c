/* Tensors' values, and the operations on whole maps that are neither products nor passes. */
#include <string.h>

#include "xh_engine.h"

size_t xh_tensor_count(const xh_tensor *tensor)
{
    return (size_t)tensor->channels * (size_t)tensor->height * (size_t)tensor->width;
}

size_t xh_tensor_bytes(const xh_tensor *tensor)
{
    const size_t pixels = (size_t)tensor->height * (size_t)tensor->width;
    switch (tensor->format) {
    case XH_BITS:
        return pixels * (size_t)xh_words(tensor->channels) * sizeof(uint32_t);
    case XH_U8:
    case XH_I8:
        return xh_tensor_count(tensor);
    case XH_U16:
    case XH_I16:
        return xh_tensor_count(tensor) * 2;
    case XH_I32:
        return xh_tensor_count(tensor) * 4;
    case XH_I64:
        return xh_tensor_count(tensor) * 8;
    }
    return 0;
}

int64_t xh_value(const xh_tensor *tensor, const void *data, size_t i)
{
    switch (tensor->format) {
    case XH_BITS: {
        const size_t channels = (size_t)tensor->channels, c = i % channels;
        const uint32_t *pixel = (const uint32_t *)data + i / channels * (size_t)xh_words(tensor->channels);
        return pixel[c / 32] >> (c % 32) & 1 ? 1 : -1;
    }
    case XH_U8:
        return ((const uint8_t *)data)[i];
    case XH_I8:
        return ((const int8_t *)data)[i];
    case XH_U16:
        return ((const uint16_t *)data)[i];
    case XH_I16:
        return ((const int16_t *)data)[i];
    case XH_I32:
        return ((const int32_t *)data)[i];
    case XH_I64:
        return ((const int64_t *)data)[i];
    }
    return 0;
}

void xh_values64(const xh_tensor *tensor, const void *data, int64_t *values)
{
    const size_t count = xh_tensor_count(tensor);
    for (size_t i = 0; i < count; i++)
        values[i] = xh_value(tensor, data, i);
}

void xh_values32(const xh_tensor *tensor, const void *data, int32_t *values)
{
    const size_t count = xh_tensor_count(tensor);
    if (tensor->format == XH_U8) {
        for (size_t i = 0; i < count; i++)
            values[i] = ((const uint8_t *)data)[i];
    } else if (tensor->format == XH_I8) {
        for (size_t i = 0; i < count; i++)
            values[i] = ((const int8_t *)data)[i];
    } else {
        for (size_t i = 0; i < count; i++)
            values[i] = (int32_t)xh_value(tensor, data, i);
    }
}

int32_t xh_layer_input(const xh_layer *layer, int32_t k)
{
    if (k == 0)
        return layer->input;
    switch (layer->kind) {
    case XH_ADD:
        return k < ((const xh_add *)layer->data)->inputs ? ((const xh_add *)layer->data)->tensor[k] : -1;
    case XH_CONCAT:
        return k < ((const xh_concat *)layer->data)->inputs ? ((const xh_concat *)layer->data)->tensor[k] : -1;
    case XH_MULTIPLY:
        return k == 1 ? ((const xh_multiply *)layer->data)->by : -1;
    default:
        return -1;
    }
}

/* ---- passes over threads ---- */

typedef struct pass_work {
    const xh_pass *pass;
    xh_pixels_of_pass run;
    size_t pixels;
    int32_t parts;
    int status;
} pass_work;

static void pass_part(void *context, int32_t index, xh_scratch *scratch)
{
    pass_work *k = context;
    (void)scratch;
    const int status = k->run(k->pass, k->pixels * (size_t)index / (size_t)k->parts,
                              k->pixels * (size_t)(index + 1) / (size_t)k->parts);
    if (status != XH_OK)
        k->status = status;
}

static int is_wide(const xh_pass *pass)
{
    const xh_layer layer = {pass->kind, 0, 0, pass->data};
    if (pass->input->format == XH_I64 || pass->output->format == XH_I64)
        return 1;
    for (int32_t k = 1; xh_layer_input(&layer, k) >= 0; k++)
        if (pass->tensor[xh_layer_input(&layer, k)].format == XH_I64)
            return 1;
    return pass->kind == XH_LEVELS && ((const xh_levels *)pass->data)->at == NULL;
}

int xh_run_pass(xh_engine *engine, const xh_pass *pass)
{
    pass_work k = {pass, is_wide(pass) ? xh_wide_pass : engine->path->pass,
                   (size_t)pass->output->height * (size_t)pass->output->width, 1, XH_OK};
    /* a table alone can fail, and only one thread may say so */
    if (engine->threads > 1 && pass->kind != XH_LOOKUP)
        k.parts = k.pixels < 4 * (size_t)engine->threads ? (int32_t)k.pixels : 4 * engine->threads;
    xh_divide(engine, k.parts, pass_part, &k);
    return k.status;
}

/* ---- maps of bits ---- */

void xh_sign_of_groups(const xh_sign *sign, int32_t groups, const int32_t *sums, const xh_tensor *output, uint32_t *to)
{
    const int32_t channels = output->channels, words = xh_words(channels);
    const int32_t out = channels / groups, lanes = xh_blocks(out) * XH_LANES;
    const size_t pixels = (size_t)output->height * (size_t)output->width;
    for (size_t pixel = 0; pixel < pixels; pixel++, sums += channels) {
        const int32_t *at = sign->at + (sign->positions > 1 ? pixel * (size_t)sign->padded : 0);
        uint32_t *word = to + pixel * (size_t)words;
        for (int32_t c0 = 0; c0 < channels; c0 += 32) {
            const int32_t many = channels - c0 < 32 ? channels - c0 : 32;
            uint32_t bits = 0;
            for (int32_t b = 0; b < many; b++) {
                const int32_t c = c0 + b;
                bits |= (uint32_t)(sums[c] >= at[c / out * lanes + c % out]) << b;
            }
            word[c0 / 32] = bits ^ (sign->flip ? sign->flip[c0 / 32] : 0);
        }
    }
}

/* The part [*first, *end) of a window's taps that lies on the map. */
static void taps_inside(int32_t start, int32_t dilation, int32_t kernel, int32_t size, int32_t *first, int32_t *end)
{
    *first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    *end = start >= size ? 0 : (size - start + dilation - 1) / dilation;
    if (*end > kernel)
        *end = kernel;
}

void xh_pool_bits(const xh_pool *pool, const xh_tensor *input, const uint32_t *from, const xh_tensor *output,
                  uint32_t *to)
{
    const xh_window *w = &pool->window;
    const int32_t words = xh_words(input->channels);
    for (int32_t y = 0; y < output->height; y++) {
        int32_t ky0, ky1;
        const int32_t iy = y * w->stride_h - w->top;
        taps_inside(iy, w->dilation_h, w->kernel_h, input->height, &ky0, &ky1);
        for (int32_t x = 0; x < output->width; x++) {
            int32_t kx0, kx1;
            const int32_t ix = x * w->stride_w - w->left;
            taps_inside(ix, w->dilation_w, w->kernel_w, input->width, &kx0, &kx1);
            for (int32_t k = 0; k < words; k++) {
                uint32_t any = 0, all = 0xffffffffu;
                for (int32_t ky = ky0; ky < ky1; ky++) {
                    const size_t row = (size_t)(iy + ky * w->dilation_h) * (size_t)input->width;
                    for (int32_t kx = kx0; kx < kx1; kx++) {
                        const uint32_t word =
                            from[(row + (size_t)(ix + kx * w->dilation_w)) * (size_t)words + (size_t)k];
                        any |= word;
                        all &= word;
                    }
                }
                const uint32_t minimum = pool->minimum ? pool->minimum[k] : 0;
                *to++ = (any & ~minimum) | (all & minimum);
            }
        }
    }
}

#define TURN(SIZE, TYPE)                                        \
    case SIZE:                                                  \
        for (size_t c = 0; c < channels; c++)                   \
            for (size_t p = 0; p < pixels; p++)                 \
                ((TYPE *)to)[c * pixels + p] = ((const TYPE *)from)[p * channels + c]; \
        break

void xh_reshape_run(const xh_tensor *input, const void *from, const xh_tensor *output, void *to)
{
    const size_t channels = (size_t)input->channels, pixels = (size_t)input->height * (size_t)input->width;
    const size_t count = xh_tensor_count(input);
    if (pixels == 1) {
        memcpy(to, from, xh_tensor_bytes(input));
        return;
    }
    if (input->format == XH_BITS) {
        uint32_t *word = to;
        memset(to, 0, xh_tensor_bytes(output));
        for (size_t c = 0, i = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++, i++)
                word[i / 32] |= (uint32_t)(xh_value(input, from, p * channels + c) > 0) << (i % 32);
        return;
    }
    switch (xh_tensor_bytes(input) / count) {
        TURN(1, uint8_t);
        TURN(2, uint16_t);
        TURN(4, uint32_t);
        TURN(8, uint64_t);
    }
}
