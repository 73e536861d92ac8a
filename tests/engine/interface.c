/* Every refusal of xh_run.h, and that a run allocates nothing.  Built with malloc and its
 * relatives wrapped; prints the line of each expectation that does not hold. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xh_run.h"

static int allocations;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    allocations++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations++;
    return __real_calloc(count, bytes);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    allocations++;
    return __real_posix_memalign(memory, alignment, bytes);
}

static int failures;

#define EXPECT(condition)                                              \
    do {                                                               \
        if (!(condition)) {                                            \
            failures++;                                                \
            printf("interface.c:%d: %s\n", __LINE__, #condition);      \
        }                                                              \
    } while (0)

/* 40 bipolar inputs -> 3 sums (the chip's) -> 3 scores. */
static const uint32_t weights[2 * 16] XH_ALIGNED = {0xffffffffu, 0, 0x0f0f0f0fu};
static const xh_term term = {1, weights, NULL};
static const xh_product product = {&term, 1, {1, 1, 1, 1, 1, 1, 0, 0}, 1, 0, NULL, -1};
static const xh_product unpadded = {&term, 1, {1, 1, 1, 1, 1, 1, 0, 0}, 1, 3, NULL, -1};
static const xh_tensor tensors[] = {{"input", 40, 1, 1, XH_BITS}, {"sums", 3, 1, 1, XH_I32}};
static const xh_layer layers[] = {{XH_PRODUCT, 0, 1, &product}};
static const xh_layer broken[] = {{XH_PRODUCT, 0, 1, &unpadded}};
static const xh_network network = {.name = "bits", .tensor = tensors, .tensors = 2, .layer = layers, .layers = 1,
                                   .scores = 3, .back_layer = 1, .chip_input = 0, .chip_output = 1, .chip_bits = 1};
static const xh_network bad = {.name = "bad", .tensor = tensors, .tensors = 2, .layer = broken, .layers = 1,
                               .scores = 3, .chip_input = -1, .chip_output = -1};

