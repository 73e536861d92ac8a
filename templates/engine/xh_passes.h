/* The operations of few steps a value: tables, thresholds, sums of maps, pools.  Each reads its
 * inputs once, in strips that stay in the nearest cache, as XH_VALUE: int32_t in the paths' files,
 * int64_t in xh_wide.c (which defines XH_WIDE too).  The compiler makes vectors of the loops.
 *
 * Sums are formed in the unsigned type: they may wrap on the way to a result that fits. */
#include <stdint.h>
#include <string.h>

#include "xh_path.h"
#include "xh_run.h"

typedef XH_VALUE value;

#ifdef XH_WIDE
typedef uint64_t uvalue;
#define XH_TABLE(levels) ((levels)->wide)
#else
typedef uint32_t uvalue;
#define XH_TABLE(levels) ((levels)->at)
#endif

enum { XH_STRIP = 1024 };

/* Some whole pixels, or 32 n channels of one pixel. */
typedef struct strip {
    size_t pixel;
    int32_t pixels, channel, channels;
} strip;

#define XH_WORDS(channels) (((channels) + 31) / 32)

static void load_bits(const uint32_t *word, int32_t channels, value *to)
{
    for (int32_t c0 = 0; c0 < channels; c0 += 32, word++) {
        const int32_t many = channels - c0 < 32 ? channels - c0 : 32;
        for (int32_t b = 0; b < many; b++)
            to[c0 + b] = (value)(*word >> b & 1) * 2 - 1;
    }
}

static void store_bits(const value *from, int32_t channels, uint32_t *word)
{
    for (int32_t c0 = 0; c0 < channels; c0 += 32) {
        const int32_t many = channels - c0 < 32 ? channels - c0 : 32;
        uint32_t bits = 0;
        for (int32_t b = 0; b < many; b++)
            bits |= (uint32_t)(from[c0 + b] > 0) << b;
        *word++ = bits;
    }
}

#define LOAD(FORMAT, TYPE)                        \
    case FORMAT: {                                \
        const TYPE *x = (const TYPE *)data + at;  \
        for (size_t i = 0; i < count; i++)        \
            to[i] = (value)x[i];                  \
        break;                                    \
    }

static void load_strip(const xh_tensor *tensor, const void *data, const strip *s, value *to)
{
    const size_t at = s->pixel * (size_t)tensor->channels + (size_t)s->channel;
    const size_t count = (size_t)s->pixels * (size_t)s->channels;
    switch (tensor->format) {
        LOAD(XH_U8, uint8_t)
        LOAD(XH_I8, int8_t)
        LOAD(XH_U16, uint16_t)
        LOAD(XH_I16, int16_t)
        LOAD(XH_I32, int32_t)
        LOAD(XH_I64, int64_t)
    case XH_BITS: {
        const size_t words = (size_t)XH_WORDS(tensor->channels);
        for (int32_t p = 0; p < s->pixels; p++)
            load_bits((const uint32_t *)data + (s->pixel + (size_t)p) * words + s->channel / 32, s->channels,
                      to + (size_t)p * (size_t)s->channels);
        break;
    }
    }
}

#define STORE(FORMAT, TYPE)                 \
    case FORMAT: {                          \
        TYPE *y = (TYPE *)data + at;        \
        for (size_t i = 0; i < count; i++)  \
            y[i] = (TYPE)from[i];           \
        break;                              \
    }

static void store_strip(const xh_tensor *tensor, void *data, const strip *s, const value *from)
{
    const size_t at = s->pixel * (size_t)tensor->channels + (size_t)s->channel;
    const size_t count = (size_t)s->pixels * (size_t)s->channels;
    switch (tensor->format) {
        STORE(XH_U8, uint8_t)
        STORE(XH_I8, int8_t)
        STORE(XH_U16, uint16_t)
        STORE(XH_I16, int16_t)
        STORE(XH_I32, int32_t)
        STORE(XH_I64, int64_t)
    case XH_BITS: {
        const size_t words = (size_t)XH_WORDS(tensor->channels);
        for (int32_t p = 0; p < s->pixels; p++)
            store_bits(from + (size_t)p * (size_t)s->channels, s->channels,
                       (uint32_t *)data + (s->pixel + (size_t)p) * words + s->channel / 32);
        break;
    }
    }
}

/* ---- value by value ---- */

