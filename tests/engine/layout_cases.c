/* Runs the layout's moves on cases from a file: layout_cases PATH CASES RESULTS.  All buffers have
 * exactly the bytes that they need, and begin at an odd address. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xh_layout.h"

static FILE *in, *out;

static int32_t number(void)
{
    int32_t value = 0;
    if (fread(&value, sizeof value, 1, in) != 1)
        exit(0);
    return value;
}

static uint8_t *room(size_t bytes, size_t odd) { return (uint8_t *)malloc(bytes + odd) + odd; }

static uint8_t *bytes_of(size_t bytes, size_t odd)
{
    uint8_t *at = room(bytes, odd);
    if (fread(at, 1, bytes, in) != bytes)
        exit(3);
    return at;
}

static void one_packing(const xh_layout_path *path)
{
    xh_layout layout = {0};
    layout.channels = (size_t)number();
    layout.pixels = (size_t)number();
    layout.stride = (size_t)number();
    layout.bits = number();
    layout.signs = number();
    layout.tables = number();
    const int planar = number();
    const size_t count = (size_t)number();
    int32_t *shift = (int32_t *)bytes_of(4 * (size_t)layout.tables, 0);
    uint8_t *table = bytes_of(256 * (size_t)layout.tables, 1), *to = room(count * layout.stride, 1);
    uint8_t *frames = bytes_of(count * layout.channels * layout.pixels, 1);
    layout.shift = shift;
    layout.table = table;
    memset(to, 0xa5, count * layout.stride);
    xh_layout_pack(path, &layout, frames, count, planar, to);
    fwrite(to, 1, count * layout.stride, out);
    free(shift);
    free(table - 1);
    free(to - 1);
    free(frames - 1);
}

static void some_results(const xh_layout_path *path)
{
    const size_t channels = (size_t)number(), pixels = (size_t)number(), stride = (size_t)number();
    const size_t count = (size_t)number(), size = 4 * channels * pixels * count;
    uint8_t *from = bytes_of(4 * stride * count, 0), *to = room(size, 0);
    xh_layout_results(path, (const int32_t *)from, stride, count, channels, pixels, (int32_t *)to);
    fwrite(to, 1, size, out);
    free(from);
    free(to);
}

int main(int count, char **arguments)
{
    const xh_layout_path *path = count == 4 ? xh_layout_choose(arguments[1]) : NULL;
    if (path == NULL)
        return 2;
    in = fopen(arguments[2], "rb");
    out = fopen(arguments[3], "wb");
    if (in == NULL || out == NULL)
        return 3;
    puts(xh_layout_name(path));
    for (;;) {
        if (number())
            one_packing(path);
        else
            some_results(path);
    }
}
