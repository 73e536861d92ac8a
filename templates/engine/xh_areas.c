/* Cuts an output map into areas: rectangles whose pixels read the same taps.
 *
 * Padding of value 0 is left out of sums, so a pixel at the edge has fewer taps than one in the
 * middle: nine areas of a 3x3 kernel with padding 1, one where nothing is padded.  They are made
 * once a layer and serve all of its channels. */
#include "xh_areas.h"

/* Output rows or columns: how many, of windows of `kernel` taps that step by `stride`. */
typedef struct axis {
    int32_t count, kernel, stride, dilation, pad, size;
} axis;

/* The span of equal taps that starts at output index `first`. */
static xh_span span_at(const axis *of, int32_t first)
{
    xh_span s = {first, first, 0, 0};
    for (int32_t i = first; i < of->count; i++) {
        const int32_t start = i * of->stride - of->pad, dilation = of->dilation;
        int32_t low = start < 0 ? (-start + dilation - 1) / dilation : 0, high = of->kernel;
        if (start + (high - 1) * dilation >= of->size) /* 0 or less where no tap lies on the map */
            high = (of->size - start + dilation - 1) / dilation;
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

static axis rows_of(const xh_window *w, const xh_binary_map *map, int32_t count)
{
    return (axis){count, w->kernel_h, w->stride_h, w->dilation_h, map->top, map->height};
}

static axis columns_of(const xh_window *w, const xh_binary_map *map, int32_t count)
{
    return (axis){count, w->kernel_w, w->stride_w, w->dilation_w, map->left, map->width};
}

/* The words of an area's taps, as runs that lie side by side in the map and in the weights; returns
 * how many.  `run` NULL: they are counted alone. */
static int32_t runs_of(const xh_window *window, const xh_binary_map *map, const xh_area *area, xh_run_of_words *run)
{
    int32_t runs = 0;
    xh_run_of_words last = {0, 0, 0};
    for (int32_t ky = area->y.tap; ky < area->y.tap_end; ky++) {
        for (int32_t kx = area->x.tap; kx < area->x.tap_end; kx++) {
            const ptrdiff_t at =
                ((ptrdiff_t)ky * window->dilation_h * map->width + (ptrdiff_t)kx * window->dilation_w) * map->stride;
            const ptrdiff_t weights = (ptrdiff_t)(ky * window->kernel_w + kx) * map->words * XH_LANES;
            if (runs && last.map + last.words == at && last.weights + (ptrdiff_t)last.words * XH_LANES == weights)
                last.words += map->words;
            else
                last = (xh_run_of_words){at, weights, map->words}, runs++;
            if (run != NULL)
                run[runs - 1] = last;
        }
    }
    return runs;
}

/* Runs count from the first tap on the map of the area's first pixel: tap (0, 0) may lie outside. */
static void take_first(const xh_window *window, const xh_binary_map *map, xh_area *area)
{
    const ptrdiff_t y = area->y.first * window->stride_h - map->top, x = area->x.first * window->stride_w - map->left;
    const ptrdiff_t base = area->runs ? area->run[0].map : 0;
    area->first = area->runs ? (y * map->width + x) * map->stride + base : 0;
    for (int32_t r = 0; r < area->runs; r++)
        area->run[r].map -= base;
}

xh_areas xh_areas_make(const xh_window *window, const xh_binary_map *map, const xh_tensor *output, xh_area *area,
                       xh_run_of_words *run)
{
    const axis rows = rows_of(window, map, output->height), columns = columns_of(window, map, output->width);
    xh_areas made = {0, 0};
    for (xh_span y = {0}; y.end < rows.count;) {
        y = span_at(&rows, y.end);
        for (xh_span x = {0}; x.end < columns.count; made.areas++) {
            x = span_at(&columns, x.end);
            xh_area next = {.y = y, .x = x, .taps = (y.tap_end - y.tap) * (x.tap_end - x.tap)};
            next.run = run == NULL ? NULL : run + made.runs;
            next.runs = runs_of(window, map, &next, next.run);
            made.runs += (size_t)next.runs;
            if (area == NULL)
                continue;
            take_first(window, map, &next);
            area[made.areas] = next;
        }
    }
    return made;
}