/* 4-bit codes through a table of ten entries. */
static const int32_t table[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
static const xh_lookup lookup = {table, 1, 10, 0};
static const xh_tensor codes[] = {{"input", 2, 1, 1, XH_U8}, {"table", 2, 1, 1, XH_U8}};
static const xh_layer reads[] = {{XH_LOOKUP, 0, 1, &lookup}};
static const xh_network ranged = {.name = "codes", .tensor = codes, .tensors = 2, .layer = reads, .layers = 1,
                                  .scores = 2, .chip_input = -1, .chip_output = -1, .input_low = 0, .input_high = 7};

static void count_tensors(void *context, int32_t tensor, const int64_t *values, size_t count)
{
    (void)values;
    (void)count;
    *(int *)context |= 1 << tensor;
}

int main(void)
{
    xh_engine *engine = NULL, *other = NULL;
    int8_t input[40];
    float scores[3], again[3];
    uint8_t frame[16];
    for (int i = 0; i < 40; i++)
        input[i] = i % 3 ? 1 : -1;

    EXPECT(xh_open(NULL, NULL, &engine) == XH_BAD_ARGUMENT);
    EXPECT(xh_open(&bad, NULL, &engine) == XH_BAD_NETWORK);
    xh_network unsaid = network;
    unsaid.chip_bits = 0;
    EXPECT(xh_open(&unsaid, NULL, &engine) == XH_BAD_NETWORK);
    EXPECT(xh_open(&network, "no such", &engine) == XH_UNKNOWN_PATH);
    EXPECT(xh_open(&network, NULL, &engine) == XH_OK);
    EXPECT(xh_open(&network, "plain", &other) == XH_OK);
    EXPECT(strcmp(xh_path_name(other), "plain") == 0);
    EXPECT(strcmp(xh_path_name(engine), xh_path_available(0)) == 0);

    EXPECT(xh_input_bytes(&network) == 40);
    EXPECT(xh_run(engine, NULL, 40, scores) == XH_BAD_ARGUMENT);
    EXPECT(xh_run(engine, input, 39, scores) == XH_BAD_SIZE);
    EXPECT(xh_run(engine, input, 41, scores) == XH_BAD_SIZE);
    input[7] = 0;
    EXPECT(xh_run(engine, input, 40, scores) == XH_BAD_INPUT);
    input[7] = 1;

    allocations = 0;
    EXPECT(xh_run(engine, input, 40, scores) == XH_OK);
    EXPECT(xh_run(other, input, 40, again) == XH_OK);
    EXPECT(memcmp(scores, again, sizeof scores) == 0);
    memset(frame, 0xaa, sizeof frame);
    EXPECT(xh_run_front(engine, input, 40, frame, 4) == XH_BAD_SIZE);
    EXPECT(xh_run_front(engine, input, 40, frame, sizeof frame) == XH_OK);
    for (int i = 0; i < 128; i++)
        EXPECT((frame[i / 8] >> (i % 8) & 1) == (i < 40 && input[i] > 0));
    const int32_t sums[3] = {5, -7, 5};
    EXPECT(xh_run_back(engine, sums, 2, scores) == XH_BAD_SIZE);
    EXPECT(xh_run_back(engine, sums, 3, scores) == XH_OK);
    EXPECT(scores[0] == 5 && scores[1] == -7 && xh_argmax(scores, 3) == 0);
    EXPECT(allocations == 0);

    int seen = 0;
    EXPECT(xh_set_trace(engine, count_tensors, &seen) == XH_OK);
    EXPECT(xh_run(engine, input, 40, again) == XH_OK && seen == 3);
    EXPECT(xh_set_trace(engine, NULL, NULL) == XH_OK);
    EXPECT(xh_set_threads(engine, 0) == XH_BAD_ARGUMENT);
    EXPECT(xh_set_threads(engine, 65) == XH_BAD_ARGUMENT);
#ifdef XH_THREADS
    EXPECT(xh_set_threads(engine, 2) == XH_OK);
#else
    EXPECT(xh_set_threads(engine, 2) == XH_NO_THREADS);
#endif
    EXPECT(xh_run(engine, input, 40, again) == XH_OK);
    xh_close(engine);
    xh_close(other);
    xh_close(NULL);

    const size_t bytes = xh_engine_bytes(&network, 0);
    char *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    EXPECT(xh_engine_bytes(&network, 1) > bytes && xh_engine_bytes(&bad, 0) == 0);
    EXPECT(xh_place(&network, NULL, memory + 8, bytes, &engine) == XH_BAD_ARGUMENT);
    EXPECT(xh_place(&network, NULL, memory, bytes - 1, &engine) == XH_NO_MEMORY);
    EXPECT(xh_place(&network, NULL, memory, bytes, &engine) == XH_OK);
    EXPECT(xh_set_trace(engine, count_tensors, &seen) == XH_NO_MEMORY);
    EXPECT(xh_run(engine, input, 40, again) == XH_OK);
    xh_close(engine);
    free(memory);

    EXPECT(xh_open(&ranged, NULL, &engine) == XH_OK);
    const uint8_t high[2] = {3, 8}, good[2] = {0, 7};
    EXPECT(xh_run(engine, high, 2, scores) == XH_BAD_INPUT);
    EXPECT(xh_run(engine, good, 2, scores) == XH_OK && scores[0] == 1 && scores[1] == 8);
    EXPECT(xh_run_front(engine, good, 2, frame, 16) == XH_BAD_ARGUMENT);
    EXPECT(xh_run_back(engine, sums, 2, scores) == XH_BAD_ARGUMENT);
    xh_close(engine);
    for (int status = XH_OK; status <= XH_NO_THREADS; status++)
        EXPECT(strcmp(xh_status_text(status), "unknown status") != 0);
    EXPECT(strcmp(xh_status_text(99), "unknown status") == 0);
    printf("%d failures\n", failures);
    return failures != 0;
}
