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

static int runs_here(void) { return 1; }

const xh_path xh_path_plain = {"plain", runs_here, block, NULL, codes};
