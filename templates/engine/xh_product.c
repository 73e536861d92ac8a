/* Binary convolutions and linear layers from packed bits.
 *
 * The sum over a window is n - 2 m: n the bits of the taps that lie on the map, m those that
 * differ.  Padded taps (value 0) are left out of both: the output map is cut into areas whose
 * pixels have the same taps (xh_areas.c), and an area's pixels go to the path's block loop in
 * raster order, across the ends of rows. */
#include <string.h>

#include "xh_areas.h"
#include "xh_engine.h"

/* Pixels that one call of a block loop takes: a multiple of what the paths keep in registers together (6, 4, 2). */
enum { PIXELS = 24 };

typedef struct work {
    const xh_engine *engine;
    const xh_product *product;
    const xh_tensor *output;
    const uint32_t *map;
    xh_binary_map shape;  /* of the map */
    int32_t group_stride; /* words from a group's to the next one's */
    int32_t bits;         /* channels of a group */
    int32_t slices;       /* parts along y */
    uint32_t *packed;     /* fused output, or NULL */
    int32_t *sums;
    const xh_planes *planes; /* NULL from bits */
    const int32_t *ones;     /* of the planes' weights */
    ptrdiff_t plane;         /* words from a plane to the next */
    const xh_tensor *input;
    size_t areas;
} work;

/* Rows [y.first, y.end) of an area, for up to 32 channels. */
typedef struct target {
    xh_span y, x;
    int32_t channel, lanes;
    ptrdiff_t weights; /* words from a term's first to these channels' */
    int32_t base[2 * XH_LANES]; /* of a sum, where no bit differs */
} target;

/* The sums of the next pixels: what they are where no bit differs, and each term's, each plane's misses. */
static void sums_of(const work *k, const target *of, xh_block *block, xh_places *at, int32_t pixels,
                    int32_t (*sum)[2 * XH_LANES])
{
    xh_places end = *at;
    for (int32_t p = 0; p < pixels; p++)
        memcpy(sum[p], of->base, sizeof of->base);
    for (int32_t t = 0; t < k->product->terms; t++) {
        const xh_term *term = k->product->term + t;
        int32_t first = 0, planes = 1;
        if (k->planes != NULL)
            planes = xh_planes_of_term(k->planes, t, &first);
        block->weights = term->bits + of->weights;
        for (int32_t i = 0; i < planes; i++) {
            int32_t misses[PIXELS][2 * XH_LANES];
            end = *at;
            end.map += (first + i) * k->plane;
            k->engine->path->block(block, &end, pixels, NULL, misses);
            end.map -= (first + i) * k->plane;
            const int32_t factor = k->planes ? xh_planes_factor(k->planes, k->input, t, i) : 2 * term->coefficient;
            k->engine->path->add_times(sum[0], misses[0], -factor, pixels * 2 * XH_LANES);
        }
    }
    *at = end;
}

/* What sums are where no bit differs: bipolar terms have n, bits of codes the ones of their weights. */
static void take_base(const work *k, target *of, int32_t count, ptrdiff_t first_lane, ptrdiff_t lanes)
{
    const xh_window *win = &k->product->window;
    uint32_t bipolar = 0;
    for (int32_t t = 0; t < k->product->terms; t++)
        if (k->planes == NULL || k->planes->plane[t] >= 0)
            bipolar += (uint32_t)k->product->term[t].coefficient * (uint32_t)count;
    for (int32_t j = 0; j < 2 * XH_LANES; j++)
        of->base[j] = (int32_t)bipolar;
    for (int32_t ky = of->y.tap; k->ones != NULL && ky < of->y.tap_end; ky++) {
        for (int32_t kx = of->x.tap; kx < of->x.tap_end; kx++) {
            const int32_t *ones = k->ones + (ky * win->kernel_w + kx) * lanes + first_lane;
            for (int32_t j = 0; j < of->lanes; j++)
                of->base[j] += ones[j];
        }
    }
}

