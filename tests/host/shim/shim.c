/* Stands between an unchanged driver and the simulated device.  Preloaded (LD_PRELOAD), it answers for
 *
 *   /dev/uioN, /dev/mem      registers: mappings without any right, whose accesses are carried out by the device
 *   /dev/udmabufN            a private copy of device memory, as the processor's cache is, brought up to date by
 *                            sync_for_device and sync_for_cpu alone; opened with O_SYNC the memory itself
 *   /dev/mem                 opened with O_SYNC, the memory itself
 *   /sys/class/...           files of a folder
 *   /run/lock/...            files beside the device's mailbox, or in the folder XH_SHIM_LOCKS; the file that
 *                            XH_SHIM_REMOVED names goes away between the first open and flock
 *
 * XH_SHIM_DEVICE is the device's mailbox, XH_SHIM_TREE a folder whose dev/ and sys/ stand for the board's: a
 * file that is not there is a device that is not there, one without rights may not be opened.
 * XH_SHIM_LOG names a file for a trace.  What a board would not forgive (a buffer given back while the DMA
 * writes to it, an access of another size than a register's) ends the process with exit code 99. */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"


enum { FILES = 1024, PLACES = 16, POISON = 0xA5 };
enum kind { NONE, UIO, BUFFER, MEM, SYNC_DEVICE, SYNC_CPU };

typedef struct opened {
    enum kind kind;
    int uncached;
    char name[32];
} opened;

/* A mapping that the shim made: registers (trapped), a cached buffer, or memory itself. */
typedef struct place {
    uint8_t *begin;
    size_t bytes;
    uint64_t bus;
    int registers, cached;
} place;

static opened files[FILES];
static place places[PLACES];

void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) die("there is no %s", name);
    return found;
}

static void say(int file, const char *prefix, const char *format, va_list arguments) {
    static ssize_t (*real_write)(int, const void *, size_t);
    char line[256];
    if (!real_write) real_write = (ssize_t(*)(int, const void *, size_t))next("write");
    int length = snprintf(line, sizeof line - 1, "%s", prefix);
    length += vsnprintf(line + length, sizeof line - 1 - (size_t)length, format, arguments);
    if (length > (int)sizeof line - 2) length = (int)sizeof line - 2;
    line[length++] = '\n';
    if (real_write(file, line, (size_t)length) != length) _exit(SHIM_FAILED);
}

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(2, "shim: ", format, arguments);
    va_end(arguments);
    _exit(SHIM_FAILED);
}

void trace(const char *format, ...) {
    static int file = -2;
    if (file == -2) {
        const char *path = getenv("XH_SHIM_LOG");
        int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))next("open");
        file = path ? real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    }
    if (file < 0) return;
    va_list arguments;
    va_start(arguments, format);
    say(file, "", format, arguments);
    va_end(arguments);
}

/* --- the board's files ------------------------------------------------------------------------ */

