/* The float32 operations behind the last integer: one rounding an operation, in the order
 * of the PyTorch modules.  Built with -ffp-contract=off and never with -ffast-math, scalar
 * or vectorised code gives the same bits on every IEEE machine. */
#include <float.h>
#include <math.h>

#include "xh_engine.h"

#if FLT_EVAL_METHOD != 0
#error "floats must be rounded at each operation: build with -msse2 -mfpmath=sse"
#endif
#ifdef __FAST_MATH__
#error "-ffast-math changes the scores"
#endif

size_t xh_host_floats(const xh_network *network)
{
    const int32_t last = network->layers ? network->layer[network->layers - 1].output : 0;
    size_t most = xh_tensor_count(&network->tensor[last]);
    for (int32_t i = 0; i < network->hosts; i++)
        if ((size_t)network->host[i].outputs > most)
            most = (size_t)network->host[i].outputs;
    if ((size_t)network->scores > most)
        most = (size_t)network->scores;
    return most;
}

static float channel_of(const float *values, int32_t count, size_t channel)
{
    return values[count == 1 ? 0 : channel];
}

static void affine(const xh_host *op, size_t channels, size_t pixels, float *x)
{
    for (size_t c = 0; c < channels; c++) {
        for (size_t p = 0; p < pixels; p++, x++) {
            if (op->scales)
                *x = *x * channel_of(op->scale, op->scales, c);
            if (op->biases)
                *x = *x + channel_of(op->bias, op->biases, c);
        }
    }
}

/* A tie of +0 and -0 gives the bound. */
static void clamp(const xh_host *op, size_t count, float *x)
{
    for (size_t i = 0; i < count; i++) {
        const float low = x[i] > op->low ? x[i] : op->low;
        x[i] = low < op->high ? low : op->high;
    }
}

xh_host_product xh_host_as_product(const xh_host *op)
{
    return (xh_host_product){{op->weight, {1, 1, 1, 1, 1, 1, 0, 0}, 1, 0},
                             {op->name, op->inputs, 1, 1, XH_I64},
                             {op->name, op->outputs, 1, 1, XH_I64}};
}

static void full(xh_engine *engine, const xh_host *op, const xh_packed *packed, const float *x, float *y)
{
    const float down = ldexpf(1.0f, -(op->in_frac + op->frac));
    const double up = ldexp(1.0, op->in_frac);
    const xh_host_product product = xh_host_as_product(op);
    int64_t *codes = engine->whole, *sum = codes + op->inputs;
    for (int32_t i = 0; i < op->inputs; i++)
        codes[i] = (int64_t)rint((double)x[i] * up);
    xh_run_full(engine, &product.full, packed, &product.input, codes, &product.output, sum);
    for (int32_t o = 0; o < op->outputs; o++) {
        y[o] = (float)sum[o] * down;
        if (op->biases)
            y[o] = y[o] + channel_of(op->bias, op->biases, (size_t)o);
    }
}

void xh_host_run(xh_engine *engine, const xh_tensor *output, const void *from, float *scores)
{
    const xh_network *network = engine->network;
    size_t channels = (size_t)output->channels, pixels = (size_t)output->height * (size_t)output->width;
    float *x = engine->real[0], *other = engine->real[1];
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < pixels; p++)
            x[c * pixels + p] = (float)xh_value(output, from, p * channels + c);
    for (int32_t i = 0; i < network->hosts; i++) {
        const xh_host *op = &network->host[i];
        switch (op->kind) {
        case XH_AFFINE:
        case XH_BATCHNORM:
            affine(op, channels, pixels, x);
            break;
        case XH_CLAMP:
            clamp(op, channels * pixels, x);
            break;
        case XH_HOSTFULL: {
            full(engine, op, &engine->full[network->layers + i], x, other);
            float *swap = x;
            x = other;
            other = swap;
            channels = (size_t)op->outputs;
            pixels = 1;
            break;
        }
        }
    }
    for (int32_t i = 0; i < network->scores; i++)
        scores[i] = x[i];
}

int32_t xh_argmax(const float *scores, int32_t count)
{
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++)
        if (scores[i] > scores[best])
            best = i;
    return best;
}
