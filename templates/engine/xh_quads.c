/* Products of unsigned codes with binary weights by multiplying bytes, where the path has an instruction for
 * that and a code has so many bits that counting them takes longer (xh_planes.c).
 *
 * The terms are added up into one weight of 8 bits.  The map is written out once, padding included;
 * from there a kernel row is a run of bytes that lie side by side both in the map and in the weights. */
#include <string.h>

#include "xh_engine.h"

enum {
    FEW_PLANES = 2, /* of so many, bits are counted as fast */
    FEW_PIXELS = 8, /* of so few, weights of 8 bits come slower from memory than 1 bit many times */
    SLACK = 4       /* bytes behind a map that are read and meet the weight 0 */
};

/* How a layer's windows are cut into runs: `length` bytes each, filled up to quads. */
typedef struct form {
    int32_t height, width; /* of the map with its padding, as far as windows reach */
    int32_t runs, length, quads, across; /* `across` runs a kernel row */
} form;

static form form_of(const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    const xh_window *win = &product->window;
    const int32_t channels = input->channels / product->groups;
    const int row = product->groups == 1 && (win->dilation_w == 1 || win->kernel_w == 1);
    form f = {.height = (output->height - 1) * win->stride_h + (win->kernel_h - 1) * win->dilation_h + 1,
              .width = (output->width - 1) * win->stride_w + (win->kernel_w - 1) * win->dilation_w + 1};
    f.across = row ? 1 : win->kernel_w;
    f.runs = win->kernel_h * f.across;
    f.length = row ? win->kernel_w * channels : channels;
    f.quads = (f.length + 3) / 4;
    return f;
}

/* Quads whose products, added by twos, fit in 16 bits; 0: not even one. */
static int32_t together_of(const xh_planes *planes)
{
    int64_t heaviest = 0, most = (1 << planes->bits) - 1;
    for (int32_t t = 0; t < planes->product.terms; t++) {
        const int64_t c = planes->product.term[t].coefficient;
        heaviest += c < 0 ? -c : c;
    }
    if (planes->product.pad_value > most)
        most = planes->product.pad_value;
    return heaviest > INT8_MAX ? 0 : (int32_t)(INT16_MAX / (2 * most * heaviest));
}

int xh_bytes_suit(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output)
{
#if defined(__x86_64__) || defined(__i386__)
    for (int32_t t = 0; t < planes->product.terms; t++)
        if (planes->plane[t] >= 0)
            return 0;
    return input->format == XH_U8 && planes->bits * planes->product.terms > FEW_PLANES &&
           (int64_t)output->height * output->width >= FEW_PIXELS && together_of(planes) > 0;
#else
    (void)planes, (void)input, (void)output;
    return 0; /* no path has the loop */
#endif
}

static size_t blocks_of(const xh_product *product, const xh_tensor *output)
{
    return (size_t)product->groups * (size_t)xh_blocks(output->channels / product->groups);
}

size_t xh_bytes_weight_bytes(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output)
{
    const form f = form_of(&planes->product, input, output);
    return blocks_of(&planes->product, output) * (size_t)f.runs * (size_t)f.quads * 4 * XH_LANES;
}

size_t xh_bytes_runs_bytes(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output)
{
    return (size_t)form_of(&planes->product, input, output).runs * sizeof(ptrdiff_t);
}

size_t xh_bytes_map_bytes(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output)
{
    const form f = form_of(&planes->product, input, output);
    return (size_t)f.height * (size_t)f.width * (size_t)input->channels + SLACK;
}

void xh_bytes_pack(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output, int8_t *weights,
                   ptrdiff_t *run, xh_byte_block *block)
{
    const xh_product *product = &planes->product;
    const xh_window *win = &product->window;
    const form f = form_of(product, input, output);
    const int32_t channels = input->channels / product->groups, out = output->channels / product->groups;
    const int32_t blocks = xh_blocks(out), words = xh_words(channels);
    *block = (xh_byte_block){weights, run, f.runs, f.quads, together_of(planes)};
    for (int32_t r = 0; r < f.runs; r++)
        run[r] = ((ptrdiff_t)(r / f.across) * win->dilation_h * f.width + (ptrdiff_t)(r % f.across) * win->dilation_w) *
                 input->channels;
    memset(weights, 0, xh_bytes_weight_bytes(planes, input, output));
    for (int32_t b = 0; b < product->groups * blocks; b++) {
        const int32_t lanes = out - b % blocks * XH_LANES < XH_LANES ? out - b % blocks * XH_LANES : XH_LANES;
        int8_t *to = weights + (size_t)b * (size_t)f.runs * (size_t)f.quads * 4 * XH_LANES;
        for (int32_t tap = 0; tap < win->kernel_h * win->kernel_w; tap++) {
            const int32_t r = f.across == 1 ? tap / win->kernel_w : tap;
            const int32_t first = f.across == 1 ? tap % win->kernel_w * channels : 0;
            for (int32_t c = 0; c < channels; c++) {
                const int32_t i = first + c;
                int8_t *four = to + ((ptrdiff_t)r * f.quads + i / 4) * 4 * XH_LANES + i % 4;
                const size_t word = ((size_t)b * (size_t)(win->kernel_h * win->kernel_w) + (size_t)tap) * (size_t)words +
                                    (size_t)(c / 32);
                for (int32_t t = 0; t < product->terms; t++) {
                    const xh_term *term = product->term + t;
                    for (int32_t j = 0; j < lanes; j++) {
                        const int one = term->bits[word * XH_LANES + (size_t)j] >> (c % 32) & 1;
                        four[4 * j] = (int8_t)(four[4 * j] + (one ? term->coefficient : -term->coefficient));
                    }
                }
            }
        }
    }
}