/* Words from a pixel's taps to those of the pixel below. */
static ptrdiff_t words_down(const work *k)
{
    return (ptrdiff_t)k->product->window.stride_h * k->shape.width * k->shape.stride;
}

/* Walks an area's pixels in the output: numbers from a pixel to the next, more from a row's end to the next row. */
typedef struct walk {
    size_t at, right, down;
    int32_t across, column;
} walk;

static walk walk_of(const work *k, const target *of, size_t numbers, size_t channel)
{
    const int32_t across = of->x.end - of->x.first;
    const size_t first = (size_t)of->y.first * (size_t)k->output->width + (size_t)of->x.first;
    return (walk){first * numbers + channel, numbers, (size_t)(k->output->width - across) * numbers, across, 0};
}

static inline size_t next_of(walk *w)
{
    const size_t at = w->at;
    w->at += w->right;
    if (++w->column == w->across) {
        w->column = 0;
        w->at += w->down;
    }
    return at;
}

/* The signs of an area's pixels. */
static void signs_of(const work *k, const target *of, const xh_block *block, xh_places *from, int32_t pixels)
{
    const uint32_t keep = of->lanes >= 32 ? 0xffffffffu : (1u << of->lanes) - 1;
    const uint32_t flip = k->product->sign->flip ? k->product->sign->flip[of->channel / 32] : 0;
    walk to = walk_of(k, of, (size_t)xh_words(k->output->channels), (size_t)(of->channel / 32));
    for (int32_t done = 0, now; done < pixels; done += now) {
        uint32_t bits[PIXELS];
        now = pixels - done < PIXELS ? pixels - done : PIXELS;
        k->engine->path->block(block, from, now, bits, NULL);
        for (int32_t p = 0; p < now; p++)
            k->packed[next_of(&to)] = (bits[p] ^ flip) & keep;
    }
}

/* Their sums, where no sign is fused. */
static void all_sums_of(const work *k, const target *of, xh_block *block, xh_places *from, int32_t pixels)
{
    walk to = walk_of(k, of, (size_t)k->output->channels, (size_t)of->channel);
    for (int32_t done = 0, now; done < pixels; done += now) {
        int32_t sums[PIXELS][2 * XH_LANES];
        now = pixels - done < PIXELS ? pixels - done : PIXELS;
        sums_of(k, of, block, from, now, sums);
        for (int32_t p = 0; p < now; p++)
            memcpy(k->sums + next_of(&to), sums[p], (size_t)of->lanes * sizeof(int32_t));
    }
}

/* `map`: the first pixel's first tap; of windows that lie in the padding alone the map itself, where nothing is read. */
static void run_area(const work *k, const target *of, xh_block *block, const uint32_t *map)
{
    const int32_t across = of->x.end - of->x.first, pixels = (of->y.end - of->y.first) * across;
    const ptrdiff_t right = block->runs ? (ptrdiff_t)k->product->window.stride_w * k->shape.stride : 0;
    xh_places from = {map, right, block->runs ? words_down(k) - across * right : 0, across, 0};
    if (k->packed != NULL)
        signs_of(k, of, block, &from, pixels);
    else
        all_sums_of(k, of, block, &from, pixels);
}

