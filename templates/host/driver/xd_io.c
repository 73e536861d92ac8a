#include "xd_io.h"

uint32_t xd_read(const xd_window *window, uint32_t offset) {
    return window->base[offset / 4];
}

void xd_write(const xd_window *window, uint32_t offset, uint32_t value) {
    window->base[offset / 4] = value;
}

void xd_barrier(void) {
#if defined(__arm__) || defined(__aarch64__)
    /* dmb would order processors alone; the DMA is none */
    __asm__ volatile("dsb sy" ::: "memory");
#else
    __sync_synchronize();
#endif
}

void xd_copy_out(volatile uint32_t *uncached, const uint32_t *from, size_t bytes) {
    for (size_t i = 0; i < bytes / 4; i++) uncached[i] = from[i];
}

void xd_copy_in(uint32_t *to, const volatile uint32_t *uncached, size_t bytes) {
    for (size_t i = 0; i < bytes / 4; i++) to[i] = uncached[i];
}
