/* NEON, ARMv7 and aarch64: vcnt counts the bits of each byte. */
#include "xh_path.h"

#if defined(__ARM_NEON)
#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#define XH_VECTOR 16
#include "xh_codes.h"

typedef uint8x16_t vec;
/* 8 registers of counts, 4 of weights: what ARMv7's 16 hold beside the temporaries. */
enum { VECS = 4, PIXELS = 2 };

#define INLINE static inline __attribute__((always_inline))

INLINE vec zero(void) { return vdupq_n_u8(0); }
INLINE vec load(const uint32_t *w) { return vreinterpretq_u8_u32(vld1q_u32(w)); }
INLINE vec splat(const uint32_t *x) { return vreinterpretq_u8_u32(vld1q_dup_u32(x)); }
INLINE vec add8(vec a, vec b) { return vaddq_u8(a, b); }
INLINE vec differ(vec x, vec w) { return vcntq_u8(veorq_u8(x, w)); }

INLINE void widen(uint32_t *m, vec counts)
{
    vst1q_u32(m, vpadalq_u16(vld1q_u32(m), vpaddlq_u8(counts)));
}

INLINE uint32_t passed(const uint32_t *m, const int32_t *at, int32_t count)
{
    static const uint32_t first[4] = {1, 2, 4, 8};
    const int32x4_t n = vdupq_n_s32(count);
    uint32x4_t bit = vld1q_u32(first), bits = vdupq_n_u32(0);
    for (int v = 0; v < VECS; v++) {
        const int32x4_t most = vshrq_n_s32(vsubq_s32(n, vld1q_s32(at + 4 * v)), 1);
        const uint32x4_t pass = vcleq_s32(vreinterpretq_s32_u32(vld1q_u32(m + 4 * v)), most);
        bits = vorrq_u32(bits, vandq_u32(pass, bit));
        bit = vshlq_n_u32(bit, 4);
    }
    const uint32x2_t pair = vorr_u32(vget_low_u32(bits), vget_high_u32(bits));
    return vget_lane_u32(pair, 0) | vget_lane_u32(pair, 1);
}

#include "xh_bytes.h"

typedef int32x4_t mvec;
typedef int16x4x2_t mpair; /* the first numbers of the pairs, the second */
enum { MADD_VECS = 4, MADD_SLOTS = 2 };

INLINE mvec mzero(void) { return vdupq_n_s32(0); }
INLINE mpair mload(const int16_t *w) { return vld2_s16(w); }
INLINE mpair msplat(const int16_t *x) { return (mpair){{vld1_dup_s16(x), vld1_dup_s16(x + 1)}}; }
INLINE void mstore(int32_t *to, mvec sum) { vst1q_s32(to, sum); }
INLINE mvec madd(mvec sum, mpair x, mpair w)
{
    return vmlal_s16(vmlal_s16(sum, x.val[0], w.val[0]), x.val[1], w.val[1]);
}

#include "xh_madd.h"

#define XH_VALUE int32_t
#include "xh_passes.h"

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

const xh_path xh_path_neon = {"neon", runs_here, block, codes, full, pass, NULL, add_times};
#endif
