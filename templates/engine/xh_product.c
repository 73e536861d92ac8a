/* Binary convolutions and linear layers from packed bits.
 *
 * The sum over a window is n - 2 m: n the bits of the taps that lie on the map, m those that
 * differ.  Padded taps (value 0) are left out of both.  The output map is cut into
 * rectangles whose pixels have the same taps; a rectangle's pixels go to the path's block
 * loop in raster order, 7 or 8 at a time, across the ends of rows. */
#include <string.h>

#include "xh_engine.h"

typedef struct work {
    const xh_engine *engine;
    const xh_product *product;
    const xh_tensor *output;
    const uint32_t *map; /* [height][width][stride] */
    int32_t height, width, stride, words;
    int32_t top, left;    /* padding not written into the map */
    int32_t group_stride; /* words from a group's to the next one's */
    int32_t bits;         /* channels of a group */
    int32_t slices;       /* parts along y */
    uint32_t *packed;     /* fused output, or NULL */
    int32_t *sums;
    const xh_planes *planes; /* NULL from bits */
    const int32_t *ones;     /* of the planes' weights */
    ptrdiff_t plane;         /* words from a plane to the next */
    const xh_tensor *input;
    const uint32_t *parity;    /* the map's parity map, or NULL */
    ptrdiff_t tap;             /* words from a tap to the next in a row */
} work;

/* Output rows or columns [first, end) that read the taps [tap, tap_end). */
typedef struct span {
    int32_t first, end, tap, tap_end;
} span;

/* The span of equal taps that starts at output index `first`. */
static span span_at(int32_t first, int32_t end, int32_t kernel, int32_t stride, int32_t dilation, int32_t pad,
                    int32_t size)
{
    span s = {first, first, 0, 0};
    for (int32_t i = first; i < end; i++) {
        const int32_t start = i * stride - pad;
        int32_t low = start < 0 ? (-start + dilation - 1) / dilation : 0;
        int32_t high = start >= size ? 0 : (size - start + dilation - 1) / dilation;
        if (high > kernel)
            high = kernel;
        if (low >= high)
            low = high = 0;
        if (i == first) {
            s.tap = low;
            s.tap_end = high;
        } else if (s.tap != low || s.tap_end != high) {
            break;
        }
        s.end = i + 1;
    }
    return s;
}

/* The runs of words of a rectangle's taps; returns how many. */
static int32_t runs_of(const work *k, const span *y, const span *x, int threes, xh_run_of_words *run)
{
    const xh_window *win = &k->product->window;
    int32_t runs = 0;
    for (int32_t ky = y->tap; threes && ky < y->tap_end; ky++) {
        const ptrdiff_t map = (ptrdiff_t)ky * win->dilation_h * k->width * k->stride;
        run[runs++] = (xh_run_of_words){map, (ptrdiff_t)ky * 3 * k->words * XH_LANES, 3 * k->words};
    }
    if (threes)
        return runs;
    for (int32_t ky = y->tap; ky < y->tap_end; ky++) {
        for (int32_t kx = x->tap; kx < x->tap_end; kx++) {
            const ptrdiff_t map =
                ((ptrdiff_t)ky * win->dilation_h * k->width + (ptrdiff_t)kx * win->dilation_w) * k->stride;
            const ptrdiff_t weights = (ptrdiff_t)(ky * win->kernel_w + kx) * k->words * XH_LANES;
            xh_run_of_words *last = run + runs - 1;
            if (runs && last->map + last->words == map &&
                last->weights + (ptrdiff_t)last->words * XH_LANES == weights)
                last->words += k->words;
            else
                run[runs++] = (xh_run_of_words){map, weights, k->words};
        }
    }
    return runs;
}

/* Where the first tap on the map of the rectangle's first pixel lies; from then on the runs
 * count from there.  (Tap (0, 0) may lie outside of the map.) */
