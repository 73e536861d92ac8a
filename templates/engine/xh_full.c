/* Products of codes with integer weights: layers in full precision.
 *
 * Everything is a sum of products of two 16-bit numbers, which every processor here forms in
 * pairs.  A weight that takes more is cut into limbs of 16 bits, a code into digits of 8; each
 * is signed, so that value = limb 0 + 2^16 limb 1 + ... .  The paths' sums are of 32 bits and
 * wrap.  Where the layer's output is XH_I32 that is exact whatever happens on the way: the sum
 * is known to fit, and wrapping keeps it modulo 2^32.  Elsewhere no more products are summed
 * than 32 bits hold, and the parts are put together in 64.
 *
 * The map is written out once, padding included, as int16_t; from there a kernel row is a run
 * of numbers that lie side by side both in the map and in the weights. */
#include <string.h>

#include "xh_engine.h"

enum {
    DIGIT_BITS = 8, /* -128 to 127; the highest digit takes what is left, -256 to 256 */
    LIMB_BITS = 16,
    PAIRS_IN_32_BITS = 127 /* 127 * 2 * 256 * 2^15 < 2^31 */
};

/* How a layer's windows are cut into runs: `length` numbers each, filled up to pairs. */
typedef struct form {
    int32_t height, width; /* of the map with its padding, as far as windows reach */
    int32_t runs, length, pairs, across; /* `across` runs a kernel row */
} form;

static form form_of(const xh_full *full, const xh_tensor *input, const xh_tensor *output)
{
    const xh_window *win = &full->window;
    const int32_t channels = input->channels / full->groups;
    form f = {.height = (output->height - 1) * win->stride_h + (win->kernel_h - 1) * win->dilation_h + 1,
              .width = (output->width - 1) * win->stride_w + (win->kernel_w - 1) * win->dilation_w + 1};
    const int row = full->groups == 1 && (win->dilation_w == 1 || win->kernel_w == 1);
    f.across = row ? 1 : win->kernel_w;
    f.runs = win->kernel_h * f.across;
    f.length = row ? win->kernel_w * channels : channels;
    /* the windows are as wide as the map: their rows join */
    if (row && win->kernel_w == f.width && (win->dilation_h == 1 || win->kernel_h == 1)) {
        f.length *= win->kernel_h;
        f.runs = 1;
    }
    f.pairs = (f.length + 1) / 2;
    return f;
}

/* ---- weights ---- */

static size_t weight_count(const form *f, const xh_tensor *output)
{
    return (size_t)output->channels * (size_t)f->runs * (size_t)f->length;
}

/* Limbs that the largest weight takes. */
static int32_t limbs_of(const xh_full *full, size_t count)
{
    int32_t most = 1;
    for (size_t i = 0; i < count; i++) {
        int64_t rest = full->weight[i];
        int32_t limbs = 1;
        for (; rest != (int16_t)rest; limbs++)
            rest = (rest - (int16_t)rest) / (1 << LIMB_BITS);
        if (limbs > most)
            most = limbs;
    }
    return most;
}

static size_t limb_count(const xh_full *full, const form *f, const xh_tensor *output)
{
    const size_t blocks = (size_t)full->groups * (size_t)xh_blocks(output->channels / full->groups);
    return blocks * (size_t)f->runs * (size_t)f->pairs * 2 * XH_LANES;
}

size_t xh_full_weight_bytes(const xh_full *full, const xh_tensor *input, const xh_tensor *output)
{
    const form f = form_of(full, input, output);
    const size_t limbs = (size_t)limbs_of(full, weight_count(&f, output));
    return limbs * limb_count(full, &f, output) * sizeof(int16_t);
}

size_t xh_full_runs_bytes(const xh_full *full, const xh_tensor *input, const xh_tensor *output)
{
    return (size_t)form_of(full, input, output).runs * sizeof(ptrdiff_t);
}

