/* AVX2: a byte shuffle looks up 32 bytes in a row of 16 entries. */
#include "xh_layout.h"

#if defined(__x86_64__) || defined(__i386__)
#pragma GCC target("avx2")
#include <immintrin.h>

#include "xh_layout_sse.h"

static void interleave(const uint8_t *from, size_t stride, size_t channels, size_t pixels, uint8_t *to)
{
    if (channels == 3)
        interleave3(from, stride, pixels, to);
    else if (channels == 4)
        interleave4(from, stride, pixels, to);
    else
        squares(from, stride, channels, pixels, to);
}

/* Row r of a half holds what its 16 entries differ from row r - 1.  A shuffle gives 0 for a byte whose
 * top bit is set, and each step takes 16 away: so row after row is added until the byte has fallen
 * below 0, and their exclusive or is the entry.  Saturation keeps what is below 0 there.  In the first
 * half bytes of 128 on begin below 0, in the second, whose bytes are turned by 128, those below. */
static void look_up(const uint8_t table[256], const uint8_t *x, size_t n, uint8_t *y)
{
    const __m256i sixteen = _mm256_set1_epi8(16), half = _mm256_set1_epi8(-128);
    __m256i row[16];
    size_t i = 0;
    for (int r = 0; r < 16; r++) {
        const __m128i own = load16(table + 16 * r);
        const __m128i differs = r % 8 ? _mm_xor_si128(own, load16(table + 16 * (r - 1))) : own;
        row[r] = _mm256_broadcastsi128_si256(differs);
    }
    for (; i + 32 <= n; i += 32) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(x + i)), high = _mm256_xor_si256(low, half);
        __m256i a = _mm256_shuffle_epi8(row[0], low), b = _mm256_shuffle_epi8(row[8], high);
#pragma GCC unroll 8
        for (int r = 1; r < 8; r++) {
            low = _mm256_subs_epi8(low, sixteen);
            high = _mm256_subs_epi8(high, sixteen);
            a = _mm256_xor_si256(a, _mm256_shuffle_epi8(row[r], low));
            b = _mm256_xor_si256(b, _mm256_shuffle_epi8(row[8 + r], high));
        }
        _mm256_storeu_si256((__m256i *)(y + i), _mm256_xor_si256(a, b));
    }
    look_up_bytes(table, x + i, n - i, y + i);
}

static void add(uint8_t shift, const uint8_t *x, size_t n, uint8_t *y) { add_bytes(shift, x, n, y); }

static void bits(const uint8_t *x, size_t n, int32_t signs, uint8_t *to)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i at = _mm256_loadu_si256((const __m256i *)(x + i));
        const int found = signs ? ~_mm256_movemask_epi8(at) : _mm256_movemask_epi8(_mm256_slli_epi16(at, 7));
        memcpy(to + i / 8, &found, 4);
    }
    few_bits(x + i, n - i, signs, to + i / 8);
}

static int runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
}

const xh_layout_path xh_layout_avx2 = {"avx2", runs_here, look_up, add, interleave, NULL, separate3, bits, words};
#endif
