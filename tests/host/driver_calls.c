/* Calls of the driver in every order that makes a difference, against frames and scores in two files.
 *
 *   driver_calls sequence FRAMES SCORES
 *   driver_calls recover STATUS FRAMES SCORES    the second, fourth and sixth transfer of three fail with STATUS
 *   driver_calls dead PLACE FRAMES SCORES        the second transfer fails, and so does the reset, of PLACE
 *   driver_calls leave FRAMES SCORES             closes while a transfer is in flight
 *
 * A final "mem ADDRESS BYTES" takes /dev/mem. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel_driver.h"

enum { FRAMES = 12 };

static accel_input_t frames[FRAMES][ACCEL_INPUT_ELEMENTS];
static float wanted[FRAMES][ACCEL_CLASSES], scores[FRAMES][ACCEL_CLASSES];
static accel_driver *driver;

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            printf("line %d: not so: %s; last error: %s\n", __LINE__, #condition,              \
                   driver ? accel_driver_error(driver)->text : "none");                        \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

static void load(const char *path, void *data, size_t bytes) {
    FILE *file = fopen(path, "rb");
    CHECK(file && fread(data, 1, bytes, file) == bytes);
    fclose(file);
}

/* Whether the scores of frames [first, first + count) are in scores[0..], bit for bit. */
static int right(size_t first, size_t count) {
    int same = !memcmp(scores, wanted[first], count * sizeof scores[0]);
    memset(scores, 0x55, sizeof scores);
    return same;
}

static const accel_input_t *frame(size_t i) {
    return frames[i];
}

static void sequence(const xd_options *options) {
    xd_error error;
    accel_driver *other = (accel_driver *)1;
    xd_options wrong = *options;
    xd_counters counters;
    int ready = 1;

    CHECK(accel_driver_run(driver, frame(0), scores[0]) == XD_OK && right(0, 1));
    CHECK(accel_driver_batch(driver, frame(1), 5, scores[0]) == XD_OK && right(1, 5));
    CHECK(accel_driver_counters(driver, &counters) == XD_OK);
    CHECK(counters.frames_in == 6 && counters.frames_out == 6 && counters.busy_cycles > 0);

    /* two in flight, answered in order; a third finds no room, a blocking call neither */
    CHECK(accel_driver_submit(driver, frame(6), 2) == XD_OK);
    CHECK(accel_driver_submit(driver, frame(8), 3) == XD_OK);
    CHECK(accel_driver_in_flight(driver) == 2);
    CHECK(accel_driver_submit(driver, frame(0), 1) == XD_BUSY);
    CHECK(accel_driver_run(driver, frame(0), scores[0]) == XD_BUSY);
    CHECK(accel_driver_batch(driver, frame(0), 2, scores[0]) == XD_BUSY);
    CHECK(accel_driver_wait(driver, scores[0]) == XD_OK && right(6, 2));
    CHECK(accel_driver_submit(driver, frame(11), 1) == XD_OK);
    CHECK(accel_driver_wait(driver, scores[0]) == XD_OK && right(8, 3));
    while (accel_driver_ready(driver, &ready) == XD_OK && !ready) continue;
    CHECK(ready && accel_driver_wait(driver, scores[0]) == XD_OK && right(11, 1));

    /* one done and not fetched, another on its way behind it */
    CHECK(accel_driver_submit(driver, frame(2), 1) == XD_OK);
    while (accel_driver_ready(driver, &ready) == XD_OK && !ready) continue;
    CHECK(accel_driver_submit(driver, frame(3), 1) == XD_OK);
    CHECK(accel_driver_wait(driver, scores[0]) == XD_OK && right(2, 1));
    CHECK(accel_driver_wait(driver, scores[0]) == XD_OK && right(3, 1));

    /* wrong calls, after which all is as before */
    CHECK(accel_driver_in_flight(driver) == 0);
    CHECK(accel_driver_wait(driver, scores[0]) == XD_NOTHING);
    CHECK(accel_driver_ready(driver, &ready) == XD_NOTHING);
    CHECK(accel_driver_submit(driver, frame(0), 0) == XD_ARGUMENT);
    CHECK(accel_driver_submit(driver, NULL, 1) == XD_ARGUMENT);
    CHECK(accel_driver_batch(driver, frame(0), 1, NULL) == XD_ARGUMENT);
    CHECK(accel_driver_wait(driver, NULL) == XD_ARGUMENT);
    CHECK(accel_driver_submit(NULL, frame(0), 1) == XD_ARGUMENT);
    CHECK(accel_driver_counters(driver, NULL) == XD_ARGUMENT);
    CHECK(accel_driver_batch(driver, frame(0), accel_driver_capacity(driver) + 1, scores[0]) == XD_BUFFER);
    CHECK(strstr(accel_driver_error(driver)->text, "one transfer takes up to"));
    CHECK(accel_driver_submit(driver, frame(0), (size_t)-1) == XD_BUFFER);
    CHECK(accel_driver_run(driver, frame(4), scores[0]) == XD_OK && right(4, 1));

    /* one device, one driver; and options without sense */
    CHECK(accel_driver_open(&other, options, &error) == XD_IN_USE && !other);
    CHECK(error.status == XD_IN_USE && strstr(error.text, "End the other process first"));
    wrong.timeout_ms = 0;
    CHECK(accel_driver_open(&other, &wrong, &error) == XD_ARGUMENT && !other);
    CHECK(accel_driver_open(NULL, options, &error) == XD_ARGUMENT);
    CHECK(accel_driver_close(NULL) == XD_OK);
    for (int status = 0; status <= XD_MEMORY; status++)
        CHECK(*xd_status_text(status) && *xd_status_remedy(status));
    CHECK(accel_driver_run(driver, frame(5), scores[0]) == XD_OK && right(5, 1));
}

