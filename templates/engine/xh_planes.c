/* Codes as planes of bits, for products that count bits.
 *
 * A code is the sum of its bits, bit b worth 2^b (the highest one of a signed code -2^b).  The sum of
 * the bits of a plane times weights of +1 and -1 is p - m: p the weights that are +1, m the bits that
 * differ from the weights (a weight +1 is bit 1).  So a term is worth * (p - m) of its planes, and p
 * depends on which taps lie on the map alone.  A plane x > cut is one of +1 and -1: n - 2 m. */
#include <string.h>

#include "xh_engine.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "eight codes are read as one number, the first lowest");

static int32_t bit_planes(const xh_planes *planes)
{
    for (int32_t t = 0; t < planes->product.terms; t++)
        if (planes->plane[t] < 0)
            return planes->bits;
    return 0;
}

int32_t xh_planes_count(const xh_planes *planes)
{
    int32_t cuts = 0;
    for (int32_t t = 0; t < planes->product.terms; t++)
        if (planes->plane[t] >= cuts)
            cuts = planes->plane[t] + 1;
    return bit_planes(planes) + cuts;
}

int32_t xh_planes_of_term(const xh_planes *planes, int32_t term, int32_t *first)
{
    const int32_t cut = planes->plane[term];
    *first = cut < 0 ? 0 : bit_planes(planes) + cut;
    return cut < 0 ? planes->bits : 1;
}

/* What bit b of a code is worth. */
static int32_t worth(const xh_planes *planes, const xh_tensor *input, int32_t b)
{
    return input->format == XH_I8 && b == planes->bits - 1 ? -(1 << b) : 1 << b;
}

int32_t xh_planes_factor(const xh_planes *planes, const xh_tensor *input, int32_t term, int32_t i)
{
    const int32_t coefficient = planes->product.term[term].coefficient;
    return coefficient * (planes->plane[term] < 0 ? worth(planes, input, i) : 2);
}

/* ---- the weights' ones ---- */

static int32_t ones_of(uint32_t word)
{
    int32_t count = 0;
    for (; word; word &= word - 1)
        count++;
    return count;
}

static size_t lanes_of(const xh_planes *planes, const xh_tensor *output)
{
    const int32_t groups = planes->product.groups;
    return (size_t)groups * (size_t)xh_blocks(output->channels / groups) * XH_LANES;
}

size_t xh_planes_ones_bytes(const xh_planes *planes, const xh_tensor *output)
{
    const xh_window *win = &planes->product.window;
    return (size_t)win->kernel_h * (size_t)win->kernel_w * lanes_of(planes, output) * sizeof(int32_t);
}

/* ones [kernel_h][kernel_w][groups][blocks][16]: what the bits of codes add to a sum where no bit differs. */
void xh_planes_count_ones(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output, int32_t *ones)
{
    const xh_product *product = &planes->product;
    const size_t taps = (size_t)product->window.kernel_h * (size_t)product->window.kernel_w;
    const size_t words = (size_t)xh_words(input->channels / product->groups), lanes = lanes_of(planes, output);
    int32_t all = 0;
    for (int32_t b = 0; b < planes->bits; b++)
        all += worth(planes, input, b);
    memset(ones, 0, taps * lanes * sizeof *ones);
    for (int32_t t = 0; t < product->terms; t++) {
        const uint32_t *word = product->term[t].bits;
        const uint32_t each = (uint32_t)product->term[t].coefficient * (uint32_t)all;
        if (planes->plane[t] >= 0)
            continue;
        for (size_t block = 0; block < lanes / XH_LANES; block++) {
            for (size_t tap = 0; tap < taps; tap++) {
                int32_t *to = ones + tap * lanes + block * XH_LANES;
                for (size_t w = 0; w < words; w++)
                    for (int32_t j = 0; j < XH_LANES; j++)
                        to[j] = (int32_t)((uint32_t)to[j] + each * (uint32_t)ones_of(*word++));
            }
        }
    }
}

/* ---- the map ---- */

/* Bit i: bit 0 of byte i. */
static uint32_t lowest_bits(uint64_t bytes)
{
    return (uint32_t)((bytes & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080) >> 56);
}

typedef struct writing {
    const xh_planes *planes;
    const xh_tensor *input;
    const uint8_t *from;
    int32_t height, width, parts, bits, cuts;
    uint32_t *to;
} writing;

/* Up to 32 codes as a word of each plane. */
static void write_word(const writing *k, const uint8_t *code, int32_t many, uint32_t *to, size_t plane)
{
    uint64_t eight[4] = {0};
    memcpy(eight, code, (size_t)many);
    for (int32_t b = 0; b < k->bits; b++, to += plane)
        *to = lowest_bits(eight[0] >> b) | lowest_bits(eight[1] >> b) << 8 | lowest_bits(eight[2] >> b) << 16 |
              lowest_bits(eight[3] >> b) << 24;
    for (int32_t cut = 0; cut < k->cuts; cut++, to += plane) {
        /* a byte whose lower 7 bits are more than the cut carries into its highest */
        const uint64_t rest = UINT64_C(0x0101010101010101) * (uint64_t)(127 - cut);
        uint32_t word = 0;
        for (int i = 0; i < 4; i++) {
            const uint64_t low = eight[i] & UINT64_C(0x7f7f7f7f7f7f7f7f);
            word |= lowest_bits(((low + rest) | eight[i]) >> 7) << (8 * i);
        }
        *to = word;
    }
}

static void write_rows(void *context, int32_t index, xh_scratch *scratch)
{
    const writing *k = context;
    const xh_product *product = &k->planes->product;
    const int32_t group = k->input->channels / product->groups, words = xh_words(group);
    const int32_t top = product->pad_value ? product->window.top : 0;
    const int32_t left = product->pad_value ? product->window.left : 0;
    const size_t stride = (size_t)product->groups * (size_t)words;
    const size_t plane = (size_t)k->height * (size_t)k->width * stride;
    uint8_t padding[32];
    (void)scratch;
    memset(padding, product->pad_value, sizeof padding);
    for (int32_t y = k->height * index / k->parts; y < k->height * (index + 1) / k->parts; y++) {
        uint32_t *to = k->to + (size_t)y * (size_t)k->width * stride;
        for (int32_t x = 0; x < k->width; x++) {
            const int32_t iy = y - top, ix = x - left;
            const int inside = iy >= 0 && iy < k->input->height && ix >= 0 && ix < k->input->width;
            const uint8_t *pixel = k->from;
            if (inside)
                pixel += ((size_t)iy * (size_t)k->input->width + (size_t)ix) * (size_t)k->input->channels;
            for (int32_t g = 0; g < product->groups; g++) {
                for (int32_t w = 0; w < words; w++) {
                    const int32_t many = group - 32 * w < 32 ? group - 32 * w : 32;
                    write_word(k, inside ? pixel + g * group + 32 * w : padding, many, to++, plane);
                }
            }
        }
    }
}

void xh_planes_write(xh_engine *engine, const xh_planes *planes, const xh_tensor *input, const void *from,
                     int32_t height, int32_t width, uint32_t *to)
{
    const int32_t bits = bit_planes(planes);
    writing k = {planes, input, from, height, width, 1, bits, xh_planes_count(planes) - bits, to};
    if (engine->threads > 1)
        k.parts = height < 4 * engine->threads ? height : 4 * engine->threads;
    xh_divide(engine, k.parts, write_rows, &k);
}
