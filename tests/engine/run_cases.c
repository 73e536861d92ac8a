/* Runs every case of cases.h and writes all of its tensors, as int64_t [H][W][C], to stdout:
 * for each its case, tensor index and count, as int64_t, then the values; index -1: the bits
 * of the float32 scores.  The argument is the
 * number of threads, or "paths" to list what this processor runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xh_run.h"

typedef struct test_case {
    const xh_network *network;
    const void *input;
    size_t bytes;
} test_case;

#include "cases.h"

static void show(void *context, int32_t tensor, const int64_t *values, size_t count)
{
    const int64_t head[3] = {*(const int *)context, tensor, (int64_t)count};
    fwrite(head, sizeof head, 1, stdout);
    fwrite(values, sizeof *values, count, stdout);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "paths") == 0) {
        for (int i = 0; xh_path_available(i) != NULL; i++)
            puts(xh_path_available(i));
        return 0;
    }
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    for (int i = 0; i < (int)(sizeof cases / sizeof cases[0]); i++) {
        xh_engine *engine;
        float *scores = calloc((size_t)cases[i].network->scores, sizeof *scores);
        int status = xh_open(cases[i].network, NULL, &engine);
        if (status == XH_OK)
            status = xh_set_threads(engine, threads);
        if (status == XH_OK)
            status = xh_set_trace(engine, show, &i);
        if (status == XH_OK)
            status = xh_run(engine, cases[i].input, cases[i].bytes, scores);
        if (status != XH_OK) {
            fprintf(stderr, "case %d: %s\n", i, xh_status_text(status));
            return 1;
        }
        int64_t *bits = calloc((size_t)cases[i].network->scores, sizeof *bits);
        for (int k = 0; k < cases[i].network->scores; k++)
            memcpy(&bits[k], &scores[k], sizeof scores[k]);
        show(&i, -1, bits, (size_t)cases[i].network->scores);
        free(bits);
        xh_close(engine);
        free(scores);
    }
    return 0;
}
