/* The block loop in plain C, the reference of the others.  The including file defines
 * ones(x), the number of bits of a uint32_t. */

static void block(const xh_block *b, xh_places *at, int32_t pixels, uint32_t *bits,
                  int32_t (*misses)[2 * XH_LANES])
{
    for (int32_t p = 0; p < pixels; p++) {
        const uint32_t *pixel = xh_next(at);
        uint32_t result = 0;
        for (int32_t v = 0; v < b->vectors; v++) {
            int32_t m[XH_LANES] = {0};
            for (int32_t i = 0; i < b->runs; i++) {
                const uint32_t *w = b->weights + v * b->step + b->run[i].weights;
                const uint32_t *x = pixel + b->run[i].map;
                for (int32_t k = 0; k < b->run[i].words; k++, w += XH_LANES)
                    for (int j = 0; j < XH_LANES; j++)
                        m[j] += (int32_t)ones(x[k] ^ w[j]);
            }
            for (int j = 0; j < XH_LANES; j++) {
                if (b->at == NULL)
                    misses[p][v * XH_LANES + j] = m[j];
                else
                    result |= (uint32_t)(b->count - 2 * m[j] >= b->at[v * XH_LANES + j]) << (v * XH_LANES + j);
            }
        }
        if (b->at != NULL)
            bits[p] = result;
    }
}
