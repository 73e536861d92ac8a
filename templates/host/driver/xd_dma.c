#define _POSIX_C_SOURCE 200809L

#include "xd_dma.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "xd_error.h"

static const uint32_t CHANNELS[] = {XD_MM2S, XD_S2MM};
static const char *const NAMES[] = {"DMA, send channel", "DMA, receive channel"};

uint64_t xd_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits until (register & mask) == wanted.  The time is taken before the look: a process that was
 * kept from running does not take a finished wait for a late one. */
static int await(const xd_window *dma, uint32_t offset, uint32_t mask, uint32_t wanted, unsigned timeout_ms) {
    uint64_t end = xd_now_ms() + timeout_ms;
    for (;;) {
        uint64_t now = xd_now_ms();
        if ((xd_read(dma, offset) & mask) == wanted) return 1;
        if (now > end) return 0;
    }
}

xd_status xd_dma_reset(xd_transport *transport, unsigned timeout_ms, xd_error *error) {
    for (int i = 0; i < 2; i++) {
        xd_write(&transport->dma, CHANNELS[i] + XD_DMACR, XD_DMACR_RESET);
        if (!await(&transport->dma, CHANNELS[i] + XD_DMACR, XD_DMACR_RESET, 0, timeout_ms))
            return xd_fail(error, XD_RESET, NAMES[i], "its reset did not finish within %u ms", timeout_ms);
    }
    return XD_OK;
}

xd_status xd_dma_run(xd_transport *transport, unsigned timeout_ms, xd_error *error) {
    for (int i = 0; i < 2; i++) {
        uint32_t state = xd_read(&transport->dma, CHANNELS[i] + XD_DMASR);
        if (!(state & XD_DMASR_HALTED) || state & XD_DMASR_SCATTER_GATHER)
            return xd_fail(error, XD_DMA_KIND, NAMES[i], "its status after a reset is 0x%08" PRIx32
                           ", which is not that of a DMA in simple mode", state);
        /* the interrupts are not wired; enabled, their bits are kept in the status register */
        xd_write(&transport->dma, CHANNELS[i] + XD_DMACR,
                 XD_DMACR_RUN | XD_DMACR_IOC_ENABLE | XD_DMACR_ERROR_ENABLE);
        if (!await(&transport->dma, CHANNELS[i] + XD_DMASR, XD_DMASR_HALTED, 0, timeout_ms))
            return xd_fail(error, XD_DMA_KIND, NAMES[i], "it does not start");
    }
    return XD_OK;
}

static void start_channel(xd_transport *transport, uint32_t channel, size_t offset, size_t bytes) {
    uint64_t address = transport->bus_address + offset;
    xd_write(&transport->dma, channel + XD_DMASR, XD_DMASR_IOC | XD_DMASR_ERROR_IRQ);
    xd_write(&transport->dma, channel + XD_ADDRESS_LOW, (uint32_t)address);
    /* a DMA of 32 address bits has no upper half, and a build's memory tells which it is */
    if (address >> 32) xd_write(&transport->dma, channel + XD_ADDRESS_HIGH, (uint32_t)(address >> 32));
    xd_write(&transport->dma, channel + XD_BYTES, (uint32_t)bytes);
}

xd_status xd_dma_start(xd_transport *transport, const xd_transfer *transfer, xd_error *error) {
    xd_status status =
        xd_sync_for_device(transport, transfer->output, transfer->output_bytes, XD_FROM_DEVICE, error);
    if (!status) status = xd_sync_for_device(transport, transfer->input, transfer->input_bytes, XD_TO_DEVICE, error);
    if (status) return status;
    xd_barrier();
    start_channel(transport, XD_S2MM, transfer->output, transfer->output_bytes);
    start_channel(transport, XD_MM2S, transfer->input, transfer->input_bytes);
    return XD_OK;
}

/* A status register's bits in words. */
static void state_words(uint32_t state, char *text, size_t size) {
    static const struct {
        uint32_t bit;
        const char *word;
    } words[] = {
        {XD_DMASR_INTERNAL_ERROR, "internal error (length or alignment)"},
        {XD_DMASR_SLAVE_ERROR, "slave error (memory refused an access)"},
        {XD_DMASR_DECODE_ERROR, "decode error (no memory at an address)"},
        {XD_DMASR_HALTED, "halted"},
        {XD_DMASR_IDLE, "idle"},
    };
    size_t used = (size_t)snprintf(text, size, "0x%08" PRIx32, state);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (state & words[i].bit && used < size)
            used += (size_t)snprintf(text + used, size - used, ", %s", words[i].word);
    if (!(state & (XD_DMASR_HALTED | XD_DMASR_IDLE)) && used < size)
        snprintf(text + used, size - used, ", running");
}

void xd_dma_describe(xd_transport *transport, char *text, size_t size) {
    char send[100], receive[100];
    state_words(xd_read(&transport->dma, XD_MM2S + XD_DMASR), send, sizeof send);
    state_words(xd_read(&transport->dma, XD_S2MM + XD_DMASR), receive, sizeof receive);
    snprintf(text, size, "send channel %s; receive channel %s", send, receive);
}

static xd_status check_channel(uint32_t state, const char *name, xd_error *error) {
    char words[140];
    if (!(state & XD_DMASR_ERRORS)) return XD_OK;
    state_words(state, words, sizeof words);
    return xd_fail(error, XD_DMA, name, "status %s", words);
}

xd_status xd_dma_poll(xd_transport *transport, const xd_transfer *transfer, int *done, xd_error *error) {
    const uint32_t finished = XD_DMASR_IOC | XD_DMASR_IDLE;
    *done = 0;
    uint32_t receive = xd_read(&transport->dma, XD_S2MM + XD_DMASR);
    uint32_t send = xd_read(&transport->dma, XD_MM2S + XD_DMASR);
    xd_status status = check_channel(send, NAMES[0], error);
    if (!status) status = check_channel(receive, NAMES[1], error);
    if (status || (receive & finished) != finished || (send & finished) != finished) return status;
    uint32_t bytes = xd_read(&transport->dma, XD_S2MM + XD_BYTES);
    if (bytes != transfer->output_bytes)
        return xd_fail(error, XD_RESULT, NAMES[1], "%" PRIu32 " bytes came back instead of %zu", bytes,
                       transfer->output_bytes);
    xd_barrier();
    status = xd_sync_for_cpu(transport, transfer->output, transfer->output_bytes, XD_FROM_DEVICE, error);
    *done = !status;
    return status;
}