static int begins(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

static int ends(const char *text, const char *with) {
    size_t length = strlen(text), wanted = strlen(with);
    return length >= wanted && !strcmp(text + length - wanted, with);
}

static enum kind kind_of(const char *path) {
    if (begins(path, "/dev/uio")) return UIO;
    if (begins(path, "/dev/udmabuf")) return BUFFER;
    if (!strcmp(path, "/dev/mem")) return MEM;
    if (ends(path, "/sync_for_device")) return SYNC_DEVICE;
    if (ends(path, "/sync_for_cpu")) return SYNC_CPU;
    return NONE;
}

static int of_the_board(const char *path) {
    return begins(path, "/dev/uio") || begins(path, "/dev/udmabuf") || !strcmp(path, "/dev/mem") ||
           begins(path, "/sys/class/");
}

static void in_tree(char *to, size_t size, const char *path) {
    const char *tree = getenv("XH_SHIM_TREE");
    if (!tree) die("XH_SHIM_TREE names no folder");
    snprintf(to, size, "%s%s", tree, path);
}

/* A number in a file of the tree's sys/class. */
static uint64_t number_at(const char *class, const char *name, const char *leaf) {
    char path[128], whole[512], text[64];
    snprintf(path, sizeof path, "/sys/class/%s/%s/%s", class, name, leaf);
    in_tree(whole, sizeof whole, path);
    FILE *file = fopen(whole, "r");
    if (!file || !fgets(text, sizeof text, file)) die("%s cannot be read", whole);
    fclose(file);
    return strtoull(text, NULL, 0);
}

static int open_any(const char *path, int flags, mode_t mode) {
    int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))next("open64");
    char whole[512];
    struct stat found;
    if (begins(path, "/run/lock/")) {
        /* no file of the shim: the kernel's own answers, and a lock for each of several devices */
        const char *locks = getenv("XH_SHIM_LOCKS");
        snprintf(whole, sizeof whole, "%s%s", locks ? locks : getenv("XH_SHIM_DEVICE"), path + strlen("/run/lock"));
        return real_open(whole, flags, mode);
    }
    if (!of_the_board(path)) return real_open(path, flags, mode);
    in_tree(whole, sizeof whole, path);
    if (stat(whole, &found)) {
        errno = ENOENT;
        return -1;
    }
    /* asked here, because root may open everything */
    if (!(found.st_mode & 0600)) {
        errno = EACCES;
        return -1;
    }
    int fd = real_open(whole, flags & ~(O_SYNC | O_DSYNC), mode);
    if (fd < 0) return fd;
    if (fd >= FILES) die("too many files");
    const char *slash = strrchr(path, '/');
    files[fd].kind = kind_of(path);
    files[fd].uncached = (flags & O_SYNC) == O_SYNC;
    snprintf(files[fd].name, sizeof files[fd].name, "%s", slash + 1);
    if (files[fd].kind != NONE) trace("open %s", path);
    return fd;
}

static opened *of_shim(int fd) {
    return fd >= 0 && fd < FILES && files[fd].kind != NONE ? &files[fd] : NULL;
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_any(path, flags, mode);
}

int close(int fd) {
    int (*real_close)(int) = (int (*)(int))next("close");
    opened *file = of_shim(fd);
    if (file) {
        trace("close %s", file->name);
        file->kind = NONE;
    }
    return real_close(fd);
}

int flock(int fd, int operation) {
    int (*real_flock)(int, int) = (int (*)(int, int))next("flock");
    static int calls;
    const char *removed = getenv("XH_SHIM_REMOVED");
    if (!calls++ && removed && unlink(removed)) die("%s: %s", removed, strerror(errno));
    int result = real_flock(fd, operation);
    if (result || !of_shim(fd) || (operation & LOCK_UN)) return result;
    if (mailbox_attach()) return 0;
    errno = EWOULDBLOCK;
    return -1;
}

/* u-dma-buf's class has had two names. */
static uint64_t buffer_number(const char *name, const char *leaf) {
    char whole[512];
    in_tree(whole, sizeof whole, "/sys/class/u-dma-buf");
    return number_at(access(whole, F_OK) ? "udmabuf" : "u-dma-buf", name, leaf);
}

/* --- mappings --------------------------------------------------------------------------------- */

static void *map(void *wanted, size_t bytes, int rights, int flags, int fd, off_t offset) {
    void *(*real_mmap)(void *, size_t, int, int, int, off_t) =
        (void *(*)(void *, size_t, int, int, int, off_t))next("mmap64");
    return real_mmap(wanted, bytes, rights, flags, fd, offset);
}

static void *remember(void *mapped, size_t bytes, uint64_t bus, int registers, int cached) {
    if (mapped == MAP_FAILED) return mapped;
    for (int i = 0; i < PLACES; i++) {
        if (places[i].begin) continue;
        places[i] = (place){mapped, bytes, bus, registers, cached};
        trace("map 0x%08llx %zu", (unsigned long long)bus, bytes);
        return mapped;
    }
    die("too many mappings");
}

static void *map_registers(size_t bytes, uint64_t bus) {
    return remember(map(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), bytes, bus, 1, 0);
}

static void *map_memory(size_t bytes, int rights, uint64_t bus, int uncached) {
    (void)mailbox_memory(bus, bytes);
    if (uncached)
        return remember(map(NULL, bytes, rights, MAP_SHARED, mailbox_memory_file(), (off_t)(bus - mailbox_memory_base())),
                        bytes, bus, 0, 0);
    void *mapped = map(NULL, bytes, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped != MAP_FAILED) memset(mapped, POISON, bytes);
    return remember(mapped, bytes, bus, 0, 1);
}