static void recover(xd_status status) {
    int ready;
    CHECK(accel_driver_run(driver, frame(0), scores[0]) == XD_OK && right(0, 1));
    CHECK(accel_driver_run(driver, frame(1), scores[0]) == status);
    CHECK(accel_driver_in_flight(driver) == 0);
    CHECK(accel_driver_run(driver, frame(2), scores[0]) == XD_OK && right(2, 1));

    /* the transfer behind the failed one is lost with it */
    CHECK(accel_driver_submit(driver, frame(3), 2) == XD_OK);
    xd_status second = accel_driver_submit(driver, frame(5), 2);
    CHECK(second == status || (second == XD_OK && accel_driver_wait(driver, scores[0]) == status));
    CHECK(accel_driver_in_flight(driver) == 0);
    CHECK(accel_driver_wait(driver, scores[0]) == XD_NOTHING);
    CHECK(accel_driver_batch(driver, frame(7), 4, scores[0]) == XD_OK && right(7, 4));

    /* a good one before it has been fetched */
    CHECK(accel_driver_submit(driver, frame(3), 1) == XD_OK);
    CHECK(accel_driver_wait(driver, scores[0]) == status);
    CHECK(accel_driver_ready(driver, &ready) == XD_NOTHING);
    CHECK(accel_driver_run(driver, frame(11), scores[0]) == XD_OK && right(11, 1));
}

static void dead(const char *place) {
    int ready;
    CHECK(accel_driver_run(driver, frame(0), scores[0]) == XD_OK && right(0, 1));
    CHECK(accel_driver_run(driver, frame(1), scores[0]) == XD_RESET);
    CHECK(strstr(accel_driver_error(driver)->text, place));
    CHECK(strstr(accel_driver_error(driver)->text, "Close the driver and load the bitstream again"));
    CHECK(accel_driver_in_flight(driver) == 0);
    CHECK(accel_driver_run(driver, frame(2), scores[0]) == XD_RESET);
    CHECK(strstr(accel_driver_error(driver)->text, "an earlier reset did not finish"));
    CHECK(accel_driver_batch(driver, frame(2), 3, scores[0]) == XD_RESET);
    CHECK(accel_driver_submit(driver, frame(2), 1) == XD_RESET);
    CHECK(accel_driver_wait(driver, scores[0]) == XD_RESET);
    CHECK(accel_driver_ready(driver, &ready) == XD_RESET && !ready);
}

int main(int argc, char **argv) {
    xd_options options;
    xd_error error = {XD_OK, ""};
    xd_status status = XD_OK;
    xd_options_init(&options);
    if (argc > 4 && !strcmp(argv[argc - 3], "mem")) {
        options.transport = XD_MEM;
        options.memory_address = strtoull(argv[argc - 2], NULL, 0);
        options.memory_bytes = strtoull(argv[argc - 1], NULL, 0);
        argc -= 3;
    }
    if (argc < 4) return 2;
    if (!strcmp(argv[1], "recover")) {
        status = (xd_status)atoi(argv[2]);
        options.timeout_ms = 800; /* long for a simulator that shares its processors */
    }
    if (!strcmp(argv[1], "dead")) options.timeout_ms = 200;
    load(argv[argc - 2], frames, sizeof frames);
    load(argv[argc - 1], wanted, sizeof wanted);
    if (accel_driver_open(&driver, &options, &error)) {
        printf("open: %s\n", error.text);
        return 1;
    }
    if (!strcmp(argv[1], "sequence")) sequence(&options);
    else if (!strcmp(argv[1], "recover")) recover(status);
    else if (!strcmp(argv[1], "dead")) dead(argv[2]);
    else CHECK(accel_driver_submit(driver, frame(0), FRAMES) == XD_OK);
    status = accel_driver_close(driver);
    driver = NULL;
    /* only a DMA that does not stop is in the way of closing */
    CHECK(status == (!strcmp(argv[1], "dead") && !strcmp(argv[2], "DMA") ? XD_RESET : XD_OK));
    puts("all as it should be");
    return 0;
}
