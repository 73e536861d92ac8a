/* The block loop of the paths that count bits byte by byte (AVX2, SSSE3, NEON).  The
 * including file defines
 *   vec              its register of bytes
 *   VECS             registers for 16 lanes of 32 bits
 *   PIXELS           pixels whose counts stay in registers together
 *   load, splat      16-lane weights word / one activation word in every lane
 *   differ(x, w)     bit count of x ^ w in every byte
 *   add8(a, b), zero()
 *   widen(m, counts) m[lane] += its four byte counts, m in memory
 *   passed(m, at, n) the 16 bits m <= (n - at) >> 1
 * A byte holds the counts of 31 words (31 * 8 = 248). */

enum { WORDS_IN_BYTES = 31 };

static inline __attribute__((always_inline)) void lanes16(const xh_block *block, const uint32_t *const *pixel,
                                                          const uint32_t *weights,
                                                          uint32_t (*m)[XH_LANES], const int pixels)
{
    vec sum[PIXELS][VECS];
    int32_t room = WORDS_IN_BYTES;
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 8
        for (int v = 0; v < VECS; v++)
            sum[p][v] = zero();
    for (int32_t i = 0; i < block->runs; i++) {
        const uint32_t *w = weights + block->run[i].weights;
        ptrdiff_t a = block->run[i].map;
        int32_t left = block->run[i].words;
        while (left > 0) {
            if (room == 0) {
#pragma GCC unroll 8
                for (int p = 0; p < pixels; p++)
#pragma GCC unroll 8
                    for (int v = 0; v < VECS; v++) {
                        widen(m[p] + v * (XH_LANES / VECS), sum[p][v]);
                        sum[p][v] = zero();
                    }
                room = WORDS_IN_BYTES;
            }
            int32_t now = left < room ? left : room;
            const uint32_t *word[PIXELS];
#pragma GCC unroll 8
            for (int p = 0; p < pixels; p++)
                word[p] = pixel[p] + a;
            a += now;
            left -= now;
            room -= now;
            do { /* pointers that step by themselves are free on ARM */
                vec x[PIXELS];
#pragma GCC unroll 8
                for (int p = 0; p < pixels; p++)
                    x[p] = splat(word[p]++);
#pragma GCC unroll 8
                for (int v = 0; v < VECS; v++) {
                    const vec of = load(w);
                    w += XH_LANES / VECS;
#pragma GCC unroll 8
                    for (int p = 0; p < pixels; p++)
                        sum[p][v] = add8(sum[p][v], differ(x[p], of));
                }
            } while (--now > 0);
        }
    }
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 8
        for (int v = 0; v < VECS; v++)
            widen(m[p] + v * (XH_LANES / VECS), sum[p][v]);
}

static void block(const xh_block *b, xh_places *at, int32_t pixels, uint32_t *bits,
                  int32_t (*misses)[2 * XH_LANES])
{
    for (int32_t p = 0, taken; p < pixels; p += taken) {
        const uint32_t *pixel[PIXELS];
        taken = pixels - p >= PIXELS ? PIXELS : 1;
        for (int32_t q = 0; q < taken; q++)
            pixel[q] = xh_next(at);
        for (int32_t v = 0; v < b->vectors; v++) {
            uint32_t m[PIXELS][XH_LANES] = {{0}};
            if (taken == PIXELS)
                lanes16(b, pixel, b->weights + v * b->step, m, PIXELS);
            else
                lanes16(b, pixel, b->weights + v * b->step, m, 1);
            for (int32_t q = 0; q < taken; q++) {
                if (b->at == NULL) {
                    memcpy(misses[p + q] + v * XH_LANES, m[q], sizeof m[q]);
                    continue;
                }
                const uint32_t passes = passed(m[q], b->at + v * XH_LANES, b->count) << (v * XH_LANES);
                bits[p + q] = v ? bits[p + q] | passes : passes;
            }
        }
    }
}
