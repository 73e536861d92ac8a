/* The operations on whole maps that are no products: tables, thresholds standing alone,
 * pools, flattening.  Scalar code. */
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

static void set_value(const xh_tensor *tensor, void *data, size_t i, int64_t value)
{
    switch (tensor->format) {
    case XH_BITS: {
        const size_t channels = (size_t)tensor->channels, c = i % channels;
        uint32_t *word = (uint32_t *)data + i / channels * (size_t)xh_words(tensor->channels) + c / 32;
        const uint32_t bit = 1u << (c % 32);
        *word = value > 0 ? *word | bit : *word & ~bit;
        break;
    }
    case XH_U8:
        ((uint8_t *)data)[i] = (uint8_t)value;
        break;
    case XH_I8:
        ((int8_t *)data)[i] = (int8_t)value;
        break;
    case XH_U16:
        ((uint16_t *)data)[i] = (uint16_t)value;
        break;
    case XH_I16:
        ((int16_t *)data)[i] = (int16_t)value;
        break;
    case XH_I32:
        ((int32_t *)data)[i] = (int32_t)value;
        break;
    case XH_I64:
        ((int64_t *)data)[i] = value;
        break;
    }
}

/* Unused bits of a packed map are 0 whoever writes it. */
static void clear_bits(const xh_tensor *tensor, void *data)
{
    if (tensor->format == XH_BITS)
        memset(data, 0, xh_tensor_bytes(tensor));
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

int xh_lookup_run(const xh_lookup *lookup, const xh_tensor *input, const void *from, const xh_tensor *output,
                  void *to)
{
    const size_t count = xh_tensor_count(input), channels = (size_t)input->channels;
    clear_bits(output, to);
    for (size_t i = 0; i < count; i++) {
        const int64_t entry = xh_value(input, from, i) - lookup->first;
        const size_t table = lookup->tables > 1 ? i % channels : 0;
        if (entry < 0 || entry >= lookup->values)
            return XH_BAD_INPUT;
        set_value(output, to, i, lookup->table[table * (size_t)lookup->values + (size_t)entry]);
    }
    return XH_OK;
}

/* Bit b: whether x[b] has passed at[b].  No branch: which way a sign falls, no processor foresees.
 * XH_ALWAYS and XH_NEVER lie past every sum of 32 bits that a sign is taken of. */
static inline uint32_t passed_bits(const int32_t *x, const int32_t *at, int32_t many)
{
    uint32_t bits = 0;
    for (int32_t b = 0; b < many; b++)
        bits |= (uint32_t)(x[b] >= at[b]) << b;
    return bits;
}

void xh_sign_run(const xh_sign *sign, int32_t groups, const xh_tensor *input, const void *from,
                 const xh_tensor *output, uint32_t *to)
{
    const int32_t channels = output->channels, words = xh_words(channels);
    const int32_t out = channels / groups, lanes = xh_blocks(out) * XH_LANES;
    const size_t pixels = (size_t)output->height * (size_t)output->width;
    const int32_t *sums = groups == 1 && input->format == XH_I32 ? from : NULL;
    for (size_t pixel = 0; pixel < pixels; pixel++) {
        const int32_t *at = sign->at + (sign->positions > 1 ? pixel * (size_t)sign->padded : 0);
        const size_t first = pixel * (size_t)channels;
        uint32_t *word = to + pixel * (size_t)words;
        for (int32_t c0 = 0; c0 < channels; c0 += 32) {
            const int32_t many = channels - c0 < 32 ? channels - c0 : 32;
            uint32_t bits = 0;
            if (sums != NULL)
                bits = many == 32 ? passed_bits(sums + first + c0, at + c0, 32)
                                  : passed_bits(sums + first + c0, at + c0, many);
            for (int32_t b = 0; b < many && sums == NULL; b++) {
                const int32_t c = c0 + b;
                const int32_t t = groups == 1 ? at[c] : at[c / out * lanes + c % out];
                const int64_t x = input->format == XH_I32 ? ((const int32_t *)from)[first + (size_t)c]
                                                          : xh_value(input, from, first + (size_t)c);
                const int passed = t == XH_ALWAYS || (t != XH_NEVER && x >= t);
                bits |= (uint32_t)passed << b;
            }
            word[c0 / 32] = bits ^ (sign->flip ? sign->flip[c0 / 32] : 0);
        }
    }
}

void xh_levels_run(const xh_levels *levels, const xh_tensor *input, const void *from, const xh_tensor *output,
                   void *to)
{
    const size_t count = xh_tensor_count(input), channels = (size_t)input->channels;
    clear_bits(output, to);
    for (size_t i = 0; i < count; i++) {
        const int64_t x = xh_value(input, from, i);
        const size_t c = i % channels, row = levels->positions > 1 ? i : c;
        const int64_t *at = levels->at + row * (size_t)levels->levels;
        int64_t passed = 0;
        for (int32_t l = 0; l < levels->levels; l++) {
            if (levels->falling[c])
                passed += levels->strict[l] ? x < at[l] : x <= at[l];
            else
                passed += levels->strict[l] ? x > at[l] : x >= at[l];
        }
        set_value(output, to, i, passed);
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

static void pool_bits(const xh_pool *pool, const xh_tensor *input, const uint32_t *from, const xh_tensor *output,
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

void xh_pool_run(const xh_pool *pool, const xh_tensor *input, const void *from, const xh_tensor *output, void *to)
{
    const xh_window *w = &pool->window;
    if (input->format == XH_BITS) {
        pool_bits(pool, input, from, output, to);
        return;
    }
    size_t place = 0;
    for (int32_t y = 0; y < output->height; y++) {
        int32_t ky0, ky1;
        const int32_t iy = y * w->stride_h - w->top;
        taps_inside(iy, w->dilation_h, w->kernel_h, input->height, &ky0, &ky1);
        for (int32_t x = 0; x < output->width; x++) {
            int32_t kx0, kx1;
            const int32_t ix = x * w->stride_w - w->left;
            taps_inside(ix, w->dilation_w, w->kernel_w, input->width, &kx0, &kx1);
            for (int32_t c = 0; c < input->channels; c++, place++) {
                const int minimum = pool->minimum && (pool->minimum[c / 32] >> (c % 32) & 1);
                int64_t best = minimum ? INT64_MAX : INT64_MIN;
                for (int32_t ky = ky0; ky < ky1; ky++) {
                    const size_t row = (size_t)(iy + ky * w->dilation_h) * (size_t)input->width;
                    for (int32_t kx = kx0; kx < kx1; kx++) {
                        const size_t pixel = row + (size_t)(ix + kx * w->dilation_w);
                        const int64_t v = xh_value(input, from, pixel * (size_t)input->channels + (size_t)c);
                        if (minimum ? v < best : v > best)
                            best = v;
                    }
                }
                set_value(output, to, place, best);
            }
        }
    }
}

void xh_reshape_run(const xh_tensor *input, const void *from, const xh_tensor *output, void *to)
{
    const size_t channels = (size_t)input->channels, pixels = (size_t)input->height * (size_t)input->width;
    clear_bits(output, to);
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < pixels; p++)
            set_value(output, to, c * pixels + p, xh_value(input, from, p * channels + c));
}
