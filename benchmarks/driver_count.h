/* Included before every source of the driver and the engine: counts the bytes that they copy. */
#ifndef DRIVER_COUNT_H
#define DRIVER_COUNT_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

__attribute__((weak)) unsigned long long counted_bytes;

__attribute__((weak)) void *counted_memcpy(void *to, const void *from, size_t bytes) {
    counted_bytes += bytes;
    return __builtin_memcpy(to, from, bytes);
}

__attribute__((weak)) void *counted_memmove(void *to, const void *from, size_t bytes) {
    counted_bytes += bytes;
    return __builtin_memmove(to, from, bytes);
}

/* The driver's own copies of words; the linker is told to wrap them. */
void __real_xd_copy_out(volatile uint32_t *uncached, size_t room, const uint8_t *from, size_t bytes);
void __real_xd_copy_in(uint32_t *to, const volatile uint32_t *uncached, size_t bytes);

__attribute__((weak)) void __wrap_xd_copy_out(volatile uint32_t *uncached, size_t room, const uint8_t *from,
                                              size_t bytes) {
    counted_bytes += bytes;
    __real_xd_copy_out(uncached, room, from, bytes);
}

__attribute__((weak)) void __wrap_xd_copy_in(uint32_t *to, const volatile uint32_t *uncached, size_t bytes) {
    counted_bytes += bytes;
    __real_xd_copy_in(to, uncached, bytes);
}

__attribute__((weak, destructor)) void counted_print(void) {
    fprintf(stderr, "copied %llu\n", counted_bytes);
}

#define memcpy counted_memcpy
#define memmove counted_memmove

#endif