/* Up to 32 output channels of a group, rows [y0, y1). */
static void channels_of(const work *k, int32_t group, int32_t pair, int32_t y0, int32_t y1)
{
    const xh_product *product = k->product;
    const xh_window *win = &product->window;
    const int32_t out = k->output->channels / product->groups;
    const int32_t blocks = xh_blocks(out);
    const ptrdiff_t step = (ptrdiff_t)win->kernel_h * win->kernel_w * k->shape.words * XH_LANES;
    const ptrdiff_t first = (ptrdiff_t)group * blocks + 2 * pair;
    target of = {.channel = group * out + 32 * pair,
                 .lanes = out - 32 * pair < 32 ? out - 32 * pair : 32,
                 .weights = first * step};
    xh_block block = {.vectors = of.lanes > XH_LANES ? 2 : 1,
                      .weights = product->term->bits + of.weights,
                      .step = step,
                      .at = k->packed ? product->sign->at + first * XH_LANES : NULL};
    const uint32_t *map = k->map + (ptrdiff_t)group * k->group_stride;
    for (const xh_area *area = k->engine->area; area < k->engine->area + k->areas; area++) {
        of.x = area->x;
        of.y = area->y;
        of.y.first = area->y.first < y0 ? y0 : area->y.first;
        of.y.end = area->y.end > y1 ? y1 : area->y.end;
        if (of.y.first >= of.y.end)
            continue;
        block.run = area->run;
        block.runs = area->runs;
        block.count = k->bits * area->taps;
        if (k->packed == NULL)
            take_base(k, &of, block.count, first * XH_LANES, (ptrdiff_t)product->groups * blocks * XH_LANES);
        run_area(k, &of, &block,
                 area->runs ? map + area->first + (of.y.first - area->y.first) * words_down(k) : map);
    }
}

static void part(void *context, int32_t index, xh_scratch *scratch)
{
    const work *k = context;
    const int32_t out = k->output->channels / k->product->groups;
    const int32_t pairs = (out + 31) / 32;
    const int32_t slice = index % k->slices, unit = index / k->slices;
    const int32_t height = k->output->height;
    (void)scratch;
    channels_of(k, unit / pairs, unit % pairs, height * slice / k->slices, height * (slice + 1) / k->slices);
}

int xh_product_repacks(const xh_product *product, const xh_tensor *input)
{
    return input->format == XH_BITS &&
           (product->pad_value != 0 || (product->groups > 1 && input->channels / product->groups % 32 != 0));
}

/* Rows or columns that the windows span, padding included. */
static int32_t reach(int32_t out, int32_t stride, int32_t kernel, int32_t dilation, int32_t pad, int32_t size)
{
    const int32_t windows = (out - 1) * stride + (kernel - 1) * dilation + 1;
    return windows > pad + size ? windows : pad + size;
}

/* The size of the map with its padding written out, or as it is. */
static void written_size(const xh_product *product, const xh_tensor *input, const xh_tensor *output, int32_t *height,
                         int32_t *width)
{
    const xh_window *win = &product->window;
    *height = input->height;
    *width = input->width;
    if (product->pad_value == 0)
        return;
    *height = reach(output->height, win->stride_h, win->kernel_h, win->dilation_h, win->top, input->height);
    *width = reach(output->width, win->stride_w, win->kernel_w, win->dilation_w, win->left, input->width);
}

/* Words of a map with every group on whole words. */
static size_t written_words(const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    int32_t height, width;
    written_size(product, input, output, &height, &width);
    return (size_t)height * (size_t)width * (size_t)product->groups *
           (size_t)xh_words(input->channels / product->groups);
}

size_t xh_product_packed_words(const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    return xh_product_repacks(product, input) ? written_words(product, input, output) : 0;
}

/* A tensor's packed bits as they are. */
static xh_binary_map shape_of(const xh_product *product, const xh_tensor *input)
{
    return (xh_binary_map){.height = input->height,
                           .width = input->width,
                           .stride = xh_words(input->channels),
                           .words = xh_words(input->channels / product->groups),
                           .top = product->window.top,
                           .left = product->window.left};
}

/* A map that is written out. */
static xh_binary_map written_shape(const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    xh_binary_map shape = shape_of(product, input);
    shape.stride = product->groups * shape.words;
    written_size(product, input, output, &shape.height, &shape.width);
    if (product->pad_value != 0)
        shape.top = shape.left = 0;
    return shape;
}

/* The work's map is one that is written out. */
static void take_written(work *k, const xh_tensor *input, const uint32_t *map)
{
    k->shape = written_shape(k->product, input, k->output);
    k->group_stride = k->shape.words;
    k->map = map;
}

