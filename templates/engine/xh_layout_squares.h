/* Transposition in squares, by a path's own instructions: XH_SIDE bytes a side, square() of them
 * and word_square() of 4 x 4 words.  Included behind these. */

/* Writes XH_SIDE pixels of XH_SIDE channels; with fewer channels than that what lies behind a pixel
 * is overwritten by the next one. */
static void squares(const uint8_t *from, size_t stride, size_t channels, size_t pixels, uint8_t *to)
{
    size_t p = 0;
    /* the last pixel of a square writes XH_SIDE bytes, too */
    for (; p + XH_SIDE <= pixels && (p + XH_SIDE - 1) * channels + XH_SIDE <= pixels * channels; p += XH_SIDE) {
        for (size_t c = 0; c < channels; c += XH_SIDE) {
            /* the last square of many channels begins so that it ends with them */
            const size_t first = c + XH_SIDE > channels && channels >= XH_SIDE ? channels - XH_SIDE : c;
            const uint8_t *row[XH_SIDE];
            for (size_t r = 0; r < XH_SIDE; r++)
                row[r] = from + (first + r < channels ? first + r : channels - 1) * stride + p;
            square(row, to + p * channels + first, channels);
        }
    }
    interleave_bytes(from, stride, channels, p, pixels, to);
}

static void words(const int32_t *from, size_t channels, size_t pixels, int32_t *to)
{
    size_t p = 0;
    for (; channels >= 4 && p + 4 <= pixels; p += 4) {
        for (size_t c = 0; c < channels; c += 4) {
            const size_t first = c + 4 > channels ? channels - 4 : c;
            word_square(from + p * channels + first, channels, to + first * pixels + p, pixels);
        }
    }
    few_words(from, channels, pixels, p, pixels, to);
}
