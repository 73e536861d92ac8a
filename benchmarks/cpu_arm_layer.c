/* Runs one 3x3 layer so many times; counted under qemu by benchmarks/cpu_arm.py. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>

#include "cpu_kernels.c"

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    const int map = atoi(argv[1]), channels = atoi(argv[2]), runs = atoi(argv[3]);
    const size_t words = (size_t)channels / 32, count = (size_t)channels / 16 * 9 * words * 16;
    uint32_t *weights = aligned_alloc(64, count * sizeof *weights);
    int32_t *at = calloc((size_t)channels, sizeof *at);
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++)
        weights[i] = state = state * 1664525u + 1013904223u;
    layer *l = layer_open("neon", map, channels, weights, at);
    if (l == NULL)
        return 1;
    for (size_t i = 0; i < (size_t)map * (size_t)map * words; i++)
        layer_input(l)[i] = state = state * 1664525u + 1013904223u;
    for (int i = 0; i < runs; i++)
        layer_seconds(l, 1);
    printf("%u\n", layer_output(l)[0]);
    layer_close(l);
    free(weights);
    free(at);
    return 0;
}
