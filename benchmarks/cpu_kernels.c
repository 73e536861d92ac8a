/* What benchmarks/cpu.py times in its own process: one layer of the CPU engine, the loop that
 * bounds it, and the two loops of the paper's comparison.  Built with the engine's sources. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "xh_engine.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct layer {
    xh_tensor tensor[3];
    xh_term term;
    xh_sign sign;
    xh_product product;
    xh_layer step;
    xh_network network;
    xh_engine *engine;
} layer;

/* A 3x3 layer, padding 1, `channels` in and out, of map x map; NULL where `path` does not run
 * here.  The tables stay the caller's. */
layer *layer_open(const char *path, int map, int channels, const uint32_t *weights, const int32_t *at)
{
    layer *l = calloc(1, sizeof *l);
    const xh_tensor bits = {"input", channels, map, map, XH_BITS};
    l->tensor[0] = l->tensor[2] = bits;
    l->tensor[1] = bits;
    l->tensor[1].format = XH_I32;
    l->term = (xh_term){1, weights, NULL};
    l->sign = (xh_sign){at, NULL, 1, channels, 0};
    l->product = (xh_product){&l->term, 1, {3, 3, 1, 1, 1, 1, 1, 1}, 1, 0, &l->sign, 1};
    l->step = (xh_layer){XH_PRODUCT, 0, 2, &l->product};
    l->network = (xh_network){.name = "layer", .tensor = l->tensor, .tensors = 3, .layer = &l->step, .layers = 1};
    l->network.chip_input = l->network.chip_output = -1;
    if (xh_open(&l->network, path, &l->engine) != XH_OK) {
        free(l);
        return NULL;
    }
    return l;
}

/* The packed input map to fill, and the packed output map. */
uint32_t *layer_input(layer *l) { return l->engine->map[1]; }
uint32_t *layer_output(layer *l) { return l->engine->map[0]; }

/* Seconds a run, packed input to thresholded packed output. */
double layer_seconds(layer *l, int runs)
{
    const double start = now();
    for (int i = 0; i < runs; i++)
        xh_run_product(l->engine, &l->product, &l->tensor[0], l->engine->map[1], &l->tensor[2], l->engine->map[0],
                       NULL);
    return (now() - start) / runs;
}

void layer_close(layer *l)
{
    xh_close(l->engine);
    free(l);
}

#ifdef __x86_64__
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vpopcntdq,prefer-vector-width=512")
#include <immintrin.h>

/* Multiply-accumulates a second of xor, popcnt and add on registers alone; 0 where the
 * processor has no such instructions. */
double limit_macs(int turns)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512vpopcntdq"))
        return 0;
    __m512i sum[8], x[8], w = _mm512_set1_epi32(turns);
    for (int i = 0; i < 8; i++) {
        sum[i] = _mm512_setzero_si512();
        x[i] = _mm512_set1_epi32(i * 777);
        __asm__ volatile("" : "+v"(x[i]));
    }
    const double start = now();
    for (int turn = 0; turn < turns; turn++) {
        __asm__ volatile("" : "+v"(w));
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            sum[i] = _mm512_add_epi32(sum[i], _mm512_popcnt_epi32(_mm512_xor_si512(w, x[i])));
    }
    const double seconds = now() - start;
    for (int i = 1; i < 8; i++)
        sum[0] = _mm512_add_epi32(sum[0], sum[i]);
    volatile int sink = _mm512_reduce_add_epi32(sum[0]);
    (void)sink;
    return 512.0 * 8 * turns / seconds;
}
#pragma GCC pop_options
#else
double limit_macs(int turns)
{
    (void)turns;
    return 0;
}
#endif

/* The paper's comparison: 256 channels, 3x3, a 14x14 map padded to 16x16. */
enum { CHANNELS = 256, MAP = 14, WIDE = MAP + 2 };

double paper_float(const float *input, const float *weights, float *output)
{
    const double start = now();
    for (int o = 0; o < CHANNELS; o++)
        for (int y = 0; y < MAP; y++)
            for (int x = 0; x < MAP; x++) {
                float sum = 0;
                for (int ky = 0; ky < 3; ky++)
                    for (int kx = 0; kx < 3; kx++)
                        for (int c = 0; c < CHANNELS; c++)
                            sum += input[((y + ky) * WIDE + x + kx) * CHANNELS + c] *
                                   weights[((o * 3 + ky) * 3 + kx) * CHANNELS + c];
                output[(y * MAP + x) * CHANNELS + o] = sum;
            }
    return now() - start;
}

#ifdef __x86_64__
__attribute__((target("popcnt")))
#endif
double paper_bits(const uint64_t *input, const uint64_t *weights, float *output)
{
    enum { WORDS = CHANNELS / 64 };
    const double start = now();
    for (int o = 0; o < CHANNELS; o++)
        for (int y = 0; y < MAP; y++)
            for (int x = 0; x < MAP; x++) {
                int equal = 0;
                for (int ky = 0; ky < 3; ky++)
                    for (int kx = 0; kx < 3; kx++)
                        for (int c = 0; c < WORDS; c++)
                            equal += __builtin_popcountll(~(input[((y + ky) * WIDE + x + kx) * WORDS + c] ^
                                                            weights[((o * 3 + ky) * 3 + kx) * WORDS + c]));
                output[(y * MAP + x) * CHANNELS + o] = (float)(2 * equal - 9 * CHANNELS);
            }
    return now() - start;
}
