/* NEON, ARMv7 and aarch64. */
#include "xh_layout.h"

#if defined(__ARM_NEON)
#include <arm_neon.h>
#include <sys/auxv.h>

#include "xh_layout_parts.h"

/* Rows are exchanged with their neighbours at the distance of 1, 2 and 4, their bytes with them. */
XH_INLINE void square(const uint8_t *const row[8], uint8_t *to, size_t stride)
{
    uint8x8_t x[8];
    for (int r = 0; r < 8; r++)
        x[r] = vld1_u8(row[r]);
    for (int r = 0; r < 8; r += 2) {
        const uint8x8x2_t both = vtrn_u8(x[r], x[r + 1]);
        x[r] = both.val[0];
        x[r + 1] = both.val[1];
    }
    for (int k = 0; k < 4; k++) {
        const int r = k / 2 * 4 + k % 2;
        const uint16x4x2_t both = vtrn_u16(vreinterpret_u16_u8(x[r]), vreinterpret_u16_u8(x[r + 2]));
        x[r] = vreinterpret_u8_u16(both.val[0]);
        x[r + 2] = vreinterpret_u8_u16(both.val[1]);
    }
    for (int r = 0; r < 4; r++) {
        const uint32x2x2_t both = vtrn_u32(vreinterpret_u32_u8(x[r]), vreinterpret_u32_u8(x[r + 4]));
        x[r] = vreinterpret_u8_u32(both.val[0]);
        x[r + 4] = vreinterpret_u8_u32(both.val[1]);
    }
    for (int r = 0; r < 8; r++)
        vst1_u8(to + (size_t)r * stride, x[r]);
}

XH_INLINE void word_square(const int32_t *from, size_t across, int32_t *to, size_t down)
{
    const int32x4x2_t ab = vtrnq_s32(vld1q_s32(from), vld1q_s32(from + across));
    const int32x4x2_t cd = vtrnq_s32(vld1q_s32(from + 2 * across), vld1q_s32(from + 3 * across));
    for (int r = 0; r < 2; r++) {
        vst1q_s32(to + (size_t)r * down, vcombine_s32(vget_low_s32(ab.val[r]), vget_low_s32(cd.val[r])));
        vst1q_s32(to + (size_t)(r + 2) * down, vcombine_s32(vget_high_s32(ab.val[r]), vget_high_s32(cd.val[r])));
    }
}

#define XH_SIDE 8
#include "xh_layout_squares.h"

static void interleave(const uint8_t *from, size_t stride, size_t channels, size_t pixels, uint8_t *to)
{
    size_t p = 0;
    if (channels == 3) {
        for (; p + 16 <= pixels; p += 16)
            vst3q_u8(to + 3 * p, (uint8x16x3_t){{vld1q_u8(from + p), vld1q_u8(from + stride + p),
                                                 vld1q_u8(from + 2 * stride + p)}});
    } else if (channels == 4) {
        for (; p + 16 <= pixels; p += 16)
            vst4q_u8(to + 4 * p, (uint8x16x4_t){{vld1q_u8(from + p), vld1q_u8(from + stride + p),
                                                 vld1q_u8(from + 2 * stride + p), vld1q_u8(from + 3 * stride + p)}});
    } else {
        squares(from, stride, channels, pixels, to);
        return;
    }
    interleave_bytes(from, stride, channels, p, pixels, to);
}

static void separate3(const uint8_t *from, size_t pixels, uint8_t *to, size_t stride)
{
    size_t p = 0;
    for (; p + 16 <= pixels; p += 16) {
        const uint8x16x3_t x = vld3q_u8(from + 3 * p);
        for (int c = 0; c < 3; c++)
            vst1q_u8(to + (size_t)c * stride + p, x.val[c]);
    }
    separate3_bytes(from, p, pixels, to, stride);
}

/* ARMv7 looks up 8 bytes in 32 entries: eight of these, and the table fills every register. */
static void look_up(const uint8_t table[256], const uint8_t *x, size_t n, uint8_t *y)
{
    size_t i = 0;
#if defined(__aarch64__)
    const uint8x16x4_t a = vld1q_u8_x4(table), b = vld1q_u8_x4(table + 64);
    const uint8x16x4_t c = vld1q_u8_x4(table + 128), d = vld1q_u8_x4(table + 192);
    const uint8x16_t quarter = vdupq_n_u8(64);
    for (; i + 16 <= n; i += 16) {
        uint8x16_t at = vld1q_u8(x + i);
        uint8x16_t found = vqtbl4q_u8(a, at);
        at = vsubq_u8(at, quarter);
        found = vqtbx4q_u8(found, b, at);
        at = vsubq_u8(at, quarter);
        found = vqtbx4q_u8(found, c, at);
        at = vsubq_u8(at, quarter);
        vst1q_u8(y + i, vqtbx4q_u8(found, d, at));
    }
#endif
    look_up_bytes(table, x + i, n - i, y + i);
}

static void add(uint8_t shift, const uint8_t *x, size_t n, uint8_t *y) { add_bytes(shift, x, n, y); }

static void bits(const uint8_t *x, size_t n, int32_t signs, uint8_t *to)
{
    static const uint8_t places[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x8_t place = vld1_u8(places);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8x8_t at = vld1_u8(x + i);
        const uint8x8_t one = signs ? vcge_s8(vreinterpret_s8_u8(at), vdup_n_s8(0)) : vtst_u8(at, vdup_n_u8(1));
        uint8x8_t sum = vand_u8(one, place);
        sum = vpadd_u8(sum, sum);
        sum = vpadd_u8(sum, sum);
        sum = vpadd_u8(sum, sum);
        vst1_lane_u8(to + i / 8, sum, 0);
    }
    few_bits(x + i, n - i, signs, to + i / 8);
}

/* The processor's own word, as the Linux kernel passes it on. */
static int runs_here(void)
{
#if defined(__aarch64__)
    const unsigned long asimd = 1ul << 1;
    return (getauxval(AT_HWCAP) & asimd) != 0;
#else
    const unsigned long neon = 1ul << 12;
    return (getauxval(AT_HWCAP) & neon) != 0;
#endif
}

const xh_layout_path xh_layout_neon = {"neon", runs_here, look_up, add, interleave, NULL, separate3, bits, words};
#endif
