#include "xh_path.h"

#include <stdlib.h>
#include <string.h>

#include "xh_run.h"

/* Best first. */
static const xh_path *const paths[] = {
#if defined(__x86_64__) || defined(__i386__)
    &xh_path_avx512, &xh_path_avx2, &xh_path_ssse3, &xh_path_popcnt,
#elif defined(__ARM_NEON) || defined(XH_NEON)
    &xh_path_neon,
#endif
    &xh_path_plain,
};
enum { PATHS = sizeof paths / sizeof paths[0] };

/* Silvermont takes five clocks for a byte shuffle of 16 bytes and one for popcnt. */
static int shuffles_slowly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    return __builtin_cpu_is("silvermont");
#else
    return 0;
#endif
}

const char *xh_path_available(int i)
{
    for (int k = 0; i >= 0 && k < PATHS; k++)
        if (paths[k]->runs_here() && i-- == 0)
            return paths[k]->name;
    return NULL;
}

const xh_path *xh_choose_path(const char *name, int *status)
{
    if (name == NULL)
        name = getenv("XH_PATH");
    *status = XH_OK;
    if (name != NULL && name[0] != '\0') {
        for (int k = 0; k < PATHS; k++) {
            if (strcmp(paths[k]->name, name) != 0)
                continue;
            if (paths[k]->runs_here())
                return paths[k];
            *status = XH_NO_PATH;
            return NULL;
        }
        *status = XH_UNKNOWN_PATH;
        return NULL;
    }
    for (int k = 0; k < PATHS; k++) {
        if (strcmp(paths[k]->name, "ssse3") == 0 && shuffles_slowly())
            continue;
        if (paths[k]->runs_here())
            return paths[k];
    }
    *status = XH_NO_PATH;
    return NULL;
}