static void *map_mem(size_t bytes, int rights, uint64_t bus, int uncached) {
    uint64_t base = mailbox_memory_base();
    if (bus >= base && bus < base + mailbox_memory_bytes()) return map_memory(bytes, rights, bus, uncached);
    if (!uncached) die("registers mapped with a cache");
    return map_registers(bytes, bus);
}

void *mmap64(void *wanted, size_t bytes, int rights, int flags, int fd, off_t offset) {
    opened *file = of_shim(fd);
    if (!file) return map(wanted, bytes, rights, flags, fd, offset);
    if (!mailbox_attach()) die("another client has the device");
    if (!(flags & MAP_SHARED)) die("%s mapped without MAP_SHARED", file->name);
    if (file->kind == MEM) return map_mem(bytes, rights, (uint64_t)offset, file->uncached);
    if (offset) die("%s mapped at an offset", file->name);
    if (file->kind == BUFFER) {
        if (bytes > buffer_number(file->name, "size")) die("mapping larger than the buffer");
        return map_memory(bytes, rights, buffer_number(file->name, "phys_addr"), file->uncached);
    }
    return map_registers(bytes, number_at("uio", file->name, "maps/map0/addr"));
}

/* A board's memory goes to somebody else now: the DMA must have stopped. */
static void check_stopped(void) {
    for (uint32_t channel = 0; channel <= 0x30; channel += 0x30)
        if (!(mailbox_read(mailbox_dma_base() + channel + 4) & 3))
            die("the buffer was given back while the DMA still runs on it");
}

int munmap(void *address, size_t bytes) {
    int (*real_munmap)(void *, size_t) = (int (*)(void *, size_t))next("munmap");
    for (int i = 0; i < PLACES; i++) {
        if (!places[i].begin || places[i].begin != address) continue;
        if (places[i].bytes != bytes) die("a mapping given back in part");
        trace("unmap 0x%08llx %zu", (unsigned long long)places[i].bus, bytes);
        if (!places[i].registers) check_stopped();
        places[i].begin = NULL;
    }
    return real_munmap(address, bytes);
}

/* --- u-dma-buf's synchronisation -------------------------------------------------------------- */

static void synchronise(int for_device, const char *text) {
    uint64_t command = strtoull(text, NULL, 16);
    uint64_t offset = command >> 32, bytes = command & 0xFFFFFFF0;
    unsigned direction = command >> 2 & 3;
    place *buffer = NULL;
    for (int i = 0; i < PLACES; i++)
        if (places[i].begin && places[i].cached) buffer = &places[i];
    if (!buffer || !(command & 1)) die("a sync without a buffer or without its command bit: %s", text);
    if (offset + bytes > buffer->bytes) die("a sync beyond the buffer: %s", text);
    trace("%s %llu %llu %u", for_device ? "sync_for_device" : "sync_for_cpu", (unsigned long long)offset,
          (unsigned long long)bytes, direction);
    uint8_t *host = buffer->begin + offset, *device = mailbox_memory(buffer->bus + offset, bytes);
    if (for_device && direction != 2) memcpy(device, host, bytes);
    /* what the cache held of a receive buffer is lost, and what comes is not there yet */
    if (for_device && direction == 2) memset(host, POISON, bytes);
    if (!for_device && direction != 1) memcpy(host, device, bytes);
}

ssize_t write(int fd, const void *data, size_t bytes) {
    ssize_t (*real_write)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))next("write");
    opened *file = of_shim(fd);
    if (!file || (file->kind != SYNC_DEVICE && file->kind != SYNC_CPU)) return real_write(fd, data, bytes);
    char text[64] = "";
    if (bytes >= sizeof text) die("a sync command of %zu bytes", bytes);
    memcpy(text, data, bytes);
    synchronise(file->kind == SYNC_DEVICE, text);
    return (ssize_t)bytes;
}

/* --- register accesses ------------------------------------------------------------------------ */

static void fault(int number, siginfo_t *info, void *context) {
    uint8_t *address = info->si_addr;
    for (int i = 0; i < PLACES; i++) {
        const place *here = &places[i];
        if (!here->begin || !here->registers || address < here->begin || address >= here->begin + here->bytes) continue;
        int kept = errno;
        carry_out(context, here->bus + (uint64_t)(address - here->begin));
        errno = kept;
        return;
    }
    /* not ours: comes again, to end the process as it would without the shim */
    signal(number, SIG_DFL);
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
}
