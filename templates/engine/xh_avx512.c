/* AVX-512 with VPOPCNTDQ: 16 output channels a register, the activation word broadcast,
 * up to 7 pixels x 2 registers of accumulators (14 of the 32 registers, so that each
 * broadcast serves two and each load of weights seven).  No sum runs across lanes; one
 * compare against the thresholds gives 16 packed output bits. */
#include "xh_path.h"

#if defined(__x86_64__) || defined(__i386__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vnni,prefer-vector-width=512")
#include <immintrin.h>

#define XH_VECTOR 64
#include "xh_codes.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* sum += bits of x, lane by lane.  Written out because gcc copies every accumulator into
 * another register and back. */
ALWAYS_INLINE __m512i plus_bits(__m512i sum, __m512i x)
{
    __m512i bits;
    __asm__("vpopcntd %[x], %[bits]\n\tvpaddd %[bits], %[sum], %[sum]"
            : [sum] "+v"(sum), [bits] "=&v"(bits)
            : [x] "v"(x));
    return sum;
}

/* Stores the misses, or compares n - 2 m >= t  <=>  m <= floor((n - t) / 2). */
ALWAYS_INLINE void finish(const xh_block *block, const __m512i *sum, int p, int vectors, uint32_t *bits,
                          int32_t (*misses)[2 * XH_LANES])
{
    if (block->at == NULL) {
        for (int v = 0; v < vectors; v++)
            _mm512_storeu_si512(misses[p] + v * XH_LANES, sum[v]);
        return;
    }
    uint32_t passed = 0;
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
        const __m512i at = _mm512_loadu_si512(block->at + v * XH_LANES);
        const __m512i most = _mm512_srai_epi32(_mm512_sub_epi32(_mm512_set1_epi32(block->count), at), 1);
        passed |= (uint32_t)_mm512_cmple_epi32_mask(sum[v], most) << (v * XH_LANES);
    }
    bits[p] = passed;
}

/* `pixels` and `vectors` are constants where this is inlined. */
ALWAYS_INLINE void body(const xh_block *block, const uint32_t *const *pixel, uint32_t *bits,
                        int32_t (*misses)[2 * XH_LANES], const int pixels, const int vectors)
{
    const ptrdiff_t step = block->step;
    __m512i sum[7][2];
#pragma GCC unroll 7
    for (int p = 0; p < pixels; p++)
        sum[p][0] = sum[p][1] = _mm512_setzero_si512();
    for (int32_t i = 0; i < block->runs; i++) {
        const uint32_t *w = block->weights + block->run[i].weights;
        ptrdiff_t a = block->run[i].map;
        const ptrdiff_t end = a + block->run[i].words;
        do {
            const __m512i w0 = _mm512_load_si512(w);
            const __m512i w1 = vectors > 1 ? _mm512_load_si512(w + step) : _mm512_setzero_si512();
#pragma GCC unroll 7
            for (int p = 0; p < pixels; p++) {
                const __m512i x = _mm512_set1_epi32((int)pixel[p][a]);
                sum[p][0] = plus_bits(sum[p][0], _mm512_xor_si512(x, w0));
                if (vectors > 1)
                    sum[p][1] = plus_bits(sum[p][1], _mm512_xor_si512(x, w1));
            }
            w += XH_LANES;
        } while (++a < end);
    }
#pragma GCC unroll 7
    for (int p = 0; p < pixels; p++)
        finish(block, sum[p], p, vectors, bits, misses);
}

/* Three taps x, y, z of one row differ from their weights in the bits d1, d2, d3.  A full adder
 * counts two of the three words' bits at once: one = d1 ^ d2 ^ d3, two = at least two of them.
 * `one` costs a single xor, (x ^ y ^ z) ^ (w1 ^ w2 ^ w3): the first bracket comes from the
 * parity map, the second serves all pixels.  Then d3 itself is not needed, since two of three
 * are set where d1 = d2 = 1, or where one differs and the parity is 0.  Eight operations for
 * three words instead of nine, and two popcounts instead of three. */
ALWAYS_INLINE void body_of_three(const xh_block *block, const uint32_t *const *pixel, uint32_t *bits,
                                 int32_t (*misses)[2 * XH_LANES], const int pixels, const int vectors)
{
    enum { TWO_OF_THREE = 0xd4, PARITY_OF_THREE = 0x96 }; /* of (d1, d2, d1 ^ d2 ^ d3); of any three */
    const ptrdiff_t step = block->step, tap = (ptrdiff_t)block->words * XH_LANES;
    __m512i one[5][2], two[5][2];
#pragma GCC unroll 5
    for (int p = 0; p < pixels; p++)
        one[p][0] = one[p][1] = two[p][0] = two[p][1] = _mm512_setzero_si512();
    for (int32_t i = 0; i < block->runs; i++) {
        const uint32_t *w = block->weights + block->run[i].weights;
        ptrdiff_t a = block->run[i].map, b = a + block->tap, c = b + block->parity;
        const ptrdiff_t end = a + block->words;
        do {
            __m512i w1[2], w2[2], parity[2];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) {
                const uint32_t *of = w + v * step;
                w1[v] = _mm512_load_si512(of);
                w2[v] = _mm512_load_si512(of + tap);
                parity[v] =
                    _mm512_ternarylogic_epi32(w1[v], w2[v], _mm512_load_si512(of + 2 * tap), PARITY_OF_THREE);
            }
#pragma GCC unroll 5
            for (int p = 0; p < pixels; p++) {
                const __m512i x = _mm512_set1_epi32((int)pixel[p][a]), y = _mm512_set1_epi32((int)pixel[p][b]);
                const __m512i xyz = _mm512_set1_epi32((int)pixel[p][c]);
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++) {
                    const __m512i odd = _mm512_xor_si512(xyz, parity[v]);
                    const __m512i d1 = _mm512_xor_si512(x, w1[v]), d2 = _mm512_xor_si512(y, w2[v]);
                    one[p][v] = plus_bits(one[p][v], odd);
                    two[p][v] = plus_bits(two[p][v], _mm512_ternarylogic_epi32(d1, d2, odd, TWO_OF_THREE));
                }
            }
            w += XH_LANES;
            b++;
            c++;
        } while (++a < end);
    }
