/* Sums of codes with binary weights: additions alone.  Sum of +-x = 2 * (sum of the x whose
 * weight is +1) - (sum of all x).  Written with the compiler's vectors; the including file says
 * how wide its processor's are (XH_VECTOR bytes), since wider ones are taken apart lane by lane. */
#ifndef XH_CODES_H
#define XH_CODES_H

#include <stdint.h>
#include <string.h>

#include "xh_layers.h"

typedef int32_t xh_vector __attribute__((vector_size(XH_VECTOR)));

#define XH_SPLAT(x) ((xh_vector){0} + (x))

static void codes(const int32_t *const x[4], int32_t count, const uint16_t *lanes, int32_t (*sum)[XH_LANES])
{
    enum { MANY = XH_VECTOR / 4 };
    static const int32_t bits[XH_LANES] XH_ALIGNED = {1 << 0,  1 << 1,  1 << 2,  1 << 3, 1 << 4,  1 << 5,
                                                      1 << 6,  1 << 7,  1 << 8,  1 << 9, 1 << 10, 1 << 11,
                                                      1 << 12, 1 << 13, 1 << 14, 1 << 15};
    int32_t all[4] = {0};
    for (int32_t i = 0; i < count; i++)
        for (int p = 0; p < 4; p++)
            all[p] += x[p][i];
    for (int lane = 0; lane < XH_LANES; lane += MANY) {
        xh_vector bit, a = {0}, b = {0}, c = {0}, d = {0};
        memcpy(&bit, bits + lane, sizeof bit);
        for (int32_t i = 0; i < count; i++) {
            const xh_vector mask = (XH_SPLAT((int32_t)lanes[i]) & bit) == bit;
            a += XH_SPLAT(x[0][i]) & mask;
            b += XH_SPLAT(x[1][i]) & mask;
            c += XH_SPLAT(x[2][i]) & mask;
            d += XH_SPLAT(x[3][i]) & mask;
        }
        a += a - XH_SPLAT(all[0]);
        b += b - XH_SPLAT(all[1]);
        c += c - XH_SPLAT(all[2]);
        d += d - XH_SPLAT(all[3]);
        memcpy(sum[0] + lane, &a, sizeof a);
        memcpy(sum[1] + lane, &b, sizeof b);
        memcpy(sum[2] + lane, &c, sizeof c);
        memcpy(sum[3] + lane, &d, sizeof d);
    }
}

#endif
