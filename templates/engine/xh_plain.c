/* Plain C for any processor. */
#include "xh_path.h"

#define XH_VECTOR 16
#include "xh_codes.h"

static inline uint32_t ones(uint32_t x)
{
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    return (x * 0x01010101u) >> 24;
}

#include "xh_scalar.h"

static void full(const xh_full_block *block, const int16_t *const x[XH_SLOTS], int32_t slots,
                 int32_t (*sum)[XH_LANES])
{
    for (int32_t s = 0; s < slots; s++) {
        const int16_t *w = block->weights;
        uint32_t lane[XH_LANES] = {0};
        for (int32_t r = 0; r < block->runs; r++) {
            const int16_t *at = x[s] + block->run[r] + block->skip;
            for (int32_t k = 0; k < block->pairs; k++, at += 2, w += 2 * XH_LANES)
                for (int j = 0; j < XH_LANES; j++)
                    lane[j] += (uint32_t)(at[0] * w[2 * j]) + (uint32_t)(at[1] * w[2 * j + 1]);
        }
        for (int j = 0; j < XH_LANES; j++)
            sum[s][j] = (int32_t)lane[j];
    }
}

#define XH_VALUE int32_t
#include "xh_passes.h"

static int runs_here(void) { return 1; }

const xh_path xh_path_plain = {"plain", runs_here, block, codes, full, pass, NULL, add_times};
