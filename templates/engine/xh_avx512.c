/* AVX-512 with VPOPCNTDQ: 16 output channels a register, the activation word broadcast,
 * up to 6 pixels x 2 registers, each with a count and the bits of a full adder (24 of the 32
 * registers).  No sum runs across lanes; one compare against the thresholds gives 16 packed
 * output bits. */
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

/* The most misses of each lane that pass: n - 2 m >= t  <=>  m <= floor((n - t) / 2). */
ALWAYS_INLINE __m512i most_misses(const xh_block *block, int v)
{
    const __m512i at = _mm512_loadu_si512(block->at + v * XH_LANES);
    return _mm512_srai_epi32(_mm512_sub_epi32(_mm512_set1_epi32(block->count), at), 1);
}

/* Two words more, that differ from their weights in the bits x1 ^ w1 and x2 ^ w2: a full adder of
 * these and of `one`.  Its sum takes the place of `one`, its carry, which is `one` where the first
 * two are equal and else the third, is counted: of two xors, two popcounts and two additions become
 * three operations of three inputs, one popcount and one addition, for the xors are parts of them. */
ALWAYS_INLINE void add_two(__m512i *one, __m512i *two, __m512i x1, __m512i w1, __m512i x2, __m512i w2)
{
    enum { PARITY = 0x96, CARRY = 0x3a }; /* of any three; of (one ^ d1, one ^ d1 ^ d2, one) */
    const __m512i odd = _mm512_ternarylogic_epi32(*one, x1, w1, PARITY);
    const __m512i sum = _mm512_ternarylogic_epi32(odd, x2, w2, PARITY);
    *two = plus_bits(*two, _mm512_ternarylogic_epi32(odd, sum, *one, CARRY));
    *one = sum;
}

/* `pixels` and `vectors` are constants where this is inlined.  Words are taken by twos; the first of
 * an odd run is held for the next such run, or for the end. */
ALWAYS_INLINE void body(const xh_block *block, const uint32_t *const *pixel, uint32_t *bits,
                        int32_t (*misses)[2 * XH_LANES], const int pixels, const int vectors)
{
    const uint32_t *const weights = block->weights;
    const ptrdiff_t step = block->step;
    struct {
        int is;
        ptrdiff_t map, weights;
    } held = {0, 0, 0};
    __m512i one[6][2], two[6][2];
#pragma GCC unroll 6
    for (int p = 0; p < pixels; p++)
        one[p][0] = one[p][1] = two[p][0] = two[p][1] = _mm512_setzero_si512();
    for (int32_t i = 0; i < block->runs; i++) {
        /* words a and b of the map, with the weights at wa and wb */
        ptrdiff_t a = block->run[i].map, wa = block->run[i].weights, b = a + 1, wb = wa + XH_LANES;
        const ptrdiff_t end = a + block->run[i].words;
        if (block->run[i].words % 2 == 1) {
            held.is = !held.is;
            if (held.is) {
                held.map = a, held.weights = wa;
                a++, b++, wa += XH_LANES, wb += XH_LANES;
            } else {
                b = a, wb = wa;
                a = held.map, wa = held.weights;
            }
        }
        for (; b < end; a = b + 1, b += 2, wa = wb + XH_LANES, wb += 2 * XH_LANES) {
            __m512i w1[2], w2[2];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) {
                w1[v] = _mm512_load_si512(weights + wa + v * step);
                w2[v] = _mm512_load_si512(weights + wb + v * step);
            }
#pragma GCC unroll 6
            for (int p = 0; p < pixels; p++) {
                const __m512i x1 = _mm512_set1_epi32((int)pixel[p][a]), x2 = _mm512_set1_epi32((int)pixel[p][b]);
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++)
                    add_two(&one[p][v], &two[p][v], x1, w1[v], x2, w2[v]);
            }
        }
    }
#pragma GCC unroll 6
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            two[p][v] = plus_bits(_mm512_add_epi32(two[p][v], two[p][v]), one[p][v]);
    if (held.is) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            const __m512i w = _mm512_load_si512(weights + held.weights + v * step);
#pragma GCC unroll 6
            for (int p = 0; p < pixels; p++)
                two[p][v] = plus_bits(two[p][v], _mm512_xor_si512(_mm512_set1_epi32((int)pixel[p][held.map]), w));
        }
    }
    if (block->at == NULL) {
#pragma GCC unroll 6
        for (int p = 0; p < pixels; p++)
            for (int v = 0; v < vectors; v++)
                _mm512_storeu_si512(misses[p] + v * XH_LANES, two[p][v]);
        return;
    }
    const __m512i most[2] = {most_misses(block, 0), most_misses(block, vectors - 1)};
#pragma GCC unroll 6
    for (int p = 0; p < pixels; p++) {
        const uint32_t low = _mm512_cmple_epi32_mask(two[p][0], most[0]);
        const uint32_t high = vectors > 1 ? _mm512_cmple_epi32_mask(two[p][1], most[1]) : 0;
        bits[p] = low | high << XH_LANES;
    }
}

#define CASE(P, V)                              \
    case 2 * (P) + (V)-1:                       \
        body(b, pixel, bits, misses, (P), (V)); \
        break
#define CASES(P) \
    CASE(P, 1);  \
    CASE(P, 2)

static void block(const xh_block *b, xh_places *at, int32_t pixels, uint32_t *bits,
                  int32_t (*misses)[2 * XH_LANES])
{
    while (pixels > 0) {
        /* a call's last 7 are 4 and 3, its last 8 are 4 and 4, not 6 and one or two */
        const int32_t now = pixels < 7 ? pixels : pixels < 9 ? 4 : 6;
        const uint32_t *pixel[6];
        for (int p = 0; p < now; p++)
            pixel[p] = xh_next(at);
        switch (2 * now + b->vectors - 1) {
            CASES(6);
            CASES(5);
            CASES(4);
            CASES(3);
            CASES(2);
            CASES(1);
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

const xh_path xh_path_avx512 = {"avx512", runs_here, block, codes, full, pass, bytes, add_times};
#endif
