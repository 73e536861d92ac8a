/* Frames of bytes into the accelerator's order, and its results out of it: tables, channels moved
 * innermost, bits packed.  Each byte is read once from memory and written once; what lies between
 * stays in the nearest cache. */
#ifndef XH_LAYOUT_H
#define XH_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* The most channels of a planar frame or of one with a table a channel, and the bytes that a part of a
 * frame takes between two steps. */
enum { XH_LAYOUT_CHANNELS = 1024, XH_LAYOUT_ROOM = 16384 };

/* How the frames of a network lie.  `table`: uint8_t [tables][256], where table t adds shift[t]
 * (0 to 255, modulo 256) or, where that is -1, is looked up. */
typedef struct xh_layout {
    size_t channels, pixels;
    size_t stride;   /* bytes from one packed frame to the next */
    int32_t bits;    /* 8: a byte an element.  1: bits, the first the lowest */
    int32_t signs;   /* with bits = 1: an element is -1 or +1, else its lowest bit is taken */
    int32_t tables;  /* 0, 1, or one a channel */
    const int32_t *shift;
    const uint8_t *table;
} xh_layout;

/* What one instruction set gives; `n` may be any number, and nothing need be aligned. */
typedef struct xh_layout_path {
    const char *name;
    int (*runs_here)(void);
    void (*look_up)(const uint8_t table[256], const uint8_t *x, size_t n, uint8_t *y); /* y = table[x] */
    void (*add)(uint8_t shift, const uint8_t *x, size_t n, uint8_t *y);                 /* y = x + shift */
    /* to[p * channels + c] = from[c * stride + p] */
    void (*interleave)(const uint8_t *from, size_t stride, size_t channels, size_t pixels, uint8_t *to);
    /* y[3 p + c] = tables[c][x[3 p + c]], or NULL where it is faster to separate the channels. */
    void (*look_up3)(const uint8_t tables[3 * 256], const uint8_t *x, size_t pixels, uint8_t *y);
    /* to[c * stride + p] = from[p * 3 + c] */
    void (*separate3)(const uint8_t *from, size_t pixels, uint8_t *to, size_t stride);
    /* The n + 7 / 8 bytes of n bits: whether x[i] >= 0 as a signed number, or its lowest bit. */
    void (*bits)(const uint8_t *x, size_t n, int32_t signs, uint8_t *to);
    /* to[c * pixels + p] = from[p * channels + c] */
    void (*words)(const int32_t *from, size_t channels, size_t pixels, int32_t *to);
} xh_layout_path;

/* The path called `name` (NULL: XH_PATH of the environment, else the best).  Where the engine has a
 * path of that name and the layout none, the plain one; NULL for an unknown name, or instructions
 * that this processor lacks. */
const xh_layout_path *xh_layout_choose(const char *name);
const char *xh_layout_name(const xh_layout_path *path);

/* `count` frames, one behind the other, to `to`.  `planar`: channel behind channel, else channels
 * innermost.  Bytes behind a frame's last element are left alone. */
void xh_layout_pack(const xh_layout_path *path, const xh_layout *layout, const uint8_t *frames, size_t count,
                    int planar, uint8_t *to);

/* `count` results of `channels` x `pixels` words, channels innermost, each `stride` words behind the
 * last, to channel behind channel without a gap. */
void xh_layout_results(const xh_layout_path *path, const int32_t *from, size_t stride, size_t count,
                       size_t channels, size_t pixels, int32_t *to);

extern const xh_layout_path xh_layout_plain;
#if defined(__x86_64__) || defined(__i386__)
extern const xh_layout_path xh_layout_avx512, xh_layout_avx2, xh_layout_ssse3;
#elif defined(__ARM_NEON) || defined(XH_NEON)
extern const xh_layout_path xh_layout_neon;
#endif

#endif
