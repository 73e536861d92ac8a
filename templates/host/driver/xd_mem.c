#define _FILE_OFFSET_BITS 64
#define _DEFAULT_SOURCE 1

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "xd_error.h"
#include "xd_transport.h"

static const char DEVICE[] = "/dev/mem";

xd_status xd_open_mem(xd_transport *transport, const xd_build *build, const xd_options *options, xd_error *error) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    int file;
    if (options->memory_address % page || options->memory_bytes % page || !options->memory_bytes ||
        options->memory_bytes > SIZE_MAX || options->memory_bytes > UINT32_MAX)
        return xd_fail(error, XD_ARGUMENT, DEVICE,
                       "the reserved memory, 0x%" PRIx64 " bytes at 0x%" PRIx64 ", is not whole pages of %" PRIu64 " bytes",
                       options->memory_bytes, options->memory_address, page);
    xd_status status = xd_check_memory(build, options->memory_address, options->memory_bytes, error);
    if (status) return status;
    /* O_SYNC makes the mapping uncached: nothing has to be handed over */
    status = xd_open_locked(transport, DEVICE, O_SYNC, &file, error);
    if (status) return status;
    void *mapped = NULL;
    status = xd_map(DEVICE, file, build->ip_base, build->window_bytes, &transport->ip_map, error);
    if (status) return status;
    transport->ip_map_bytes = build->window_bytes;
    status = xd_map(DEVICE, file, build->dma_base, build->window_bytes, &transport->dma_map, error);
    if (status) return status;
    transport->dma_map_bytes = build->window_bytes;
    status = xd_map(DEVICE, file, options->memory_address, (size_t)options->memory_bytes, &mapped, error);
    if (status) return status;
    transport->buffer = mapped;
    transport->bus_address = options->memory_address;
    transport->buffer_bytes = (size_t)options->memory_bytes;
    transport->uncached = 1;
    return XD_OK;
}
