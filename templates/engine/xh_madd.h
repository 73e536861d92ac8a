/* The loop of full-precision products, of the paths that multiply 16-bit numbers in pairs.  The
 * including file defines
 *   mvec             its register of 32-bit sums
 *   mpair            what it keeps pairs of 16-bit numbers in
 *   MADD_VECS        registers for 16 lanes
 *   MADD_SLOTS       slots whose sums stay in registers together, 2, 4 or 8
 *   mload(w)         the pairs of a register's lanes
 *   msplat(x)        the pair x[0], x[1] for every lane
 *   madd(sum, x, w)  sum + x[0] * w[0] + x[1] * w[1], which wraps
 *   mzero(), mstore(to, sum) */

static inline __attribute__((always_inline)) void full_slots(const xh_full_block *block, const int16_t *const *x,
                                                             int32_t (*sum)[XH_LANES], const int slots)
{
    mvec acc[MADD_SLOTS][MADD_VECS];
    const int16_t *w = block->weights;
#pragma GCC unroll 8
    for (int s = 0; s < slots; s++)
#pragma GCC unroll 8
        for (int v = 0; v < MADD_VECS; v++)
            acc[s][v] = mzero();
    for (int32_t r = 0; r < block->runs; r++) {
        const int16_t *at[MADD_SLOTS];
#pragma GCC unroll 8
        for (int s = 0; s < slots; s++)
            at[s] = x[s] + block->run[r] + block->skip;
        for (ptrdiff_t i = 0; i < 2 * (ptrdiff_t)block->pairs; i += 2) {
            mpair of[MADD_VECS];
#pragma GCC unroll 8
            for (int v = 0; v < MADD_VECS; v++)
                of[v] = mload(w + v * (2 * XH_LANES / MADD_VECS));
            w += 2 * XH_LANES;
#pragma GCC unroll 8
            for (int s = 0; s < slots; s++) {
                const mpair pair = msplat(at[s] + i);
#pragma GCC unroll 8
                for (int v = 0; v < MADD_VECS; v++)
                    acc[s][v] = madd(acc[s][v], pair, of[v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int s = 0; s < slots; s++)
#pragma GCC unroll 8
        for (int v = 0; v < MADD_VECS; v++)
            mstore(sum[s] + v * (XH_LANES / MADD_VECS), acc[s][v]);
}

static void full(const xh_full_block *block, const int16_t *const x[XH_SLOTS], int32_t slots,
                 int32_t (*sum)[XH_LANES])
{
    if (slots <= 2) { /* a linear layer: the digits of one input */
        full_slots(block, x, sum, 2);
        return;
    }
    for (int32_t s = 0; s < slots; s += MADD_SLOTS)
        full_slots(block, x + s, sum + s, MADD_SLOTS);
}
