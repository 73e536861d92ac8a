/* What a network's tables must keep to, so that no run reads or writes where it should not. */
#include "xh_engine.h"

int32_t xh_buffers_of(const xh_network *n) { return n->buffer ? n->buffers : 2; }

/* The layer that makes a tensor; -1: the input, or a tensor that no layer makes. */
static int32_t maker_of(const xh_network *n, int32_t tensor)
{
    for (int32_t i = 0; i < n->layers; i++)
        if (n->layer[i].output == tensor)
            return i;
    return -1;
}

int32_t xh_buffer_of_layer(const xh_network *n, int32_t i)
{
    if (n->buffer)
        return n->buffer[i < 0 ? 0 : n->layer[i].output];
    return i < 0 ? 1 : i & 1;
}

/* A layer reads what is made before it; until then nothing else is written there. */
static int holds_inputs(const xh_network *n, int32_t i)
{
    const xh_layer *layer = &n->layer[i];
    const int32_t to = xh_buffer_of_layer(n, i);
    if (layer->output <= 0 || layer->output >= n->tensors || to < 0 || to >= xh_buffers_of(n) ||
        maker_of(n, layer->output) != i)
        return 0;
    for (int32_t k = 0, from; (from = xh_layer_input(layer, k)) != -1; k++) {
        if (from < 0 || from >= n->tensors)
            return 0;
        const int32_t made = maker_of(n, from);
        if (made >= i || (made < 0 && from != 0))
            return 0;
        /* what came from the accelerator or before it does not last behind it, but for its result */
        if (n->chip_output >= 0 && i >= n->back_layer && made < n->back_layer && from != n->chip_output)
            return 0;
        for (int32_t between = made + 1; between <= i; between++)
            if (xh_buffer_of_layer(n, between) == xh_buffer_of_layer(n, made))
                return 0;
    }
    return 1;
}

static int same_size(const xh_tensor *a, const xh_tensor *b) { return a->height == b->height && a->width == b->width; }

static int same_shape(const xh_tensor *a, const xh_tensor *b) { return same_size(a, b) && a->channels == b->channels; }

static int known_product(const xh_product *p, const xh_tensor *in, const xh_tensor *out, int bits)
{
    const xh_window *w = &p->window;
    if (p->terms < 1 || p->groups < 1 || in->channels % p->groups || out->channels % p->groups)
        return 0;
    if (w->kernel_h < 1 || w->kernel_w < 1 || w->stride_h < 1 || w->stride_w < 1 || w->dilation_h < 1 ||
        w->dilation_w < 1)
        return 0;
    for (int32_t t = 0; t < p->terms; t++)
        if (bits ? p->term[t].bits == NULL : p->term[t].lanes == NULL)
            return 0;
    return out->format == (p->sign ? XH_BITS : XH_I32) &&
           (p->sign == NULL || (p->sums >= 0 && p->sign->flips == 0));
}

/* A row for every position, or one for all. */
static int known_rows(int32_t rows, int32_t positions) { return rows == 0 || rows == positions; }

static int known_planes(const xh_planes *p, const xh_tensor *in, const xh_tensor *out)
{
    if (!known_product(&p->product, in, out, 1) || p->product.sign != NULL || p->bits < 1 || p->bits > 8)
        return 0;
    for (int32_t t = 0; t < p->product.terms; t++)
        if (p->plane[t] > 127 || (p->plane[t] >= 0 && (in->format != XH_U8 || p->product.pad_value != 0)))
            return 0;
    return in->format == XH_U8 || in->format == XH_I8;
}

static int known_sum(const xh_network *n, const xh_layer *layer, const xh_add *op)
{
    const xh_tensor *out = &n->tensor[layer->output];
    if (op->inputs < 1 || op->tensor[0] != layer->input)
        return 0;
    for (int32_t k = 0; k < op->inputs; k++)
        if (!same_shape(&n->tensor[op->tensor[k]], out) || op->shift[k] < 0 ||
            op->shift[k] > (out->format == XH_I64 ? 62 : 31))
            return 0;
    return out->format != XH_BITS;
}

static int known_concat(const xh_network *n, const xh_layer *layer, const xh_concat *op)
{
    const xh_tensor *out = &n->tensor[layer->output];
    int64_t channels = 0;
    if (op->inputs < 1 || op->tensor[0] != layer->input)
        return 0;
    for (int32_t k = 0; k < op->inputs; k++) {
        const xh_tensor *in = &n->tensor[op->tensor[k]];
        if (!same_size(in, out) || (in->format == XH_BITS) != (out->format == XH_BITS))
            return 0;
        channels += in->channels;
    }
    return channels == out->channels;
}

/* The tensors' indices are known to be good. */
static int known_formats(const xh_network *n, const xh_layer *layer)
{
    const xh_tensor *in = &n->tensor[layer->input], *out = &n->tensor[layer->output];
    switch (layer->kind) {
    case XH_LOOKUP:
        return same_shape(in, out);
    case XH_RESHAPE:
        return in->format == out->format && out->height == 1 && out->width == 1 &&
               xh_tensor_count(in) == xh_tensor_count(out);
    case XH_SIGN: {
        const xh_sign *s = layer->data;
        return out->format == XH_BITS && same_shape(in, out) && known_rows(s->flips, s->positions);
    }
    case XH_LEVELS: {
        const xh_levels *l = layer->data;
        return same_shape(in, out) && l->levels > 0 && known_rows(l->flips, l->positions) &&
               (l->wide != NULL || (l->at != NULL && in->format != XH_I64));
    }
    case XH_REQUANT: {
        const xh_requant *r = layer->data;
        const int narrow = r->multiplier != NULL && (r->addend != NULL || r->wide_addend != NULL) &&
                           in->format != XH_I64 && r->shift <= 32;
        return same_shape(in, out) && out->format != XH_BITS && r->shift >= (r->even != 0) && r->shift < 64 &&
               known_rows(r->positions, out->height * out->width) &&
               (narrow || (r->wide_multiplier != NULL && r->wide_addend != NULL && r->multiplier == NULL));
    }
    case XH_ADD:
        return known_sum(n, layer, layer->data);
    case XH_CONCAT:
        return known_concat(n, layer, layer->data);
    case XH_MULTIPLY: {
        const xh_tensor *by = &n->tensor[((const xh_multiply *)layer->data)->by];
        return same_shape(in, out) && same_size(by, out) && by->channels == 1 && out->format != XH_BITS;
    }
    case XH_POOL:
        return in->format == out->format && in->channels == out->channels;
    case XH_SUMPOOL:
        return in->channels == out->channels && out->format != XH_BITS;
    case XH_BOXSUM:
        return out->channels == 1 && out->format != XH_BITS;
    case XH_FULL: {
        const int32_t groups = ((const xh_full *)layer->data)->groups;
        return (out->format == XH_I32 || out->format == XH_I64) && groups > 0 && in->channels % groups == 0 &&
               out->channels % groups == 0;
    }
    case XH_PRODUCT: {
        const xh_product *p = layer->data;
        return known_product(p, in, out, in->format == XH_BITS) &&
               (in->format != XH_BITS || (p->pad_value >= -1 && p->pad_value <= 1));
    }
    case XH_PLANES:
        return known_planes(layer->data, in, out);
    }
    return 0;
}

int xh_layer_is_sound(const xh_network *n, int32_t i)
{
    return holds_inputs(n, i) && known_formats(n, &n->layer[i]);
}