static ptrdiff_t first_tap(const work *k, const span *y, const span *x, xh_run_of_words *run, int32_t runs)
{
    const xh_window *win = &k->product->window;
    const ptrdiff_t base = run[0].map;
    for (int32_t r = 0; r < runs; r++)
        run[r].map -= base;
    return ((ptrdiff_t)(y->first * win->stride_h - k->top) * k->width + (x->first * win->stride_w - k->left)) *
               k->stride +
           base;
}

/* Some output rows and columns whose pixels have the same taps, for up to 32 channels. */
typedef struct area {
    const span *y, *x;
    int32_t channel, lanes;
    ptrdiff_t weights; /* words from a term's first to these channels' */
    xh_pixels run;
    int32_t base[2 * XH_LANES]; /* of a sum, where no bit differs */
} area;

/* The signs of `pixels` pixels, of which the first is output pixel `place[0]`. */
static void store_signs(const work *k, const area *of, const size_t *place, int32_t pixels, const uint32_t *bits)
{
    const uint32_t keep = of->lanes >= 32 ? 0xffffffffu : (1u << of->lanes) - 1;
    const uint32_t flip = k->product->sign->flip ? k->product->sign->flip[of->channel / 32] : 0;
    const size_t words = (size_t)xh_words(k->output->channels);
    uint32_t *out = k->packed + (size_t)(of->channel / 32);
    for (int32_t p = 0; p < pixels; p++)
        out[place[p] * words] = (bits[p] ^ flip) & keep;
}

/* The sums of the next pixels: what they are where no bit differs, and each term's, each plane's misses. */
static void sums_of(const work *k, const area *of, xh_block *block, xh_places *at, int32_t pixels,
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
            int32_t misses[XH_PIXELS][2 * XH_LANES];
            end = *at;
            end.map += (first + i) * k->plane;
            of->run(block, &end, pixels, NULL, misses);
            end.map -= (first + i) * k->plane;
            const int32_t factor = k->planes ? xh_planes_factor(k->planes, k->input, t, i) : 2 * term->coefficient;
            k->engine->path->add_times(sum[0], misses[0], -factor, pixels * 2 * XH_LANES);
        }
    }
    *at = end;
}

static void store_sums(const work *k, const area *of, const size_t *place, int32_t pixels,
                       int32_t (*sum)[2 * XH_LANES])
{
    for (int32_t p = 0; p < pixels; p++)
        memcpy(k->sums + place[p] * (size_t)k->output->channels + (size_t)of->channel, sum[p],
               (size_t)of->lanes * sizeof(int32_t));
}

/* What sums are where no bit differs: bipolar terms have n, bits of codes the ones of their weights. */
static void take_base(const work *k, area *of, int32_t count, ptrdiff_t first_lane, ptrdiff_t lanes)
{
    const xh_window *win = &k->product->window;
    uint32_t bipolar = 0;
    for (int32_t t = 0; t < k->product->terms; t++)
        if (k->planes == NULL || k->planes->plane[t] >= 0)
            bipolar += (uint32_t)k->product->term[t].coefficient * (uint32_t)count;
    for (int32_t j = 0; j < 2 * XH_LANES; j++)
        of->base[j] = (int32_t)bipolar;
    for (int32_t ky = of->y->tap; k->ones != NULL && ky < of->y->tap_end; ky++) {
        for (int32_t kx = of->x->tap; kx < of->x->tap_end; kx++) {
            const int32_t *ones = k->ones + (ky * win->kernel_w + kx) * lanes + first_lane;
            for (int32_t j = 0; j < of->lanes; j++)
                of->base[j] += ones[j];
        }
    }
}

