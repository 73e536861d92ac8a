/* xh_madd.h with SSE2's registers, for the paths that have nothing wider. */
#include <emmintrin.h>
#include <string.h>

typedef __m128i mvec, mpair;
enum { MADD_VECS = 4, MADD_SLOTS = 2 };

static inline __attribute__((always_inline)) mvec mzero(void) { return _mm_setzero_si128(); }
static inline __attribute__((always_inline)) mpair mload(const int16_t *w)
{
    return _mm_load_si128((const __m128i *)w);
}
static inline __attribute__((always_inline)) mpair msplat(const int16_t *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return _mm_set1_epi32(pair);
}
static inline __attribute__((always_inline)) mvec madd(mvec sum, mpair x, mpair w)
{
    return _mm_add_epi32(sum, _mm_madd_epi16(x, w));
}
static inline __attribute__((always_inline)) void mstore(int32_t *to, mvec sum)
{
    _mm_storeu_si128((__m128i *)to, sum);
}

#include "xh_madd.h"
