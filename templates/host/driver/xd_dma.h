/* The AXI DMA in simple mode (PG021): one buffer a transfer, polled. */
#ifndef XD_DMA_H
#define XD_DMA_H

#include "xd_transport.h"

/* PG021, table "Direct Register Mode Register Address Map". */
enum {
    XD_MM2S = 0x00, /* memory to stream: the frames */
    XD_S2MM = 0x30, /* stream to memory: the results */
    XD_DMACR = 0x00,
    XD_DMASR = 0x04,
    XD_ADDRESS_LOW = 0x18,
    XD_ADDRESS_HIGH = 0x1C,
    XD_BYTES = 0x28
};

/* DMACR */
#define XD_DMACR_RUN 0x0001u
#define XD_DMACR_RESET 0x0004u
#define XD_DMACR_IOC_ENABLE 0x1000u
#define XD_DMACR_ERROR_ENABLE 0x4000u

/* DMASR */
#define XD_DMASR_HALTED 0x0001u
#define XD_DMASR_IDLE 0x0002u
#define XD_DMASR_SCATTER_GATHER 0x0008u
#define XD_DMASR_INTERNAL_ERROR 0x0010u
#define XD_DMASR_SLAVE_ERROR 0x0020u
#define XD_DMASR_DECODE_ERROR 0x0040u
#define XD_DMASR_ERRORS 0x0070u
#define XD_DMASR_IOC 0x1000u
#define XD_DMASR_ERROR_IRQ 0x4000u

/* A transfer both ways, in bytes from the buffer's begin; lengths are whole frames. */
typedef struct xd_transfer {
    size_t input, input_bytes;
    size_t output, output_bytes;
} xd_transfer;

/* Milliseconds of a clock that only moves forward. */
uint64_t xd_now_ms(void);

/* Resets both channels and waits until both resets have finished; XD_RESET where one does not. */
xd_status xd_dma_reset(xd_transport *transport, unsigned timeout_ms, xd_error *error);

/* After a reset: checks the kind of DMA and lets both channels run. */
xd_status xd_dma_run(xd_transport *transport, unsigned timeout_ms, xd_error *error);

/* Starts a transfer: the one place that hands the buffer to the device, holds the barrier and writes
 * the lengths.  The receive channel goes first: a result must never meet a channel without a buffer. */
xd_status xd_dma_start(xd_transport *transport, const xd_transfer *transfer, xd_error *error);

/* Looks once: *done where both channels have finished, then with the result handed back to the processor. */
xd_status xd_dma_poll(xd_transport *transport, const xd_transfer *transfer, int *done, xd_error *error);

/* Both status registers in words, for the error of a wait that ended without a result. */
void xd_dma_describe(xd_transport *transport, char *text, size_t size);

#endif
