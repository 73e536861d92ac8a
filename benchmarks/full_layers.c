/* What benchmarks/full_layers.py times: one full-precision layer of the CPU engine, and the loops
 * of multiply and add that bound it.  Built with the engine's sources. */
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
    xh_tensor tensor[2];
    xh_full full;
    xh_layer step;
    xh_host host[2];
    float scale;
    xh_network network;
    xh_engine *engine;
    void *scores;
} layer;

static layer *opened(layer *l, const char *path)
{
    l->network.tensor = l->tensor;
    l->network.chip_input = l->network.chip_output = -1;
    if (xh_open(&l->network, path, &l->engine) == XH_OK)
        return l;
    free(l);
    return NULL;
}

/* A convolution of pixels, square in every way; NULL where `path` does not run here.  The
 * weights stay the caller's. */
layer *conv_open(const char *path, int map, int channels, int out, int kernel, int stride, int pad,
                 const int32_t *weight)
{
    layer *l = calloc(1, sizeof *l);
    const int size = (map + 2 * pad - kernel) / stride + 1;
    l->tensor[0] = (xh_tensor){"input", channels, map, map, XH_U8};
    l->tensor[1] = (xh_tensor){"sums", out, size, size, XH_I32};
    l->full = (xh_full){weight, {kernel, kernel, stride, stride, 1, 1, pad, pad}, 1, 0};
    l->step = (xh_layer){XH_FULL, 0, 1, &l->full};
    l->network = (xh_network){.tensors = 2, .layer = &l->step, .layers = 1};
    return opened(l, path);
}

/* A linear layer on real values of 16 bits, 8 of them behind the point. */
layer *linear_open(const char *path, int inputs, int outputs, const int32_t *weight)
{
    layer *l = calloc(1, sizeof *l);
    l->scale = 1.0f / 256;
    l->tensor[0] = (xh_tensor){"input", inputs, 1, 1, XH_I16};
    l->host[0] = (xh_host){.kind = XH_AFFINE, .scale = &l->scale, .scales = 1};
    l->host[1] = (xh_host){.kind = XH_HOSTFULL, .weight = weight, .inputs = inputs, .outputs = outputs,
                           .frac = 8, .in_frac = 8};
    l->network = (xh_network){.tensors = 1, .host = l->host, .hosts = 2, .scores = outputs};
    l->scores = calloc((size_t)outputs, sizeof(float));
    return opened(l, path);
}

/* Seconds a run, from codes to sums (to scores); `*result` are these. */
double full_seconds(layer *l, const void *input, int runs, const void **result)
{
    const double start = now();
    for (int i = 0; i < runs; i++) {
        if (l->network.layers)
            xh_run_full(l->engine, &l->full, &l->engine->full[0], &l->tensor[0], input, &l->tensor[1],
                        l->engine->map[0]);
        else
            xh_host_run(l->engine, &l->tensor[0], input, l->scores);
    }
    const double seconds = (now() - start) / runs;
    *result = l->network.layers ? l->engine->map[0] : l->scores;
    return seconds;
}

void full_close(layer *l)
{
    xh_close(l->engine);
    free(l->scores);
    free(l);
}

#ifdef __x86_64__
#include <immintrin.h>

#define LIMIT(NAME, TARGET, VECTOR, FEATURE, MACS, SUMS, STEP)                                    \
    __attribute__((target(TARGET))) double NAME(int turns)                                        \
    {                                                                                             \
        VECTOR sum[SUMS] = {0}, x[SUMS] = {0}, w = {0};                                           \
        __builtin_cpu_init();                                                                     \
        if (!__builtin_cpu_supports(FEATURE))                                                     \
            return 0;                                                                             \
        for (int i = 0; i < SUMS; i++)                                                            \
            __asm__ volatile("" : "+v"(x[i]));                                                    \
        const double start = now();                                                               \
        for (int turn = 0; turn < turns; turn++) {                                                \
            __asm__ volatile("" : "+v"(w));                                                       \
            _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++) STEP;                         \
        }                                                                                         \
        const double seconds = now() - start;                                                     \
        for (int i = 0; i < SUMS; i++)                                                            \
            __asm__ volatile("" : : "v"(sum[i]));                                                 \
        return MACS * (double)SUMS * turns / seconds;                                             \
    }

/* Multiply-accumulates a second on registers alone; 0 where the processor has no such instructions. */
LIMIT(limit_avx2, "avx2", __m256i, "avx2", 16, 6, sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(x[i], w)))
LIMIT(limit_avx512, "avx512f,avx512vnni", __m512i, "avx512vnni", 32, 12, sum[i] = _mm512_dpwssd_epi32(sum[i], x[i], w))
#else
double limit_avx2(int turns) { return 0 * turns; }
double limit_avx512(int turns) { return 0 * turns; }
#endif
