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

void xd_copy_out(volatile uint32_t *uncached, size_t room, const uint8_t *from, size_t bytes) {
    /* the source may lie anywhere, the mapping takes whole words alone */
    for (size_t i = 0; i < room / 4; i++) {
        uint32_t word = 0;
        for (size_t k = 4 * i; k < 4 * i + 4 && k < bytes; k++) word |= (uint32_t)from[k] << (8 * (k % 4));
        uncached[i] = word;
    }
}

void xd_copy_in(uint32_t *to, const volatile uint32_t *uncached, size_t bytes) {
    for (size_t i = 0; i < bytes / 4; i++) to[i] = uncached[i];
}