static int look_up(const xh_lookup *lookup, const strip *s, const value *x, value *y)
{
    for (int32_t p = 0; p < s->pixels; p++) {
        for (int32_t c = 0; c < s->channels; c++, x++, y++) {
            const int64_t entry = (int64_t)*x - lookup->first;
            const size_t table = lookup->tables > 1 ? (size_t)(s->channel + c) : 0;
            if (entry < 0 || entry >= lookup->values)
                return XH_BAD_INPUT;
            *y = (value)lookup->table[table * (size_t)lookup->values + (size_t)entry];
        }
    }
    return XH_OK;
}

/* Bit b: whether x[b] has passed at[b].  No branch: which way a sign falls, no processor foresees.
 * XH_ALWAYS and XH_NEVER lie past every sum of 32 bits that a sign is taken of. */
static inline __attribute__((always_inline)) uint32_t passed_bits(const value *x, const int32_t *at, int32_t many)
{
    uint32_t bits = 0;
    for (int32_t b = 0; b < many; b++) {
#ifdef XH_WIDE
        const int passes = at[b] == XH_ALWAYS || (at[b] != XH_NEVER && x[b] >= at[b]);
#else
        const int passes = x[b] >= at[b];
#endif
        bits |= (uint32_t)passes << b;
    }
    return bits;
}

static void take_signs(const xh_sign *sign, const strip *s, int32_t channels, const value *x, uint32_t *to)
{
    for (int32_t p = 0; p < s->pixels; p++) {
        const size_t pixel = s->pixel + (size_t)p;
        const int32_t *at = sign->at + (sign->positions > 1 ? pixel * (size_t)sign->padded : 0) + s->channel;
        const size_t words = pixel * (size_t)XH_WORDS(channels);
        const uint32_t *flip = sign->flip ? sign->flip + (sign->flips ? words : 0) + s->channel / 32 : NULL;
        uint32_t *word = to + words + s->channel / 32;
        for (int32_t c0 = 0; c0 < s->channels; c0 += 32, word++) {
            const int32_t many = s->channels - c0 < 32 ? s->channels - c0 : 32;
            const uint32_t bits = many == 32 ? passed_bits(x + c0, at + c0, 32) : passed_bits(x + c0, at + c0, many);
            *word = bits ^ (flip ? flip[c0 / 32] : 0);
        }
        x += s->channels;
    }
}

/* How many of ascending levels x has reached. */
static inline int32_t reached(const value *at, int32_t levels, value x)
{
    int32_t low = 0;
    while (levels > 0) {
        const int32_t half = (levels + 1) / 2;
        low += x >= at[low + half - 1] ? half : 0;
        levels -= half;
    }
    return low;
}

static void count_levels(const xh_levels *of, const strip *s, int32_t channels, int bits, const value *x, value *y)
{
    const size_t position = (size_t)channels * (size_t)of->levels;
    for (int32_t p = 0; p < s->pixels; p++, x += s->channels, y += s->channels) {
        const value *at = XH_TABLE(of) + (of->positions > 1 ? (s->pixel + (size_t)p) * position : 0);
        if (of->levels >= XH_MANY_LEVELS) {
            for (int32_t c = 0; c < s->channels; c++)
                y[c] = reached(at + (size_t)(s->channel + c) * (size_t)of->levels, of->levels, x[c]);
        } else {
            at += s->channel;
            for (int32_t c = 0; c < s->channels; c++)
                y[c] = x[c] >= at[c];
            for (int32_t l = 1; l < of->levels; l++) {
                at += channels;
                for (int32_t c = 0; c < s->channels; c++)
                    y[c] += x[c] >= at[c];
            }
        }
        if (of->falling != NULL) {
            const size_t row = of->flips ? (s->pixel + (size_t)p) * (size_t)channels : 0;
            const uint8_t *falling = of->falling + row + s->channel;
            for (int32_t c = 0; c < s->channels; c++)
                y[c] = falling[c] ? of->levels - y[c] : y[c];
        }
        for (int32_t c = 0; bits && c < s->channels; c++)
            y[c] = 2 * y[c] - 1;
    }
}

static inline value limited(value y, value low, value high)
{
    y = y > low ? y : low;
    return y < high ? y : high;
}

