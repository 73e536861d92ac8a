/* Register access.  The driver touches a register here and nowhere else. */
#ifndef XD_IO_H
#define XD_IO_H

#include <stddef.h>
#include <stdint.h>

/* A set of 32-bit registers, mapped uncached. */
typedef struct xd_window {
    volatile uint32_t *base;
} xd_window;

/* The register at byte `offset`. */
uint32_t xd_read(const xd_window *window, uint32_t offset);
void xd_write(const xd_window *window, uint32_t offset, uint32_t value);

/* All memory accesses before it are seen by the bus before any behind it. */
void xd_barrier(void);

/* Copies to and from memory that is not cached, in aligned words: on an ARM such a mapping may
 * be of device type, on which unaligned and cache-line accesses are faults.  Out: `bytes` bytes
 * from anywhere, then zeros up to `room`, a multiple of 4.  In: `bytes` is a multiple of 4. */
void xd_copy_out(volatile uint32_t *uncached, size_t room, const uint8_t *from, size_t bytes);
void xd_copy_in(uint32_t *to, const volatile uint32_t *uncached, size_t bytes);

#endif
