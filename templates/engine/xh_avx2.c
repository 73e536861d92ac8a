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

static int runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

const xh_path xh_path_avx2 = {"avx2", runs_here, block, NULL, codes};
#endif