/* y, or where `tie` is 1 the even number that is not above it: a half in the addend rounds ties up. */
static inline __attribute__((always_inline)) value to_even(value y, int tie) { return y & ~(value)tie; }

/* `even` is known where this is called: the loops of what has no ties are those without it. */
static inline __attribute__((always_inline)) void requantise_by(const xh_requant *of, const strip *s, int even,
                                                               int32_t channels, const value *x, value *y)
{
    const int32_t shift = of->shift;
    const uint64_t dropped = ((uint64_t)1 << shift) - 1;
    const value low = of->low, high = of->high;
    for (int32_t p = 0; p < s->pixels; p++, x += s->channels, y += s->channels) {
        const size_t row = of->positions ? (s->pixel + (size_t)p) * (size_t)channels : 0;
        const size_t c0 = row + (size_t)s->channel;
        if (of->addend != NULL) {
            const int32_t *multiplier = of->multiplier + c0, *addend = of->addend + c0;
            for (int32_t c = 0; c < s->channels; c++) {
                const int32_t sum = (int32_t)x[c] * multiplier[c] + addend[c];
                y[c] = limited(to_even(sum >> shift, even && ((uint32_t)sum & (uint32_t)dropped) == 0), low, high);
            }
        } else if (of->multiplier != NULL) {
            const int32_t *multiplier = of->multiplier + c0;
            const int64_t *addend = of->wide_addend + c0;
            /* of an unsigned shift by at most 32 the lower 32 bits are those of a signed one */
            for (int32_t c = 0; c < s->channels; c++) {
                const uint64_t sum = (uint64_t)((int64_t)(int32_t)x[c] * multiplier[c] + addend[c]);
                y[c] = limited(to_even((int32_t)(uint32_t)(sum >> shift), even && (sum & dropped) == 0), low, high);
            }
        } else {
            const int64_t *multiplier = of->wide_multiplier + c0, *addend = of->wide_addend + c0;
            for (int32_t c = 0; c < s->channels; c++) {
                const int64_t sum = (int64_t)x[c] * multiplier[c] + addend[c];
                int64_t code = sum >> shift & ~(int64_t)(even && ((uint64_t)sum & dropped) == 0);
                code = code > of->low ? code : of->low;
                y[c] = (value)(code < of->high ? code : of->high);
            }
        }
    }
}

static void requantise(const xh_requant *of, const strip *s, int32_t channels, const value *x, value *y)
{
    if (of->even)
        requantise_by(of, s, 1, channels, x, y);
    else
        requantise_by(of, s, 0, channels, x, y);
}

static void add_maps(const xh_pass *pass, const strip *s, value *y)
{
    const xh_add *of = pass->data;
    value x[XH_STRIP];
    const int32_t count = s->pixels * s->channels;
    load_strip(pass->input, pass->from, s, y);
    for (int32_t i = 0; of->shift[0] && i < count; i++)
        y[i] = (value)((uvalue)y[i] << of->shift[0]);
    for (int32_t k = 1; k < of->inputs; k++) {
        const int32_t shift = of->shift[k];
        load_strip(&pass->tensor[of->tensor[k]], pass->at[of->tensor[k]], s, x);
        for (int32_t i = 0; i < count; i++)
            y[i] = (value)((uvalue)y[i] + ((uvalue)x[i] << shift));
    }
}

static void multiply(const xh_pass *pass, const strip *s, const value *x, value *y)
{
    const int32_t by = ((const xh_multiply *)pass->data)->by;
    for (int32_t p = 0; p < s->pixels; p++, x += s->channels, y += s->channels) {
        const strip one = {s->pixel + (size_t)p, 1, 0, 1};
        value k = 0;
        load_strip(&pass->tensor[by], pass->at[by], &one, &k);
        for (int32_t c = 0; c < s->channels; c++)
            y[c] = (value)((uvalue)x[c] * (uvalue)k);
    }
}

/* ---- windows ---- */

/* The part [*first, *end) of a window's taps that lies on the map. */
static void taps_inside(int32_t start, int32_t dilation, int32_t kernel, int32_t size, int32_t *first, int32_t *end)
{
    *first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    *end = start >= size ? 0 : (size - start + dilation - 1) / dilation;
    if (*end > kernel)
        *end = kernel;
}

/* The taps on the map of the window of output pixel `place`. */
typedef struct taps {
    int32_t y, x, first_y, end_y, first_x, end_x;
} taps;