void xh_full_pack(const xh_full *full, const xh_tensor *input, const xh_tensor *output, int16_t *weights,
                  ptrdiff_t *run, xh_packed *packed)
{
    const form f = form_of(full, input, output);
    const xh_window *win = &full->window;
    const int32_t out = output->channels / full->groups, blocks = xh_blocks(out);
    const size_t row = (size_t)f.runs * (size_t)f.length, step = (size_t)f.runs * (size_t)f.pairs * 2 * XH_LANES;
    *packed = (xh_packed){weights, run, limbs_of(full, weight_count(&f, output)), f.runs, f.pairs};
    for (int32_t r = 0; r < f.runs; r++)
        run[r] = ((ptrdiff_t)(r / f.across) * win->dilation_h * f.width + (ptrdiff_t)(r % f.across) * win->dilation_w) *
                 input->channels;
    memset(weights, 0, (size_t)packed->limbs * limb_count(full, &f, output) * sizeof *weights);
    for (int32_t o = 0; o < output->channels; o++) {
        const int32_t *from = full->weight + (size_t)o * row;
        const size_t block = (size_t)(o / out * blocks + o % out / XH_LANES);
        int16_t *to = weights + block * (size_t)packed->limbs * step + (size_t)(o % out % XH_LANES) * 2;
        for (int32_t r = 0; r < f.runs; r++) {
            for (int32_t i = 0; i < f.length; i++) {
                int64_t rest = *from++;
                int16_t *limb = to + ((size_t)r * (size_t)f.pairs + (size_t)(i / 2)) * 2 * XH_LANES + i % 2;
                for (int32_t l = 0; l < packed->limbs; l++, limb += step) {
                    *limb = (int16_t)rest;
                    rest = (rest - *limb) / (1 << LIMB_BITS);
                }
            }
        }
    }
}

/* ---- the map ---- */

/* No value of the tensor is larger; of wide formats the values themselves tell (`data` NULL: any). */
static uint64_t magnitude(const xh_tensor *tensor, const void *data)
{
    uint64_t most = 0;
    switch (tensor->format) {
    case XH_BITS:
        return 1;
    case XH_U8:
    case XH_I8:
        return 1u << 8;
    case XH_I16:
        return 1u << 15;
    case XH_U16:
        return 1u << 16;
    case XH_I32:
    case XH_I64:
        break;
    }
    if (data == NULL)
        return tensor->format == XH_I32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63;
    const size_t count = xh_tensor_count(tensor);
    for (size_t i = 0; i < count; i++) {
        const int64_t v = xh_value(tensor, data, i);
        const uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;
        if (m > most)
            most = m;
    }
    return most;
}

/* Digits of each code, padding included; one where 16 bits hold it and sums may wrap. */
static int32_t digits_of(const xh_full *full, const xh_tensor *input, const void *data, const xh_tensor *output)
{
    uint64_t most = magnitude(input, data);
    const uint64_t pad = full->pad_value < 0 ? -(uint64_t)full->pad_value : (uint64_t)full->pad_value;
    if (pad >= most)
        most = pad + 1; /* -2^15 is one digit, 2^15 is none */
    int32_t digits = 1;
    if (output->format == XH_I32 && most <= 1u << 15)
        return digits;
    while (digits < XH_MOST_DIGITS && most > UINT64_C(1) << (DIGIT_BITS * digits))
        digits++;
    return digits;
}

static size_t plane_of(const form *f, const xh_tensor *input)
{
    return (size_t)f->height * (size_t)f->width * (size_t)input->channels;
}

size_t xh_full_map_bytes(const xh_full *full, const xh_tensor *input, const xh_tensor *output)
{
    const form f = form_of(full, input, output);
    /* the number behind a map's last is read and meets the weight 0 */
    return (plane_of(&f, input) * (size_t)digits_of(full, input, NULL, output) + 1) * sizeof(int16_t);
}

static void put(int64_t value, int32_t digits, int16_t *to, size_t plane)
{
    for (int32_t d = 1; d < digits; d++, to += plane) {
        *to = (int8_t)value;
        value = (value - *to) / (1 << DIGIT_BITS);
    }
    *to = (int16_t)value;
}