static void rectangle(const work *k, const area *of, xh_block *block, const uint32_t *map)
{
    const xh_window *win = &k->product->window;
    const span *y = of->y, *x = of->x;
    const int32_t across = x->end - x->first, pixels = (y->end - y->first) * across;
    const ptrdiff_t right = (ptrdiff_t)win->stride_w * k->stride;
    const ptrdiff_t down = (ptrdiff_t)win->stride_h * k->width * k->stride;
    xh_places at = {map, right, down - across * right, across, 0};
    size_t next = (size_t)y->first * (size_t)k->output->width + (size_t)x->first;
    int32_t column = 0, now;
    for (int32_t done = 0; done < pixels; done += now) {
        uint32_t bits[XH_PIXELS];
        int32_t sums[XH_PIXELS][2 * XH_LANES];
        size_t place[XH_PIXELS];
        now = pixels - done < XH_PIXELS ? pixels - done : XH_PIXELS;
        for (int32_t p = 0; p < now; p++) {
            place[p] = next++;
            if (++column == across) {
                column = 0;
                next += (size_t)(k->output->width - across);
            }
        }
        if (k->packed != NULL) {
            of->run(block, &at, now, bits, NULL);
            store_signs(k, of, place, now, bits);
        } else {
            sums_of(k, of, block, &at, now, sums);
            store_sums(k, of, place, now, sums);
        }
    }
}

/* Up to 32 output channels of a group, rows [y0, y1). */
static void channels_of(const work *k, int32_t group, int32_t pair, int32_t y0, int32_t y1, xh_scratch *scratch)
{
    const xh_product *product = k->product;
    const xh_window *win = &product->window;
    const int32_t out = k->output->channels / product->groups;
    const int32_t blocks = xh_blocks(out);
    const ptrdiff_t step = (ptrdiff_t)win->kernel_h * win->kernel_w * k->words * XH_LANES;
    const ptrdiff_t first = (ptrdiff_t)group * blocks + 2 * pair;
    const int32_t lanes = out - 32 * pair < 32 ? out - 32 * pair : 32;
    xh_block block = {.run = scratch->runs,
                      .vectors = lanes > XH_LANES ? 2 : 1,
                      .weights = product->term->bits + first * step,
                      .step = step,
                      .at = k->packed ? product->sign->at + first * XH_LANES : NULL,
                      .words = k->words,
                      .tap = k->tap,
                      .parity = k->parity ? k->parity - k->map : 0};
    const uint32_t *map = k->map + (ptrdiff_t)group * k->group_stride;
    span y = {0, y0, 0, 0};
    while (y.end < y1) {
        y = span_at(y.end, y1, win->kernel_h, win->stride_h, win->dilation_h, k->top, k->height);
        span x = {0, 0, 0, 0};
        while (x.end < k->output->width) {
            x = span_at(x.end, k->output->width, win->kernel_w, win->stride_w, win->dilation_w, k->left, k->width);
            const int threes = k->parity != NULL && x.tap_end - x.tap == 3;
            area of = {.y = &y,
                       .x = &x,
                       .channel = group * out + 32 * pair,
                       .lanes = lanes,
                       .weights = first * step,
                       .run = threes ? k->engine->path->rows_of_three : k->engine->path->block};
            const uint32_t *first_word = map;
            block.runs = runs_of(k, &y, &x, threes, scratch->runs);
            block.count = k->bits * (y.tap_end - y.tap) * (x.tap_end - x.tap);
            if (block.runs)
                first_word += first_tap(k, &y, &x, scratch->runs, block.runs);
            if (k->packed == NULL)
                take_base(k, &of, block.count, first * XH_LANES, (ptrdiff_t)product->groups * blocks * XH_LANES);
            rectangle(k, &of, &block, first_word);
        }
    }
}