static taps taps_of(const xh_window *win, const xh_tensor *input, const xh_tensor *output, size_t place)
{
    taps t;
    t.y = (int32_t)(place / (size_t)output->width) * win->stride_h - win->top;
    t.x = (int32_t)(place % (size_t)output->width) * win->stride_w - win->left;
    taps_inside(t.y, win->dilation_h, win->kernel_h, input->height, &t.first_y, &t.end_y);
    taps_inside(t.x, win->dilation_w, win->kernel_w, input->width, &t.first_x, &t.end_x);
    return t;
}

static size_t pixel_of(const xh_window *win, const xh_tensor *input, const taps *t, int32_t ky, int32_t kx)
{
    return (size_t)(t->y + ky * win->dilation_h) * (size_t)input->width + (size_t)(t->x + kx * win->dilation_w);
}

/* A minimum is a maximum of ~x. */
static void take_largest(const xh_pass *pass, const strip *s, value *best)
{
    const xh_pool *pool = pass->data;
    const xh_window *win = &pool->window;
    const taps t = taps_of(win, pass->input, pass->output, s->pixel);
    value x[XH_STRIP], turned[XH_STRIP];
    memset(best, 0, (size_t)s->channels * sizeof *best);
    for (int32_t c = 0; c < s->channels; c++) {
        const int32_t channel = s->channel + c;
        turned[c] = pool->minimum && pool->minimum[channel / 32] >> (channel % 32) & 1 ? -1 : 0;
    }
    for (int32_t ky = t.first_y; ky < t.end_y; ky++) {
        for (int32_t kx = t.first_x; kx < t.end_x; kx++) {
            const strip tap = {pixel_of(win, pass->input, &t, ky, kx), 1, s->channel, s->channels};
            const int first = ky == t.first_y && kx == t.first_x;
            load_strip(pass->input, pass->from, &tap, x);
            for (int32_t c = 0; c < s->channels; c++) {
                const value v = x[c] ^ turned[c];
                best[c] = first || v > best[c] ? v : best[c];
            }
        }
    }
    for (int32_t c = 0; c < s->channels; c++)
        best[c] ^= turned[c];
}

static void sum_window(const xh_pass *pass, const strip *s, value *sum)
{
    const xh_window *win = &((const xh_sum_pool *)pass->data)->window;
    const taps t = taps_of(win, pass->input, pass->output, s->pixel);
    value x[XH_STRIP];
    memset(sum, 0, (size_t)s->channels * sizeof *sum);
    for (int32_t ky = t.first_y; ky < t.end_y; ky++) {
        for (int32_t kx = t.first_x; kx < t.end_x; kx++) {
            const strip tap = {pixel_of(win, pass->input, &t, ky, kx), 1, s->channel, s->channels};
            load_strip(pass->input, pass->from, &tap, x);
            for (int32_t c = 0; c < s->channels; c++)
                sum[c] = (value)((uvalue)sum[c] + (uvalue)x[c]);
        }
    }
}

/* The sum of |x| over a window and all channels. */
static value sum_box(const xh_pass *pass, size_t pixel)
{
    const xh_window *win = &((const xh_sum_pool *)pass->data)->window;
    const taps t = taps_of(win, pass->input, pass->output, pixel);
    const int32_t channels = pass->input->channels;
    uvalue sum = 0;
    value x[XH_STRIP];
    for (int32_t ky = t.first_y; ky < t.end_y; ky++) {
        for (int32_t kx = t.first_x; kx < t.end_x; kx++) {
            for (int32_t c0 = 0; c0 < channels; c0 += XH_STRIP) {
                const int32_t many = channels - c0 < XH_STRIP ? channels - c0 : XH_STRIP;
                const strip tap = {pixel_of(win, pass->input, &t, ky, kx), 1, c0, many};
                load_strip(pass->input, pass->from, &tap, x);
                for (int32_t c = 0; c < many; c++)
                    sum += x[c] < 0 ? -(uvalue)x[c] : (uvalue)x[c];
            }
        }
    }
    return (value)sum;
}

/* ---- channels ---- */

