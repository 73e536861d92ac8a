#define _FILE_OFFSET_BITS 64
#define _DEFAULT_SOURCE 1

#include "xd_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "xd_error.h"

xd_status xd_open_locked(xd_transport *transport, const char *path, int flags, int *file, xd_error *error) {
    int fd = open(path, O_RDWR | O_CLOEXEC | flags);
    if (fd < 0) return xd_fail_system(error, path, "cannot be opened", errno);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int number = errno;
        close(fd);
        if (number == EWOULDBLOCK) return xd_fail(error, XD_IN_USE, path, "another process has it open");
        return xd_fail_system(error, path, "cannot be locked", number);
    }
    transport->files[transport->file_count++] = fd;
    *file = fd;
    return XD_OK;
}

/* The file, made where it is not there.  Its maker's umask must not keep other users out, and root may not
 * open another user's file with O_CREAT in a folder of all users (fs.protected_regular). */
static int open_lock(const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 || errno != ENOENT) return fd;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd >= 0) (void)fchmod(fd, 0666);
    return fd;
}

/* The lock of the device itself: UIO, /dev/mem and the Python driver have no other file in common. */
static xd_status lock_device(xd_transport *transport, const xd_build *build, xd_error *error) {
    char path[64];
    snprintf(path, sizeof path, "/run/lock/xnorhw-%08" PRIx64 ".lock", build->dma_base);
    struct stat opened;
    for (;;) {
        int fd = open_lock(path), number = errno;
        if (fd < 0)
            return xd_fail(error, number == EACCES || number == EPERM ? XD_PERMISSION : XD_SYSTEM, path,
                           "the device's lock file cannot be opened, which wants a folder /run/lock that may be "
                           "written: %s",
                           strerror(number));
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            number = errno;
            close(fd);
            if (number == EWOULDBLOCK) return xd_fail(error, XD_IN_USE, path, "another process has the device");
            return xd_fail_system(error, path, "cannot be locked", number);
        }
        /* who had the lock may have removed the file in between: then this is the lock of nothing */
        if (!fstat(fd, &opened) && opened.st_nlink) {
            transport->files[transport->file_count++] = fd;
            return XD_OK;
        }
        close(fd);
    }
}

xd_status xd_map(const char *path, int file, uint64_t offset, size_t bytes, void **address, xd_error *error) {
    if ((uint64_t)(off_t)offset != offset || (off_t)offset < 0)
        return xd_fail(error, XD_ADDRESS, path, "0x%" PRIx64 " is no address that can be mapped", offset);
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)offset);
    if (mapped == MAP_FAILED) return xd_fail_system(error, path, "cannot be mapped", errno);
    *address = mapped;
    return XD_OK;
}

xd_status xd_check_memory(const xd_build *build, uint64_t address, uint64_t bytes, xd_error *error) {
    if (address < build->reach_base || bytes > build->reach_bytes ||
        address - build->reach_base > build->reach_bytes - bytes)
        return xd_fail(error, XD_ADDRESS, "buffer",
                       "0x%" PRIx64 " to 0x%" PRIx64 " is not within the memory that the DMA reaches, 0x%" PRIx64
                       " bytes from 0x%" PRIx64,
                       address, address + bytes, build->reach_bytes, build->reach_base);
    if (address % build->beat_bytes)
        return xd_fail(error, XD_ADDRESS, "buffer", "0x%" PRIx64 " is no multiple of %" PRIu32 " bytes", address,
                       build->beat_bytes);
    return XD_OK;
}

xd_status xd_transport_open(xd_transport *transport, const xd_build *build, const xd_options *options,
                            xd_error *error) {
    memset(transport, 0, sizeof *transport);
    transport->for_device = transport->for_cpu = -1;
    xd_status status = lock_device(transport, build, error);
    if (!status)
        status = options->transport == XD_MEM ? xd_open_mem(transport, build, options, error)
                                              : xd_open_uio(transport, build, options, error);
    if (status) {
        xd_transport_close(transport, 1);
        return status;
    }
    transport->ip.base = transport->ip_map;
    transport->dma.base = transport->dma_map;
    return XD_OK;
}

void xd_transport_close(xd_transport *transport, int release) {
    if (transport->buffer && release) munmap(transport->buffer, transport->buffer_bytes);
    if (transport->ip_map) munmap(transport->ip_map, transport->ip_map_bytes);
    if (transport->dma_map) munmap(transport->dma_map, transport->dma_map_bytes);
    if (transport->for_device >= 0) close(transport->for_device);
    if (transport->for_cpu >= 0) close(transport->for_cpu);
    /* last, because these hold the locks */
    while (transport->file_count) close(transport->files[--transport->file_count]);
    memset(transport, 0, sizeof *transport);
    transport->for_device = transport->for_cpu = -1;
}

/* One write says all: offset, size in units of 16, direction, "now" (u-dma-buf, sync_for_cpu). */
static xd_status sync_buffer(int file, size_t offset, size_t bytes, int direction, const char *name,
                             xd_error *error) {
    if (file < 0) return XD_OK;
    char command[24];
    uint32_t size = ((uint32_t)bytes + 15u) & ~15u;
    int length = snprintf(command, sizeof command, "0x%08" PRIX32 "%08" PRIX32, (uint32_t)offset,
                          size | (uint32_t)direction << 2 | 1u);
    ssize_t written = write(file, command, (size_t)length);
    if (written < 0) return xd_fail_system(error, name, "cannot be written", errno);
    if (written != length) return xd_fail(error, XD_SYSTEM, name, "took only a part of the command");
    return XD_OK;
}

xd_status xd_sync_for_device(xd_transport *transport, size_t offset, size_t bytes, int direction, xd_error *error) {
    return sync_buffer(transport->for_device, offset, bytes, direction, "sync_for_device", error);
}

xd_status xd_sync_for_cpu(xd_transport *transport, size_t offset, size_t bytes, int direction, xd_error *error) {
    return sync_buffer(transport->for_cpu, offset, bytes, direction, "sync_for_cpu", error);
}
