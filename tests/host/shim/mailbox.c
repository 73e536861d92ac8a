#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim.h"

enum word {
    REQUEST, DONE, COMMAND, ADDRESS_LOW, ADDRESS_HIGH, VALUE, STATUS, RESULT, CLOCK_LOW, CLOCK_HIGH, LINES, SERVER,
    MAGIC, VERSION, MEMORY_LOW, MEMORY_HIGH, MEMORY_BYTES, IP_BASE, DMA_BASE
};
enum { READ = 1, WRITE = 2, INJECT = 5, SPINS = 200, CONTROL_BYTES = 4096 };

static volatile uint32_t *words;
static uint8_t *memory;
static int memory_fd = -1;

static int open_file(const char *name) {
    char path[512];
    const char *folder = getenv("XH_SHIM_DEVICE");
    int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))next("open");
    if (!folder) die("XH_SHIM_DEVICE names no folder");
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) die("%s: %s", path, strerror(errno));
    return fd;
}

int mailbox_attach(void) {
    if (words) return 1;
    int (*real_flock)(int, int) = (int (*)(int, int))next("flock");
    void *(*real_mmap)(void *, size_t, int, int, int, off_t) =
        (void *(*)(void *, size_t, int, int, int, off_t))next("mmap64");
    int control = open_file("control");
    if (real_flock(control, LOCK_EX | LOCK_NB)) {
        close(control);
        return 0;
    }
    void *mapped = real_mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, control, 0);
    if (mapped == MAP_FAILED) die("the mailbox cannot be mapped: %s", strerror(errno));
    words = mapped;
    if (words[MAGIC] != 0x58484456 || words[VERSION] != 1) die("the mailbox has no device of version 1");
    memory_fd = open_file("memory");
    mapped = real_mmap(NULL, words[MEMORY_BYTES], PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    if (mapped == MAP_FAILED) die("the device's memory cannot be mapped: %s", strerror(errno));
    memory = mapped;
    return 1;
}

static uint32_t command(uint32_t which, uint64_t address, uint32_t value) {
    if (!mailbox_attach()) die("another client has the device");
    words[COMMAND] = which;
    words[ADDRESS_LOW] = (uint32_t)address;
    words[ADDRESS_HIGH] = (uint32_t)(address >> 32);
    words[VALUE] = value;
    uint32_t number = words[REQUEST] + 1;
    __atomic_store_n(&words[REQUEST], number, __ATOMIC_RELEASE);
    for (unsigned spins = 1; __atomic_load_n(&words[DONE], __ATOMIC_ACQUIRE) != number; spins++) {
        if (spins % SPINS) continue;
        sched_yield();
        if (kill((pid_t)words[SERVER], 0) && errno == ESRCH) die("the device's process ended");
    }
    if (words[STATUS]) {
        /* what a processor gets from its bus */
        trace("bus_error 0x%08llx", (unsigned long long)address);
        signal(SIGBUS, SIG_DFL);
        raise(SIGBUS);
        die("bus error at 0x%llx", (unsigned long long)address);
    }
    return words[RESULT];
}

uint32_t mailbox_read(uint64_t address) {
    return command(READ, address, 0);
}

void mailbox_write(uint64_t address, uint32_t value) {
    command(WRITE, address, value);
}

void mailbox_inject(uint32_t faults) {
    command(INJECT, 0, faults);
}

uint64_t mailbox_memory_base(void) {
    return (uint64_t)words[MEMORY_HIGH] << 32 | words[MEMORY_LOW];
}

uint64_t mailbox_memory_bytes(void) {
    return words[MEMORY_BYTES];
}

uint64_t mailbox_dma_base(void) {
    return words[DMA_BASE];
}

int mailbox_memory_file(void) {
    return memory_fd;
}

uint8_t *mailbox_memory(uint64_t address, uint64_t bytes) {
    uint64_t offset = address - mailbox_memory_base();
    if (address < mailbox_memory_base() || bytes > words[MEMORY_BYTES] || offset > words[MEMORY_BYTES] - bytes)
        die("there is no device memory at 0x%llx", (unsigned long long)address);
    return memory + offset;
}