/* `channels` more bits behind the first `*filled` of the words. */
static void append_bits(const uint32_t *from, int32_t channels, uint32_t *to, int32_t *filled)
{
    for (int32_t c = 0; c < channels; c += 32, from++) {
        const int32_t many = channels - c < 32 ? channels - c : 32, shift = *filled % 32;
        uint32_t *word = to + *filled / 32;
        *word = shift ? *word | *from << shift : *from;
        if (shift && shift + many > 32)
            word[1] = *from >> (32 - shift);
        *filled += many;
    }
}

static void join_channels(const xh_pass *pass, size_t first, size_t end)
{
    const xh_concat *of = pass->data;
    const xh_tensor *out = pass->output;
    for (size_t pixel = first; pixel < end; pixel++) {
        int32_t channel = 0;
        for (int32_t k = 0; k < of->inputs; k++) {
            const xh_tensor *in = &pass->tensor[of->tensor[k]];
            const void *from = k ? pass->at[of->tensor[k]] : pass->from;
            if (out->format == XH_BITS) {
                append_bits((const uint32_t *)from + pixel * (size_t)XH_WORDS(in->channels), in->channels,
                            (uint32_t *)pass->to + pixel * (size_t)XH_WORDS(out->channels), &channel);
                continue;
            }
            value x[XH_STRIP];
            for (int32_t c0 = 0; c0 < in->channels; c0 += XH_STRIP) {
                strip s = {pixel, 1, c0, in->channels - c0 < XH_STRIP ? in->channels - c0 : XH_STRIP};
                load_strip(in, from, &s, x);
                s.channel = channel;
                store_strip(out, pass->to, &s, x);
                channel += s.channels;
            }
        }
    }
}

#ifndef XH_WIDE
/* sum[i] += factor * x[i] */
static void add_times(int32_t *sum, const int32_t *x, int32_t factor, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sum[i] = (int32_t)((uint32_t)sum[i] + (uint32_t)x[i] * (uint32_t)factor);
}
#endif

static int one_strip(const xh_pass *pass, const strip *s)
{
    value x[XH_STRIP], y[XH_STRIP];
    int status = XH_OK;
    if (pass->kind != XH_ADD && pass->kind != XH_POOL && pass->kind != XH_SUMPOOL)
        load_strip(pass->input, pass->from, s, x);
    switch (pass->kind) {
    case XH_LOOKUP:
        status = look_up(pass->data, s, x, y);
        break;
    case XH_SIGN:
        take_signs(pass->data, s, pass->output->channels, x, pass->to);
        return XH_OK;
    case XH_LEVELS:
        count_levels(pass->data, s, pass->output->channels, pass->output->format == XH_BITS, x, y);
        break;
    case XH_REQUANT:
        requantise(pass->data, s, pass->output->channels, x, y);
        break;
    case XH_ADD:
        add_maps(pass, s, y);
        break;
    case XH_MULTIPLY:
        multiply(pass, s, x, y);
        break;
    case XH_POOL:
        take_largest(pass, s, y);
        break;
    case XH_SUMPOOL:
        sum_window(pass, s, y);
        break;
    default:
        return XH_BAD_NETWORK;
    }
    if (status == XH_OK)
        store_strip(pass->output, pass->to, s, y);
    return status;
}

static int pass(const xh_pass *pass, size_t first, size_t end)
{
    const xh_tensor *out = pass->output;
    const int windows = pass->kind == XH_POOL || pass->kind == XH_SUMPOOL;
    const int32_t together = windows || out->channels > XH_STRIP ? 1 : XH_STRIP / out->channels;
    if (pass->kind == XH_CONCAT) {
        join_channels(pass, first, end);
        return XH_OK;
    }
    for (size_t pixel = first; pixel < end; pixel += (size_t)together) {
        if (pass->kind == XH_BOXSUM) {
            for (size_t k = pixel; k < end && k < pixel + (size_t)together; k++) {
                const strip one = {k, 1, 0, 1};
                const value sum = sum_box(pass, k);
                store_strip(out, pass->to, &one, &sum);
            }
            continue;
        }
        const int32_t pixels = end - pixel < (size_t)together ? (int32_t)(end - pixel) : together;
        for (int32_t c0 = 0; c0 < out->channels; c0 += XH_STRIP) {
            const strip s = {pixel, pixels, c0, out->channels - c0 < XH_STRIP ? out->channels - c0 : XH_STRIP};
            const int status = one_strip(pass, &s);
            if (status != XH_OK)
                return status;
        }
    }
    return XH_OK;
}
