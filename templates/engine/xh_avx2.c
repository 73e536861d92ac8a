/* AVX2: a byte shuffle looks up the bit count of each nibble. */
#include "xh_path.h"

#if defined(__x86_64__) || defined(__i386__)
#pragma GCC target("avx2,popcnt")
#include <immintrin.h>

#define XH_VECTOR 32
#include "xh_codes.h"

typedef __m256i vec;
enum { VECS = 2, PIXELS = 4 };

#define INLINE static inline __attribute__((always_inline))

INLINE vec zero(void) { return _mm256_setzero_si256(); }
INLINE vec load(const uint32_t *w) { return _mm256_load_si256((const __m256i *)w); }
INLINE vec splat(const uint32_t *x) { return _mm256_set1_epi32((int)*x); }
INLINE vec add8(vec a, vec b) { return _mm256_add_epi8(a, b); }

INLINE vec differ(vec x, vec w)
{
    const vec count = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1,
                                       2, 2, 3, 2, 3, 3, 4);
    const vec low = _mm256_set1_epi8(15);
    const vec d = _mm256_xor_si256(x, w);
    const vec high = _mm256_and_si256(_mm256_srli_epi16(d, 4), low);
    return _mm256_add_epi8(_mm256_shuffle_epi8(count, _mm256_and_si256(d, low)), _mm256_shuffle_epi8(count, high));
}

INLINE void widen(uint32_t *m, vec counts)
{
    const vec pairs = _mm256_maddubs_epi16(counts, _mm256_set1_epi8(1));
    const vec lanes = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    _mm256_storeu_si256((__m256i *)m, _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)m), lanes));
}

INLINE uint32_t passed(const uint32_t *m, const int32_t *at, int32_t count)
{
    uint32_t bits = 0;
    for (int v = 0; v < VECS; v++) {
        const vec t = _mm256_loadu_si256((const __m256i *)(at + 8 * v));
        const vec most = _mm256_srai_epi32(_mm256_sub_epi32(_mm256_set1_epi32(count), t), 1);
        const vec above = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i *)(m + 8 * v)), most);
        bits |= (uint32_t)(_mm256_movemask_ps(_mm256_castsi256_ps(above)) ^ 255) << (8 * v);
    }
    return bits;
}

#include "xh_bytes.h"

typedef __m256i mvec, mpair;
enum { MADD_VECS = 2, MADD_SLOTS = 4 };

INLINE mvec mzero(void) { return _mm256_setzero_si256(); }
INLINE mpair mload(const int16_t *w) { return _mm256_load_si256((const __m256i *)w); }
INLINE mvec madd(mvec sum, mpair x, mpair w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
INLINE void mstore(int32_t *to, mvec sum) { _mm256_storeu_si256((__m256i *)to, sum); }

INLINE mpair msplat(const int16_t *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return _mm256_set1_epi32(pair);
}

#include "xh_madd.h"

typedef __m256i qvec;
enum { QUAD_VECS = 2, QUAD_SLOTS = 4 };

INLINE qvec qsplat(const uint8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm256_set1_epi32(four);
}
INLINE qvec qload(const int8_t *w) { return _mm256_load_si256((const __m256i *)w); }
INLINE qvec qzero(void) { return _mm256_setzero_si256(); }
INLINE qvec qmul(qvec sum, qvec x, qvec w) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(x, w)); }
INLINE void qwiden(int32_t *to, qvec sum)
{
    const qvec lanes = _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
    _mm256_storeu_si256((__m256i *)to, _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)to), lanes));
}

#include "xh_quads.h"

#define XH_VALUE int32_t
#include "xh_passes.h"

static int runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

const xh_path xh_path_avx2 = {"avx2", runs_here, block, codes, full, pass, bytes, add_times};
#endif
