#include "xh_layout.h"

#include <stdlib.h>
#include <string.h>

/* Best first. */
static const xh_layout_path *const paths[] = {
#if defined(__x86_64__) || defined(__i386__)
    &xh_layout_avx512, &xh_layout_avx2, &xh_layout_ssse3,
#elif defined(__ARM_NEON) || defined(XH_NEON)
    &xh_layout_neon,
#endif
    &xh_layout_plain,
};
enum { PATHS = sizeof paths / sizeof paths[0] };

const xh_layout_path *xh_layout_choose(const char *name)
{
    if (name == NULL)
        name = getenv("XH_PATH");
    const int any = name == NULL || name[0] == '\0';
    for (int i = 0; i < PATHS; i++)
        if (any ? paths[i]->runs_here() : strcmp(paths[i]->name, name) == 0)
            return paths[i]->runs_here() ? paths[i] : NULL;
    return strcmp(name, "popcnt") == 0 ? &xh_layout_plain : NULL;
}

const char *xh_layout_name(const xh_layout_path *path) { return path->name; }

/* n elements through table t. */
static void through(const xh_layout_path *path, const xh_layout *layout, size_t t, const uint8_t *x, size_t n,
                    uint8_t *y)
{
    if (layout->shift[t] >= 0)
        path->add((uint8_t)layout->shift[t], x, n, y);
    else
        path->look_up(layout->table + 256 * t, x, n, y);
}

/* `pixels` pixels of three channels, each through its own table. */
static void three(const xh_layout_path *path, const xh_layout *layout, const uint8_t *x, size_t pixels, uint8_t *y)
{
    enum { PART = 512 };
    uint8_t apart[3 * PART], found[3 * PART];
    for (size_t p = 0; p < pixels; p += PART) {
        const size_t many = pixels - p < PART ? pixels - p : PART;
        path->separate3(x + 3 * p, many, apart, PART);
        for (size_t c = 0; c < 3; c++)
            through(path, layout, c, apart + c * PART, many, found + c * PART);
        path->interleave(found, PART, 3, many, y + 3 * p);
    }
}

/* Whole pixels, channels innermost, through the tables. */
static void look_up_last(const xh_layout_path *path, const xh_layout *layout, const uint8_t *x, size_t pixels,
                         uint8_t *y)
{
    const size_t channels = layout->channels;
    if (layout->tables == 1) {
        through(path, layout, 0, x, pixels * channels, y);
    } else if (channels == 3 && path->look_up3) {
        path->look_up3(layout->table, x, pixels, y);
    } else if (channels == 3) {
        three(path, layout, x, pixels, y);
    } else {
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++)
                *y++ = layout->table[256 * c + *x++];
    }
}

/* `pixels` of a planar frame from its plane 0 on, to channels innermost. */
static void look_up_planes(const xh_layout_path *path, const xh_layout *layout, const uint8_t *x, size_t pixels,
                           uint8_t *y)
{
    uint8_t room[XH_LAYOUT_ROOM];
    for (size_t c = 0; c < layout->channels; c++) {
        const uint8_t *plane = x + c * layout->pixels;
        if (layout->tables)
            through(path, layout, layout->tables > 1 ? c : 0, plane, pixels, room + c * pixels);
        else
            memcpy(room + c * pixels, plane, pixels); /* one stream from memory instead of one a channel */
    }
    path->interleave(room, pixels, layout->channels, pixels, y);
}

static void pack_frame(const xh_layout_path *path, const xh_layout *layout, const uint8_t *x, int planar, uint8_t *to)
{
    const size_t channels = layout->channels, pixels = layout->pixels;
    /* a multiple of 16, so that each part's bits fill whole bytes */
    const size_t part = XH_LAYOUT_ROOM / channels / 16 * 16;
    uint8_t room[XH_LAYOUT_ROOM];
    if (!planar && layout->tables == 0) {
        if (layout->bits == 1)
            path->bits(x, channels * pixels, layout->signs, to);
        else
            memcpy(to, x, channels * pixels);
        return;
    }
    for (size_t p = 0; p < pixels; p += part) {
        const size_t many = pixels - p < part ? pixels - p : part;
        uint8_t *y = layout->bits == 1 ? room : to + p * channels;
        if (planar)
            look_up_planes(path, layout, x + p, many, y);
        else
            look_up_last(path, layout, x + p * channels, many, y);
        if (layout->bits == 1)
            path->bits(room, many * channels, layout->tables ? 0 : layout->signs, to + p * channels / 8);
    }
}

void xh_layout_pack(const xh_layout_path *path, const xh_layout *layout, const uint8_t *frames, size_t count,
                    int planar, uint8_t *to)
{
    const size_t bytes = layout->channels * layout->pixels;
    xh_layout flat = *layout;
    planar = planar && layout->channels > 1 && layout->pixels > 1;
    if (!planar && layout->tables <= 1) {
        /* elements one behind the other, and where no bits are packed and no frame is filled up, frames too */
        flat.channels = 1;
        flat.pixels = bytes;
        if (layout->bits == 8 && layout->stride == bytes) {
            flat.pixels = flat.stride = bytes * count;
            count = 1;
        }
    }
    for (size_t i = 0; i < count; i++)
        pack_frame(path, &flat, frames + i * bytes, planar, to + i * layout->stride);
}

void xh_layout_results(const xh_layout_path *path, const int32_t *from, size_t stride, size_t count,
                       size_t channels, size_t pixels, int32_t *to)
{
    for (size_t i = 0; i < count; i++, from += stride, to += channels * pixels) {
        if (channels == 1 || pixels == 1)
            memcpy(to, from, channels * pixels * sizeof *to);
        else
            path->words(from, channels, pixels, to);
    }
}
