/* How the driver reaches registers and memory: UIO and u-dma-buf, or /dev/mem. */
#ifndef XD_TRANSPORT_H
#define XD_TRANSPORT_H

#include "xd_driver.h"
#include "xd_io.h"

enum { XD_MAX_FILES = 5 };

typedef struct xd_transport {
    xd_window ip, dma;
    void *ip_map, *dma_map;
    size_t ip_map_bytes, dma_map_bytes;
    uint8_t *buffer;      /* as the processor sees it */
    uint64_t bus_address; /* as the DMA sees it */
    size_t buffer_bytes;
    int uncached;         /* the mapping is memory itself: nothing to synchronise, words only */
    int for_device, for_cpu; /* u-dma-buf's files of that name, or -1 */
    int files[XD_MAX_FILES]; /* open, and locked where they are devices */
    int file_count;
} xd_transport;

/* Directions as the kernel numbers them (enum dma_data_direction). */
enum { XD_TO_DEVICE = 1, XD_FROM_DEVICE = 2 };

xd_status xd_transport_open(xd_transport *transport, const xd_build *build, const xd_options *options,
                            xd_error *error);
/* Unmaps the buffer only where `release` is set: a DMA that does not stop may still write to it. */
void xd_transport_close(xd_transport *transport, int release);

/* Hands bytes [offset, offset + bytes) of the buffer to the device, or takes them back. */
xd_status xd_sync_for_device(xd_transport *transport, size_t offset, size_t bytes, int direction, xd_error *error);
xd_status xd_sync_for_cpu(xd_transport *transport, size_t offset, size_t bytes, int direction, xd_error *error);

/* The two kinds. */
xd_status xd_open_uio(xd_transport *transport, const xd_build *build, const xd_options *options, xd_error *error);
xd_status xd_open_mem(xd_transport *transport, const xd_build *build, const xd_options *options, xd_error *error);

/* Opens and locks a device file, which the transport then holds; its descriptor in *file. */
xd_status xd_open_locked(xd_transport *transport, const char *path, int flags, int *file, xd_error *error);
/* XD_ADDRESS where the DMA does not reach this memory.  Asked before it is mapped. */
xd_status xd_check_memory(const xd_build *build, uint64_t address, uint64_t bytes, xd_error *error);
/* Maps `bytes` at `offset` of `file`. */
xd_status xd_map(const char *path, int file, uint64_t offset, size_t bytes, void **address, xd_error *error);

#endif
