#define _FILE_OFFSET_BITS 64
#define _DEFAULT_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xd_error.h"
#include "xd_transport.h"

enum { UIO_DEVICES = 64, PATH_BYTES = 128, LINE_BYTES = 64 };

/* The first line of a file of sysfs, without its end. */
static xd_status read_line(const char *path, char line[LINE_BYTES], xd_error *error) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return xd_fail_system(error, path, "cannot be opened", errno);
    ssize_t length = read(file, line, LINE_BYTES - 1);
    int number = errno;
    close(file);
    if (length < 0) return xd_fail_system(error, path, "cannot be read", number);
    line[length] = 0;
    line[strcspn(line, "\n")] = 0;
    return XD_OK;
}

static xd_status read_number(const char *path, uint64_t *value, xd_error *error) {
    char line[LINE_BYTES], *end;
    xd_status status = read_line(path, line, error);
    if (status) return status;
    errno = 0;
    *value = strtoull(line, &end, 0);
    if (end == line || *end || errno) return xd_fail(error, XD_SYSTEM, path, "'%s' is no number", line);
    return XD_OK;
}

/* The number of the UIO device of that name. */
static xd_status find_uio(const char *name, int *number, xd_error *error) {
    for (int i = 0; i < UIO_DEVICES; i++) {
        char path[PATH_BYTES], line[LINE_BYTES];
        snprintf(path, sizeof path, "/sys/class/uio/uio%d/name", i);
        if (!read_line(path, line, NULL) && !strcmp(line, name)) {
            *number = i;
            return XD_OK;
        }
    }
    return xd_fail(error, XD_NO_DEVICE, "/sys/class/uio", "no UIO device has the name '%s'", name);
}

static xd_status open_registers(xd_transport *transport, int number, const char *name, uint64_t base, void **map,
                                size_t *map_bytes, const xd_build *build, xd_error *error) {
    char path[PATH_BYTES], device[PATH_BYTES];
    uint64_t address, bytes;
    int file;
    xd_status status = number < 0 ? find_uio(name, &number, error) : XD_OK;
    if (status) return status;
    snprintf(device, sizeof device, "/dev/uio%d", number);
    status = xd_open_locked(transport, device, O_SYNC, &file, error);
    if (status) return status;
    snprintf(path, sizeof path, "/sys/class/uio/uio%d/maps/map0/addr", number);
    status = read_number(path, &address, error);
    if (status) return status;
    snprintf(path, sizeof path, "/sys/class/uio/uio%d/maps/map0/size", number);
    status = read_number(path, &bytes, error);
    if (status) return status;
    if (address != base || bytes < build->window_bytes)
        return xd_fail(error, XD_ADDRESS, device,
                       "its registers are 0x%" PRIx64 " bytes at 0x%" PRIx64 ", this build's '%s' has 0x%" PRIx32
                       " at 0x%" PRIx64,
                       bytes, address, name, build->window_bytes, base);
    status = xd_map(device, file, 0, (size_t)bytes, map, error);
    if (!status) *map_bytes = (size_t)bytes;
    return status;
}

/* u-dma-buf has had two names for its class. */
static const char *const CLASSES[] = {"u-dma-buf", "udmabuf"};

static xd_status open_buffer(xd_transport *transport, const xd_build *build, const char *name, xd_error *error) {
    char device[PATH_BYTES], folder[PATH_BYTES - 32], path[PATH_BYTES];
    uint64_t address = 0, bytes = 0;
    int file;
    if (strlen(name) > 40 || strchr(name, '/'))
        return xd_fail(error, XD_ARGUMENT, name, "is no name of a u-dma-buf, such as udmabuf0");
    snprintf(device, sizeof device, "/dev/%s", name);
    /* without O_SYNC: cached, and handed over by the two sync files */
    xd_status status = xd_open_locked(transport, device, 0, &file, error);
    if (status) return status;
    for (size_t i = 0; i < sizeof CLASSES / sizeof CLASSES[0]; i++) {
        snprintf(folder, sizeof folder, "/sys/class/%s/%s", CLASSES[i], name);
        snprintf(path, sizeof path, "%s/phys_addr", folder);
        status = read_number(path, &address, error);
        if (status != XD_NO_DEVICE) break;
    }
    if (status) return status;
    snprintf(path, sizeof path, "%s/size", folder);
    status = read_number(path, &bytes, error);
    if (status) return status;
    if (!bytes || bytes > UINT32_MAX) /* a sync command holds 32 bits */
        return xd_fail(error, XD_BUFFER, device, "its size is %" PRIu64 " bytes, not 1 to 4294967295", bytes);
    status = xd_check_memory(build, address, bytes, error);
    if (status) return status;
    snprintf(path, sizeof path, "%s/sync_for_device", folder);
    transport->for_device = open(path, O_WRONLY | O_CLOEXEC);
    if (transport->for_device < 0) return xd_fail_system(error, path, "cannot be opened", errno);
    snprintf(path, sizeof path, "%s/sync_for_cpu", folder);
    transport->for_cpu = open(path, O_WRONLY | O_CLOEXEC);
    if (transport->for_cpu < 0) return xd_fail_system(error, path, "cannot be opened", errno);
    void *mapped = NULL;
    status = xd_map(device, file, 0, (size_t)bytes, &mapped, error);
    if (status) return status;
    transport->buffer = mapped;
    transport->bus_address = address;
    transport->buffer_bytes = (size_t)bytes;
    return XD_OK;
}

xd_status xd_open_uio(xd_transport *transport, const xd_build *build, const xd_options *options, xd_error *error) {
    char dma[LINE_BYTES];
    snprintf(dma, sizeof dma, "%s-dma", build->name);
    xd_status status = open_registers(transport, options->ip_uio, build->name, build->ip_base, &transport->ip_map,
                                      &transport->ip_map_bytes, build, error);
    if (!status)
        status = open_registers(transport, options->dma_uio, dma, build->dma_base, &transport->dma_map,
                                &transport->dma_map_bytes, build, error);
    if (!status) status = open_buffer(transport, build, options->buffer, error);
    return status;
}