/* `count` values from the tensor's `first` on. */
static void put_values(const xh_tensor *input, const void *from, size_t first, size_t count, int32_t digits,
                       int16_t *to, size_t plane)
{
    if (input->format == XH_U8) {
        const uint8_t *x = (const uint8_t *)from + first;
        for (size_t i = 0; i < count; i++)
            to[i] = x[i];
    } else if (input->format == XH_I8) {
        const int8_t *x = (const int8_t *)from + first;
        for (size_t i = 0; i < count; i++)
            to[i] = x[i];
    } else {
        for (size_t i = 0; i < count; i++)
            put(xh_value(input, from, first + i), digits, to + i, plane);
        return;
    }
    /* a padding of more digits than the codes have */
    for (size_t i = 0; digits > 1 && i < count; i++)
        put(to[i], digits, to + i, plane);
}

static void put_padding(int32_t pad_value, size_t count, int32_t digits, int16_t *to, size_t plane)
{
    for (size_t i = 0; i < count; i++)
        put(pad_value, digits, to + i, plane);
}

static void write_map(const xh_full *full, const form *f, const xh_tensor *input, const void *from, int32_t digits,
                      int16_t *to)
{
    const size_t channels = (size_t)input->channels, plane = plane_of(f, input);
    const int32_t left = full->window.left < f->width ? full->window.left : f->width;
    const int32_t inside = f->width - left < input->width ? f->width - left : input->width;
    const int32_t right = f->width - left - inside;
    to[plane * (size_t)digits] = 0;
    for (int32_t row = 0; row < f->height; row++) {
        const int32_t y = row - full->window.top;
        if (y < 0 || y >= input->height) {
            put_padding(full->pad_value, (size_t)f->width * channels, digits, to, plane);
            to += (size_t)f->width * channels;
            continue;
        }
        put_padding(full->pad_value, (size_t)left * channels, digits, to, plane);
        to += (size_t)left * channels;
        put_values(input, from, (size_t)y * (size_t)input->width * channels, (size_t)inside * channels, digits, to,
                   plane);
        to += (size_t)inside * channels;
        put_padding(full->pad_value, (size_t)right * channels, digits, to, plane);
        to += (size_t)right * channels;
    }
}

/* ---- sums ---- */

typedef struct work {
    const xh_engine *engine;
    const xh_full *full;
    const xh_packed *packed;
    const xh_tensor *input, *output;
    form form;
    int32_t digits, slices;
    void *to;
} work;

/* Where the next slot reads: digits within a pixel, pixels in raster order. */
typedef struct place {
    const int16_t *pixel;
    int32_t x, digit;
} place;

static const int16_t *next_slot(const work *k, size_t plane, place *at)
{
    const xh_window *win = &k->full->window;
    const int16_t *slot = at->pixel + (size_t)at->digit * plane;
    if (++at->digit < k->digits)
        return slot;
    at->digit = 0;
    at->pixel += (ptrdiff_t)win->stride_w * k->input->channels;
    if (++at->x == k->output->width) {
        at->x = 0;
        at->pixel += ((ptrdiff_t)win->stride_h * k->form.width - (ptrdiff_t)k->output->width * win->stride_w) *
                     k->input->channels;
    }
    return slot;
}

/* Sums of `slots` slots whose limbs or products are too many for 32 bits. */
static void in_parts(const work *k, const int16_t *weights, const int16_t *const *x, int32_t slots,
                     int64_t (*total)[XH_LANES])
{
    const xh_packed *packed = k->packed;
    const int wraps = k->output->format == XH_I32;
    const int32_t most = wraps || packed->pairs < PAIRS_IN_32_BITS ? packed->pairs : PAIRS_IN_32_BITS;
    const int32_t together = wraps ? packed->runs : most < packed->pairs ? 1 : PAIRS_IN_32_BITS / most;
    memset(total, 0, sizeof(int64_t[XH_SLOTS][XH_LANES]));
    for (int32_t limb = 0; limb < packed->limbs; limb++) {
        for (int32_t r = 0; r < packed->runs; r += together) {
            for (int32_t pair = 0; pair < packed->pairs; pair += most) {
                int32_t sum[XH_SLOTS][XH_LANES];
                const xh_full_block block = {
                    .weights = weights + ((ptrdiff_t)(limb * packed->runs + r) * packed->pairs + pair) * 2 * XH_LANES,
                    .run = packed->run + r,
                    .runs = packed->runs - r < together ? packed->runs - r : together,
                    .pairs = packed->pairs - pair < most ? packed->pairs - pair : most,
                    .skip = 2 * (ptrdiff_t)pair};
                k->engine->path->full(&block, x, slots, sum);
                for (int32_t s = 0; s < slots; s++)
                    for (int j = 0; j < XH_LANES; j++)
                        total[s][j] = (int64_t)((uint64_t)total[s][j] + ((uint64_t)sum[s][j] << (LIMB_BITS * limb)));
            }
        }
    }
}

