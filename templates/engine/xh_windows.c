/* Products of integer codes with binary weights (the first layer's pixels), by additions.
 * Windows are gathered once, padding included, and meet all output channels. */
#include <string.h>

#include "xh_engine.h"

typedef struct codes_work {
    const xh_engine *engine;
    const xh_product *product;
    const xh_tensor *input, *output;
    const int32_t *map;
    int32_t *sums;
    int32_t parts;
} codes_work;

/* The window of output pixel (y, x): [kernel_h][kernel_w][channels of the group]. */
static void gather(const xh_tensor *input, const int32_t *map, const xh_window *win, int32_t groups, int32_t group,
                   int32_t pad_value, int32_t y, int32_t x, int32_t *window)
{
    const int32_t channels = input->channels / groups;
    for (int32_t ky = 0; ky < win->kernel_h; ky++) {
        for (int32_t kx = 0; kx < win->kernel_w; kx++, window += channels) {
            const int32_t iy = y * win->stride_h - win->top + ky * win->dilation_h;
            const int32_t ix = x * win->stride_w - win->left + kx * win->dilation_w;
            if (iy < 0 || iy >= input->height || ix < 0 || ix >= input->width) {
                for (int32_t c = 0; c < channels; c++)
                    window[c] = pad_value;
                continue;
            }
            const int32_t *pixel = map + ((size_t)iy * (size_t)input->width + (size_t)ix) * (size_t)input->channels +
                                   (size_t)group * (size_t)channels;
            memcpy(window, pixel, (size_t)channels * sizeof *window);
        }
    }
}

/* Four pixels at a time: the windows are gathered once and meet all output channels. */
static void codes_part(void *context, int32_t index, xh_scratch *scratch)
{
    const codes_work *k = context;
    const xh_product *product = k->product;
    const int32_t count =
        product->window.kernel_h * product->window.kernel_w * (k->input->channels / product->groups);
    const int32_t width = k->output->width, channels = k->output->channels;
    const int32_t out = channels / product->groups, blocks = xh_blocks(out);
    const int32_t pixels = k->output->height * width;
    const int32_t fours = (pixels + 3) / 4;
    const int32_t first = (int32_t)((int64_t)fours * index / k->parts) * 4;
    int32_t end = (int32_t)((int64_t)fours * (index + 1) / k->parts) * 4;
    if (end > pixels)
        end = pixels;
    const int32_t *x[4];
    for (int32_t p = 0; p < 4; p++)
        x[p] = scratch->window + (size_t)p * (size_t)count;
    for (int32_t at = first; at < end; at += 4) {
        const int32_t taken = end - at < 4 ? end - at : 4;
        for (int32_t group = 0; group < product->groups; group++) {
            for (int32_t p = 0; p < 4; p++) {
                const int32_t place = at + (p < taken ? p : taken - 1);
                gather(k->input, k->map, &product->window, product->groups, group, product->pad_value,
                       place / width, place % width, scratch->window + (size_t)p * (size_t)count);
            }
            for (int32_t term = 0; term < product->terms; term++) {
                const xh_term *t = product->term + term;
                for (int32_t b = 0; b < blocks; b++) {
                    int32_t sum[4][XH_LANES];
                    const int32_t lanes = out - b * XH_LANES < XH_LANES ? out - b * XH_LANES : XH_LANES;
                    const size_t block = (size_t)group * (size_t)blocks + (size_t)b;
                    k->engine->path->codes(x, count, t->lanes + block * (size_t)count, sum);
                    for (int32_t p = 0; p < taken; p++) {
                        int32_t *to = k->sums + (size_t)(at + p) * (size_t)channels + group * out + b * XH_LANES;
                        for (int32_t j = 0; j < lanes; j++)
                            to[j] = (term ? to[j] : 0) + t->coefficient * sum[p][j];
                    }
                }
            }
        }
    }
}

void xh_run_product_of_codes(xh_engine *engine, const xh_product *product, const xh_tensor *input, const void *from,
                             const xh_tensor *output, int32_t *sums)
{
    xh_values32(input, from, engine->values);
    codes_work k = {engine, product, input, output, engine->values, sums, 4 * engine->threads};
    if (engine->threads == 1)
        k.parts = 1;
    xh_divide(engine, k.parts, codes_part, &k);
}