static void part(void *context, int32_t index, xh_scratch *scratch)
{
    const work *k = context;
    const int32_t out = k->output->channels / k->product->groups;
    const int32_t pairs = (out + 31) / 32;
    const int32_t slice = index % k->slices, unit = index / k->slices;
    const int32_t height = k->output->height;
    channels_of(k, unit / pairs, unit % pairs, height * slice / k->slices, height * (slice + 1) / k->slices,
                scratch);
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

/* The work's map is one that is written out. */
static void take_written(work *k, const xh_tensor *input, const uint32_t *map)
{
    k->stride = k->product->groups * k->words;
    k->group_stride = k->words;
    written_size(k->product, input, k->output, &k->height, &k->width);
    if (k->product->pad_value != 0)
        k->top = k->left = 0;
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
    for (int32_t y = 0; y < k->height; y++) {
        for (int32_t x = 0; x < k->width; x++, to += k->stride) {
            const int32_t iy = y - top, ix = x - left;
            const int inside = iy >= 0 && iy < input->height && ix >= 0 && ix < input->width;
            const size_t place = inside ? (size_t)iy * (size_t)input->width + (size_t)ix : 0;
            const uint32_t *pixel = from + place * (size_t)in_words;
            if (inside && whole) {
                memcpy(to, pixel, (size_t)in_words * sizeof *to);
                continue;
            }
            memset(to, 0, (size_t)k->stride * sizeof *to);
            for (int32_t c = 0; c < input->channels; c++) {
                const uint32_t bit = inside ? pixel[c / 32] >> (c % 32) & 1u : product->pad_value > 0;
                const int32_t b = c % group_bits;
                to[c / group_bits * k->words + b / 32] |= bit << (b % 32);
            }
        }
    }
}

size_t xh_product_parity_words(const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    if (input->format != XH_BITS || product->window.kernel_w != 3)
        return 0;
    const size_t packed = xh_product_packed_words(product, input, output);
    return packed ? packed
                  : (size_t)input->height * (size_t)input->width * (size_t)xh_words(input->channels);
}

/* Word i is the parity of the words one tap left, here and one tap right.  At a row's ends it
 * mixes rows; no window with all three taps reads it there. */
static void make_parity(work *k, int32_t planes, uint32_t *to)
{
    const ptrdiff_t words = (ptrdiff_t)k->height * k->width * k->stride * planes;
    const uint32_t *map = k->map;
    k->parity = to;
    for (ptrdiff_t i = k->tap; i < words - k->tap; i++)
        to[i] = map[i - k->tap] ^ map[i] ^ map[i + k->tap];
}

int xh_product_fuses(const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    return product->sign != NULL && product->sign->positions == 1 && product->terms == 1 &&
           product->term[0].coefficient == 1 && input->format == XH_BITS &&
           (product->groups == 1 || output->channels / product->groups % 32 == 0);
}

/* Everything but the map's place. */
static work work_of(xh_engine *engine, const xh_product *product, const xh_tensor *input, const xh_tensor *output)
{
    const int32_t words = xh_words(input->channels / product->groups);
    work k = {.engine = engine,
              .product = product,
              .input = input,
              .output = output,
              .height = input->height,
              .width = input->width,
              .stride = xh_words(input->channels),
              .words = words,
              .top = product->window.top,
              .left = product->window.left,
              .group_stride = words,
              .bits = input->channels / product->groups,
              .slices = 1};
    if (engine->threads > 1)
        k.slices = output->height < 2 * engine->threads ? output->height : 2 * engine->threads;
    return k;
}

static void run(xh_engine *engine, work *k, int32_t planes)
{
    const xh_product *product = k->product;
    k->tap = (ptrdiff_t)product->window.dilation_w * k->stride;
    if (engine->path->rows_of_three != NULL && product->window.kernel_w == 3)
        make_parity(k, planes, engine->parity);
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
    run(engine, &k, 1);
}

size_t xh_planes_packed_words(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output)
{
    return (size_t)xh_planes_count(planes) * written_words(&planes->product, input, output);
}

size_t xh_planes_parity_words(const xh_planes *planes, const xh_tensor *input, const xh_tensor *output)
{
    return planes->product.window.kernel_w == 3 ? xh_planes_packed_words(planes, input, output) : 0;
}

void xh_run_planes(xh_engine *engine, const xh_planes *planes, const int32_t *ones, const xh_tensor *input,
                   const void *from, const xh_tensor *output, int32_t *to)
{
    work k = work_of(engine, &planes->product, input, output);
    take_written(&k, input, engine->packed);
    k.planes = planes;
    k.ones = ones;
    k.plane = (ptrdiff_t)k.height * k.width * k.stride;
    k.sums = to;
    xh_planes_write(engine, planes, input, from, k.height, k.width, engine->packed);
    run(engine, &k, xh_planes_count(planes));
}