#pragma GCC unroll 5
    for (int p = 0; p < pixels; p++) {
        __m512i sum[2];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum[v] = _mm512_add_epi32(one[p][v], _mm512_add_epi32(two[p][v], two[p][v]));
        finish(block, sum, p, vectors, bits, misses);
    }
}

#define CASE(BODY, P, V)                        \
    case 2 * (P) + (V)-1:                       \
        BODY(b, pixel, bits, misses, (P), (V)); \
        break
#define CASES(BODY, P) \
    CASE(BODY, P, 1);  \
    CASE(BODY, P, 2)

static void block(const xh_block *b, xh_places *at, int32_t pixels, uint32_t *bits,
                  int32_t (*misses)[2 * XH_LANES])
{
    while (pixels > 0) {
        const int32_t now = pixels < 7 ? pixels : 7;
        const uint32_t *pixel[7];
        for (int p = 0; p < now; p++)
            pixel[p] = xh_next(at);
        switch (2 * now + b->vectors - 1) {
            CASES(body, 7);
            CASES(body, 6);
            CASES(body, 5);
            CASES(body, 4);
            CASES(body, 3);
            CASES(body, 2);
            CASES(body, 1);
        }
        pixels -= now;
        bits += now;
        misses += now;
    }
}

static void rows_of_three(const xh_block *b, xh_places *at, int32_t pixels, uint32_t *bits,
                          int32_t (*misses)[2 * XH_LANES])
{
    while (pixels > 0) {
        /* 6 are 3 and 3, 7 are 4 and 3: no group of one or two at the end of a row */
        const int32_t now = pixels < 6 ? pixels : pixels < 8 ? (pixels + 1) / 2 : pixels == 8 ? 4 : 5;
        const uint32_t *pixel[5];
        for (int p = 0; p < now; p++)
            pixel[p] = xh_next(at);
        switch (2 * now + b->vectors - 1) {
            CASES(body_of_three, 5);
            CASES(body_of_three, 4);
            CASES(body_of_three, 3);
            CASES(body_of_three, 2);
            CASES(body_of_three, 1);
        }
        pixels -= now;
        bits += now;
        misses += now;
    }
}

typedef __m512i mvec, mpair;
enum { MADD_VECS = 1, MADD_SLOTS = 8 };

ALWAYS_INLINE mvec mzero(void) { return _mm512_setzero_si512(); }
ALWAYS_INLINE mpair mload(const int16_t *w) { return _mm512_load_si512(w); }
ALWAYS_INLINE mvec madd(mvec sum, mpair x, mpair w) { return _mm512_dpwssd_epi32(sum, x, w); }
ALWAYS_INLINE void mstore(int32_t *to, mvec sum) { _mm512_storeu_si512(to, sum); }

ALWAYS_INLINE mpair msplat(const int16_t *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return _mm512_set1_epi32(pair);
}

#include "xh_madd.h"

/* The sums of four products go to 32 bits at once. */
static void bytes(const xh_byte_block *block, const uint8_t *const x[XH_SLOTS], int32_t slots,
                  int32_t (*sum)[XH_LANES])
{
    const int8_t *w = block->weights;
    __m512i acc[XH_SLOTS];
    (void)slots;
#pragma GCC unroll 8
    for (int s = 0; s < XH_SLOTS; s++)
        acc[s] = _mm512_setzero_si512();
    for (int32_t r = 0; r < block->runs; r++) {
        const uint8_t *at[XH_SLOTS];
#pragma GCC unroll 8
        for (int s = 0; s < XH_SLOTS; s++)
            at[s] = x[s] + block->run[r];
        for (ptrdiff_t i = 0; i < 4 * (ptrdiff_t)block->quads; i += 4, w += 4 * XH_LANES) {
            const __m512i of = _mm512_load_si512(w);
#pragma GCC unroll 8
            for (int s = 0; s < XH_SLOTS; s++) {
                int32_t four;
                memcpy(&four, at[s] + i, sizeof four);
                acc[s] = _mm512_dpbusd_epi32(acc[s], _mm512_set1_epi32(four), of);
            }
        }
    }
#pragma GCC unroll 8
    for (int s = 0; s < XH_SLOTS; s++)
        _mm512_storeu_si512(sum[s], acc[s]);
}

#define XH_VALUE int32_t
#include "xh_passes.h"

static int runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vnni");
}

const xh_path xh_path_avx512 = {"avx512", runs_here, block, rows_of_three, codes, full, pass, bytes, add_times};
#endif
