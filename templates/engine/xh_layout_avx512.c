/* AVX-512 with VBMI: a permutation of two registers looks up 64 bytes in 128 entries. */
#include "xh_layout.h"

#if defined(__x86_64__) || defined(__i386__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,prefer-vector-width=512")
#include <immintrin.h>

#include "xh_layout_sse.h"

/* Byte i of vector v of three interleaved ones is of plane (64 v + i) % 3: of the first two, pixels of
 * which lie behind one another, and of the third where its mask says so. */
#define FIRST_TWO(v, i) ((64 * (v) + (i)) / 3 | ((64 * (v) + (i)) % 3 == 1 ? 64 : 0))
#define PIXEL(v, i) ((64 * (v) + (i)) / 3)
#define FOUR(F, v, i) F(v, i), F(v, (i) + 1), F(v, (i) + 2), F(v, (i) + 3)
#define SIXTEEN(F, v, i) FOUR(F, v, i), FOUR(F, v, (i) + 4), FOUR(F, v, (i) + 8), FOUR(F, v, (i) + 12)
#define ALL(F, v) {SIXTEEN(F, v, 0), SIXTEEN(F, v, 16), SIXTEEN(F, v, 32), SIXTEEN(F, v, 48)}
static const uint8_t first_two[3][64] = {ALL(FIRST_TWO, 0), ALL(FIRST_TWO, 1), ALL(FIRST_TWO, 2)};
static const uint8_t pixel_of[3][64] = {ALL(PIXEL, 0), ALL(PIXEL, 1), ALL(PIXEL, 2)};
static const __mmask64 second[3] = {0x2492492492492492u, 0x9249249249249249u, 0x4924924924924924u};
static const __mmask64 third[3] = {0x4924924924924924u, 0x2492492492492492u, 0x9249249249249249u};

static void interleave(const uint8_t *from, size_t stride, size_t channels, size_t pixels, uint8_t *to)
{
    if (channels == 4) {
        interleave4(from, stride, pixels, to);
        return;
    }
    if (channels != 3) {
        squares(from, stride, channels, pixels, to);
        return;
    }
    size_t p = 0;
    for (; p + 64 <= pixels; p += 64) {
        const __m512i a = _mm512_loadu_si512(from + p), b = _mm512_loadu_si512(from + stride + p);
        const __m512i c = _mm512_loadu_si512(from + 2 * stride + p);
#pragma GCC unroll 3
        for (unsigned v = 0; v < 3; v++) {
            const __m512i two = _mm512_permutex2var_epi8(a, _mm512_loadu_si512(first_two[v]), b);
            const __m512i all = _mm512_mask_permutexvar_epi8(two, third[v], _mm512_loadu_si512(pixel_of[v]), c);
            _mm512_storeu_si512(to + 3 * p + 64 * v, all);
        }
    }
    interleave3(from + p, stride, pixels - p, to + 3 * p);
}

typedef struct vtable {
    __m512i a, b, c, d;
} vtable;

XH_INLINE vtable load_table(const uint8_t *table)
{
    return (vtable){_mm512_loadu_si512(table), _mm512_loadu_si512(table + 64), _mm512_loadu_si512(table + 128),
                    _mm512_loadu_si512(table + 192)};
}

XH_INLINE __m512i found_in(vtable table, __m512i at)
{
    const __m512i low = _mm512_permutex2var_epi8(table.a, at, table.b);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(at), _mm512_permutex2var_epi8(table.c, at, table.d));
}

static void look_up(const uint8_t table[256], const uint8_t *x, size_t n, uint8_t *y)
{
    const vtable own = load_table(table);
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(y + i, found_in(own, _mm512_loadu_si512(x + i)));
    look_up_bytes(table, x + i, n - i, y + i);
}

/* Each vector through all three tables: the twelve registers of which are at hand. */
static void look_up3(const uint8_t tables[3 * 256], const uint8_t *x, size_t pixels, uint8_t *y)
{
    const vtable own[3] = {load_table(tables), load_table(tables + 256), load_table(tables + 512)};
    size_t p = 0;
    for (; p + 64 <= pixels; p += 64) {
#pragma GCC unroll 3
        for (unsigned v = 0; v < 3; v++) {
            const __m512i at = _mm512_loadu_si512(x + 3 * p + 64 * v);
            const __m512i two = _mm512_mask_mov_epi8(found_in(own[0], at), second[v], found_in(own[1], at));
            _mm512_storeu_si512(y + 3 * p + 64 * v, _mm512_mask_mov_epi8(two, third[v], found_in(own[2], at)));
        }
    }
    for (size_t i = 3 * p; i < 3 * pixels; i++)
        y[i] = tables[256 * (i % 3) + x[i]];
}

static void add(uint8_t shift, const uint8_t *x, size_t n, uint8_t *y) { add_bytes(shift, x, n, y); }

static void bits(const uint8_t *x, size_t n, int32_t signs, uint8_t *to)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        const __m512i at = _mm512_loadu_si512(x + i);
        const uint64_t found = signs ? ~_mm512_movepi8_mask(at) : _mm512_movepi8_mask(_mm512_slli_epi16(at, 7));
        memcpy(to + i / 8, &found, 8);
    }
    few_bits(x + i, n - i, signs, to + i / 8);
}

static int runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vbmi");
}

const xh_layout_path xh_layout_avx512 = {"avx512",   runs_here, look_up, add, interleave,
                                          look_up3, separate3, bits,    words};
#endif
