/* The loop of products of bytes, of the paths that add them by twos in 16 bits.  The including file
 * defines
 *   qvec             its register
 *   QUAD_VECS        registers for 16 lanes of 4 bytes
 *   QUAD_SLOTS       slots whose sums stay in registers together
 *   qload(w), qsplat(x), qzero()
 *   qmul(sum, x, w)  sum + the products of unsigned x and signed w, added by twos, in 16 bits
 *   qwiden(to, sum)  to[lane] += its two sums */

static inline __attribute__((always_inline)) void quads(const xh_byte_block *block, const uint8_t *const *x,
                                                        int32_t (*sum)[XH_LANES])
{
    qvec acc[QUAD_SLOTS][QUAD_VECS];
    const int8_t *w = block->weights;
    int32_t room = block->together;
#pragma GCC unroll 8
    for (int s = 0; s < QUAD_SLOTS; s++) {
        memset(sum[s], 0, sizeof sum[s]);
#pragma GCC unroll 8
        for (int v = 0; v < QUAD_VECS; v++)
            acc[s][v] = qzero();
    }
    for (int32_t r = 0; r < block->runs; r++) {
        const uint8_t *at[QUAD_SLOTS];
#pragma GCC unroll 8
        for (int s = 0; s < QUAD_SLOTS; s++)
            at[s] = x[s] + block->run[r];
        for (int32_t left = block->quads; left > 0;) {
            if (room == 0) {
                room = block->together;
#pragma GCC unroll 8
                for (int s = 0; s < QUAD_SLOTS; s++)
#pragma GCC unroll 8
                    for (int v = 0; v < QUAD_VECS; v++) {
                        qwiden(sum[s] + v * (XH_LANES / QUAD_VECS), acc[s][v]);
                        acc[s][v] = qzero();
                    }
            }
            int32_t now = left < room ? left : room;
            left -= now;
            room -= now;
            do {
                qvec of[QUAD_VECS];
#pragma GCC unroll 8
                for (int v = 0; v < QUAD_VECS; v++)
                    of[v] = qload(w + v * (4 * XH_LANES / QUAD_VECS));
                w += 4 * XH_LANES;
#pragma GCC unroll 8
                for (int s = 0; s < QUAD_SLOTS; s++) {
                    const qvec four = qsplat(at[s]);
                    at[s] += 4;
#pragma GCC unroll 8
                    for (int v = 0; v < QUAD_VECS; v++)
                        acc[s][v] = qmul(acc[s][v], four, of[v]);
                }
            } while (--now > 0);
        }
    }
#pragma GCC unroll 8
    for (int s = 0; s < QUAD_SLOTS; s++)
#pragma GCC unroll 8
        for (int v = 0; v < QUAD_VECS; v++)
            qwiden(sum[s] + v * (XH_LANES / QUAD_VECS), acc[s][v]);
}

static void bytes(const xh_byte_block *block, const uint8_t *const x[XH_SLOTS], int32_t slots,
                  int32_t (*sum)[XH_LANES])
{
    for (int32_t s = 0; s < slots; s += QUAD_SLOTS)
        quads(block, x + s, sum + s);
}
