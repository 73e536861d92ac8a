/* The scalar popcnt instruction (SSE4.2). */
#include "xh_path.h"

#if defined(__x86_64__) || defined(__i386__)
#pragma GCC target("sse4.2,popcnt")
#define XH_VECTOR 16
#include "xh_codes.h"
#include "xh_madd_sse.h"

static inline uint32_t ones(uint32_t x) { return (uint32_t)__builtin_popcount(x); }

#include "xh_scalar.h"

#define XH_VALUE int32_t
#include "xh_passes.h"

static int runs_here(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse4.2");
}

const xh_path xh_path_popcnt = {"popcnt", runs_here, block, codes, full, pass, NULL, add_times};
#endif
