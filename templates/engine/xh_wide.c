/* The passes on values of more than 32 bits: plain C, the same on every path. */
#define XH_WIDE
#define XH_VALUE int64_t
#include "xh_passes.h"

int xh_wide_pass(const xh_pass *of, size_t first, size_t end) { return pass(of, first, end); }