static void repack(work *k, const xh_tensor *input, const uint32_t *from, uint32_t *to)
{
    const xh_product *product = k->product;
    const int32_t in_words = xh_words(input->channels);
    const int32_t group_bits = input->channels / product->groups;
    const int32_t top = product->pad_value ? product->window.top : 0;
    const int32_t left = product->pad_value ? product->window.left : 0;
    take_written(k, input, to);
    const int whole = product->groups == 1 || group_bits % 32 == 0;
    for (int32_t y = 0; y < k->shape.height; y++) {
        for (int32_t x = 0; x < k->shape.width; x++, to += k->shape.stride) {
            const int32_t iy = y - top, ix = x - left;
            const int inside = iy >= 0 && iy < input->height && ix >= 0 && ix < input->width;
            const size_t place = inside ? (size_t)iy * (size_t)input->width + (size_t)ix : 0;
            const uint32_t *pixel = from + place * (size_t)in_words;
            if (inside && whole) {
                memcpy(to, pixel, (size_t)in_words * sizeof *to);
                continue;
            }
            memset(to, 0, (size_t)k->shape.stride * sizeof *to);
            for (int32_t c = 0; c < input->channels; c++) {
                const uint32_t bit = inside ? pixel[c / 32] >> (c % 32) & 1u : product->pad_value > 0;
                const int32_t b = c % group_bits;
                to[c / group_bits * k->shape.words + b / 32] |= bit << (b % 32);
            }
        }
    }
}

int xh_product_fuses(const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    return product->sign != NULL && product->sign->positions == 1 && product->terms == 1 &&
           product->term[0].coefficient == 1 && input->format == XH_BITS &&
           (product->groups == 1 || output->channels / product->groups % 32 == 0);
}

xh_areas xh_product_areas(const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    const int written = input->format != XH_BITS || xh_product_repacks(product, input);
    const xh_binary_map shape = written ? written_shape(product, input, output) : shape_of(product, input);
    return xh_areas_make(&product->window, &shape, output, NULL, NULL);
}

/* Everything but the map's place. */
static work work_of(xh_engine *engine, const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    work k = {.engine = engine,
              .product = product,
              .input = input,
              .output = output,
              .shape = shape_of(product, input),
              .bits = input->channels / product->groups,
              .slices = 1};
    k.group_stride = k.shape.words;
    if (engine->threads > 1)
        k.slices = output->height < 2 * engine->threads ? output->height : 2 * engine->threads;
    return k;
}

static void run(xh_engine *engine, work *k)
{
    const xh_product *product = k->product;
    k->areas = xh_areas_make(&product->window, &k->shape, k->output, engine->area, engine->runs).areas;
    const int32_t pairs = (k->output->channels / product->groups + 31) / 32;
    xh_divide(engine, product->groups * pairs * k->slices, part, k);
}

void xh_run_product(xh_engine *engine, const xh_product *product, const xh_tensor *input, const void *from,
                    const xh_tensor *output, void *to, int32_t *sums)
{
    if (input->format != XH_BITS) {
        xh_run_product_of_codes(engine, product, input, from, output, sums ? sums : to);
        return;
    }
    work k = work_of(engine, product, input, output);
    k.map = from;
    if (xh_product_repacks(product, input))
        repack(&k, input, from, engine->packed);
    if (sums != NULL)
        k.sums = sums;
    else if (product->sign != NULL)
        k.packed = to;
    else
        k.sums = to;
    run(engine, &k);
}

size_t xh_planes_packed_words(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output)
{
    return (size_t)xh_planes_count(planes) * written_words(&planes->product, input, output);
}

void xh_run_planes(xh_engine *engine, const xh_planes *planes, const int32_t *ones, const xh_tensor *input,
                   const void *from, const xh_tensor *output, int32_t *to)
{
    work k = work_of(engine, &planes->product, input, output);
    take_written(&k, input, engine->packed);
    k.planes = planes;
    k.ones = ones;
    k.plane = (ptrdiff_t)k.shape.height * k.shape.width * k.shape.stride;
    k.sums = to;
    xh_planes_write(engine, planes, input, from, k.shape.height, k.shape.width, engine->packed);
    run(engine, &k);
}