static void store(const work *k, size_t at, int32_t lanes, const int64_t *sum)
{
    for (int32_t j = 0; j < lanes; j++) {
        if (k->output->format == XH_I32)
            ((int32_t *)k->to)[at + (size_t)j] = (int32_t)sum[j];
        else
            ((int64_t *)k->to)[at + (size_t)j] = sum[j];
    }
}

/* 16 output channels of a group, on a part of the map. */
static void part(void *context, int32_t index, xh_scratch *scratch)
{
    const work *k = context;
    const xh_packed *packed = k->packed;
    const int32_t groups = k->full->groups, out = k->output->channels / groups, blocks = xh_blocks(out);
    const int32_t slice = index % k->slices, group = index / k->slices / blocks, b = index / k->slices % blocks;
    const int32_t first = k->output->height * slice / k->slices * k->output->width;
    const int32_t end = k->output->height * (slice + 1) / k->slices * k->output->width;
    const int32_t lanes = out - b * XH_LANES < XH_LANES ? out - b * XH_LANES : XH_LANES;
    const ptrdiff_t step = (ptrdiff_t)packed->limbs * packed->runs * packed->pairs * 2 * XH_LANES;
    const size_t plane = plane_of(&k->form, k->input);
    const int one = k->output->format == XH_I32 && packed->limbs == 1 && k->digits == 1;
    const xh_full_block whole = {packed->weights + (group * blocks + b) * step, packed->run, packed->runs,
                                 packed->pairs, 0};
    place at = {k->engine->spread + (ptrdiff_t)(k->output->height * slice / k->slices) *
                                        k->full->window.stride_h * k->form.width * k->input->channels +
                    (ptrdiff_t)group * (k->input->channels / groups),
                0, 0};
    size_t to = (size_t)first * (size_t)k->output->channels + (size_t)(group * out + b * XH_LANES);
    int64_t value[XH_LANES];
    int32_t digit = 0;
    (void)scratch;
    for (int64_t left = (int64_t)(end - first) * k->digits; left > 0; left -= XH_SLOTS) {
        const int32_t slots = left < XH_SLOTS ? (int32_t)left : XH_SLOTS;
        const int16_t *x[XH_SLOTS];
        for (int32_t s = 0; s < XH_SLOTS; s++)
            x[s] = s < slots ? next_slot(k, plane, &at) : x[0];
        if (one) {
            int32_t sum[XH_SLOTS][XH_LANES];
            k->engine->path->full(&whole, x, slots, sum);
            for (int32_t s = 0; s < slots; s++, to += (size_t)k->output->channels)
                memcpy((int32_t *)k->to + to, sum[s], (size_t)lanes * sizeof(int32_t));
            continue;
        }
        int64_t total[XH_SLOTS][XH_LANES];
        in_parts(k, whole.weights, x, slots, total);
        for (int32_t s = 0; s < slots; s++) {
            for (int j = 0; j < XH_LANES; j++) {
                const uint64_t lower = digit ? (uint64_t)value[j] : 0;
                value[j] = (int64_t)(lower + ((uint64_t)total[s][j] << (DIGIT_BITS * digit)));
            }
            if (++digit == k->digits) {
                store(k, to, lanes, value);
                to += (size_t)k->output->channels;
                digit = 0;
            }
        }
    }
}

void xh_run_full(xh_engine *engine, const xh_full *full, const xh_packed *packed, const xh_tensor *input,
                 const void *from, const xh_tensor *output, void *to)
{
    work k = {engine, full, packed, input, output, form_of(full, input, output), 1, 1, to};
    k.digits = digits_of(full, input, from, output);
    write_map(full, &k.form, input, from, k.digits, engine->spread);
    if (engine->threads > 1)
        k.slices = output->height < 2 * engine->threads ? output->height : 2 * engine->threads;
    xh_divide(engine, full->groups * xh_blocks(output->channels / full->groups) * k.slices, part, &k);
}
