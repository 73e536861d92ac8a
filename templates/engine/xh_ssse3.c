/* SSSE3, for processors of the Atom class: a byte shuffle looks up the bit count of each
 * nibble, 16 bytes at a time. */
#include "xh_path.h"

#if defined(__x86_64__) || defined(__i386__)
#pragma GCC target("ssse3")
#include <tmmintrin.h>

#define XH_VECTOR 16
#include "xh_codes.h"
#include "xh_madd_sse.h"

typedef __m128i vec;
enum { VECS = 4, PIXELS = 2 };

#define INLINE static inline __attribute__((always_inline))

INLINE vec zero(void) { return _mm_setzero_si128(); }
INLINE vec load(const uint32_t *w) { return _mm_load_si128((const __m128i *)w); }
INLINE vec splat(const uint32_t *x) { return _mm_set1_epi32((int)*x); }
INLINE vec add8(vec a, vec b) { return _mm_add_epi8(a, b); }

INLINE vec differ(vec x, vec w)
{
    const vec count = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const vec low = _mm_set1_epi8(15);
    const vec d = _mm_xor_si128(x, w);
    const vec high = _mm_and_si128(_mm_srli_epi16(d, 4), low);
    return _mm_add_epi8(_mm_shuffle_epi8(count, _mm_and_si128(d, low)), _mm_shuffle_epi8(count, high));
}

INLINE void widen(uint32_t *m, vec counts)
{
    const vec pairs = _mm_maddubs_epi16(counts, _mm_set1_epi8(1));
    const vec lanes = _mm_madd_epi16(pairs, _mm_set1_epi16(1));
    _mm_storeu_si128((__m128i *)m, _mm_add_epi32(_mm_loadu_si128((const __m128i *)m), lanes));
}

INLINE uint32_t passed(const uint32_t *m, const int32_t *at, int32_t count)
{
    uint32_t bits = 0;
    for (int v = 0; v < VECS; v++) {
        const vec t = _mm_loadu_si128((const __m128i *)(at + 4 * v));
        const vec most = _mm_srai_epi32(_mm_sub_epi32(_mm_set1_epi32(count), t), 1);
        const vec above = _mm_cmpgt_epi32(_mm_loadu_si128((const __m128i *)(m + 4 * v)), most);
        bits |= (uint32_t)(_mm_movemask_ps(_mm_castsi128_ps(above)) ^ 15) << (4 * v);
    }
    return bits;
}

#include "xh_bytes.h"

typedef __m128i qvec;
enum { QUAD_VECS = 4, QUAD_SLOTS = 2 };

INLINE qvec qsplat(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm_set1_epi32(four);
}
INLINE qvec qload(const int8_t *w) { return _mm_load_si128((const __m128i *)w); }
INLINE qvec qzero(void) { return _mm_setzero_si128(); }
INLINE qvec qmul(qvec sum, qvec x, qvec w) { return _mm_add_epi16(sum, _mm_maddubs_epi16(x, w)); }
INLINE void qwiden(int32_t *to, qvec sum)
{
    const qvec lanes = _mm_madd_epi16(sum, _mm_set1_epi16(1));
    _mm_storeu_si128((__m128i *)to, _mm_add_epi32(_mm_loadu_si128((const __m128i *)to), lanes));
}

#include "xh_quads.h"

#define XH_VALUE int32_t
#include "xh_passes.h"

static int runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("ssse3");
}

const xh_path xh_path_ssse3 = {"ssse3", runs_here, block, codes, full, pass, bytes, add_times};
#endif