/* ---- a frame ---- */

typedef struct work {
    const xh_engine *engine;
    const xh_product *product;
    const xh_byte_block *block;
    const xh_tensor *input, *output;
    const uint8_t *from;
    uint8_t *map;
    form form;
    int32_t slices, parts;
    int32_t *to;
} work;

static void write_rows(void *context, int32_t index, xh_scratch *scratch)
{
    const work *k = context;
    const form *f = &k->form;
    const xh_window *win = &k->product->window;
    const size_t channels = (size_t)k->input->channels;
    const int32_t left = win->left < f->width ? win->left : f->width;
    const int32_t inside = f->width - left < k->input->width ? f->width - left : k->input->width;
    (void)scratch;
    for (int32_t row = f->height * index / k->parts; row < f->height * (index + 1) / k->parts; row++) {
        uint8_t *to = k->map + (size_t)row * (size_t)f->width * channels;
        const int32_t y = row - win->top;
        if (y < 0 || y >= k->input->height) {
            memset(to, k->product->pad_value, (size_t)f->width * channels);
            continue;
        }
        memset(to, k->product->pad_value, (size_t)left * channels);
        to += (size_t)left * channels;
        memcpy(to, k->from + (size_t)y * (size_t)k->input->width * channels, (size_t)inside * channels);
        to += (size_t)inside * channels;
        memset(to, k->product->pad_value, (size_t)(f->width - left - inside) * channels);
    }
}

/* 16 output channels of a group, on a part of the map. */
static void part(void *context, int32_t index, xh_scratch *scratch)
{
    const work *k = context;
    const xh_window *win = &k->product->window;
    const int32_t groups = k->product->groups, out = k->output->channels / groups, blocks = xh_blocks(out);
    const int32_t slice = index % k->slices, b = index / k->slices;
    const int32_t group = b / blocks, first_lane = b % blocks * XH_LANES;
    const int32_t lanes = out - first_lane < XH_LANES ? out - first_lane : XH_LANES;
    const int32_t width = k->output->width;
    const int32_t first = k->output->height * slice / k->slices * width;
    const int32_t end = k->output->height * (slice + 1) / k->slices * width;
    xh_byte_block block = *k->block;
    (void)scratch;
    block.weights += (size_t)b * (size_t)block.runs * (size_t)block.quads * 4 * XH_LANES;
    for (int32_t pixel = first; pixel < end; pixel += XH_SLOTS) {
        const int32_t slots = end - pixel < XH_SLOTS ? end - pixel : XH_SLOTS;
        const uint8_t *x[XH_SLOTS];
        int32_t sum[XH_SLOTS][XH_LANES];
        for (int32_t s = 0; s < XH_SLOTS; s++) {
            const int32_t at = pixel + (s < slots ? s : 0);
            x[s] = k->map + ((size_t)(at / width * win->stride_h) * (size_t)k->form.width +
                             (size_t)(at % width * win->stride_w)) *
                                (size_t)k->input->channels +
                   (size_t)group * (size_t)(k->input->channels / groups);
        }
        k->engine->path->bytes(&block, x, slots, sum);
        for (int32_t s = 0; s < slots; s++)
            memcpy(k->to + (size_t)(pixel + s) * (size_t)k->output->channels + (size_t)(group * out + first_lane), sum[s],
                   (size_t)lanes * sizeof(int32_t));
    }
}

void xh_run_bytes(xh_engine *engine, const xh_planes *planes, const xh_byte_block *block, const xh_tensor *input,
                  const void *from, const xh_tensor *output, int32_t *to)
{
    const xh_product *product = &planes->product;
    work k = {engine, product, block, input, output, from, (uint8_t *)engine->packed,
              form_of(product, input, output), 1, 1, to};
    if (engine->threads > 1) {
        k.slices = output->height < 2 * engine->threads ? output->height : 2 * engine->threads;
        k.parts = k.form.height < 4 * engine->threads ? k.form.height : 4 * engine->threads;
    }
    memset(k.map + xh_bytes_map_bytes(planes, input, output) - SLACK, 0, SLACK);
    xh_divide(engine, k.parts, write_rows, &k);
    xh_divide(engine, product->groups * xh_blocks(output->channels / product->groups) * k.slices, part, &k);
}
