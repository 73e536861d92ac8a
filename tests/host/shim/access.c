/* Decodes the load or store that touched a register: x86-64, ARM (A32 and Thumb), aarch64. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "shim.h"

/* PG021: a write of MM2S_LENGTH starts the transfer that sends. */
enum { SEND_LENGTH = 0x28 };

static unsigned sent; /* transfers */

/* XH_SHIM_STUCK is "N:ADDRESS:VALUE": from the N-th transfer on that register reads as VALUE. */
static void stick(uint64_t address, uint32_t *value) {
    const char *text = getenv("XH_SHIM_STUCK");
    unsigned long long number, at, stuck;
    if (!text) return;
    if (sscanf(text, "%llu:%lli:%lli", &number, (long long *)&at, (long long *)&stuck) != 3)
        die("XH_SHIM_STUCK cannot be read");
    if (sent >= number && address == at) *value = (uint32_t)stuck;
}

static uint32_t reg_read(uint64_t address) {
    uint32_t value = mailbox_read(address);
    stick(address, &value);
    trace("read 0x%08llx 0x%08x", (unsigned long long)address, value);
    return value;
}

/* XH_SHIM_FAULTS is "N:V+...": before the N-th transfer is sent off, faults V are planted in the device. */
static void plant(void) {
    const char *text = getenv("XH_SHIM_FAULTS");
    sent++;
    while (text && *text) {
        char *end;
        unsigned long number = strtoul(text, &end, 10);
        if (*end != ':') die("XH_SHIM_FAULTS cannot be read");
        unsigned long faults = strtoul(end + 1, &end, 10);
        if (number == sent) mailbox_inject((uint32_t)faults);
        text = *end ? end + 1 : end;
    }
}

static void reg_write(uint64_t address, uint32_t value) {
    if (address == mailbox_dma_base() + SEND_LENGTH) plant();
    /* first, so that the trace is complete where the write ends the process */
    trace("write 0x%08llx 0x%08x", (unsigned long long)address, value);
    mailbox_write(address, value);
}

static void check(uint64_t address) {
    if (address % 4) die("register access at 0x%llx is not aligned", (unsigned long long)address);
}

#if defined(__x86_64__)

void carry_out(void *context, uint64_t address) {
    static const int NUMBERS[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)registers[REG_RIP];
    size_t at = 0;
    unsigned rex = 0;
    check(address);
    if ((code[at] & 0xF0) == 0x40) rex = code[at++];
    unsigned opcode = code[at++], modrm = code[at++];
    unsigned mode = modrm >> 6, rm = modrm & 7, number = (modrm >> 3 & 7) | (rex & 4) << 1;
    if (rex & 8) die("register access of 64 bits");
    if (rm == 4) { /* SIB */
        unsigned base = code[at++] & 7;
        if (mode == 0 && base == 5) at += 4;
    } else if (mode == 0 && rm == 5) {
        at += 4;
    }
    if (mode == 1) at += 1;
    if (mode == 2) at += 4;
    if (opcode == 0x8B) { /* mov r32, m32 */
        registers[NUMBERS[number]] = (greg_t)(uint64_t)reg_read(address);
    } else if (opcode == 0x89) { /* mov m32, r32 */
        reg_write(address, (uint32_t)registers[NUMBERS[number]]);
    } else if (opcode == 0xC7) { /* mov m32, imm32 */
        uint32_t value;
        memcpy(&value, code + at, sizeof value);
        at += sizeof value;
        reg_write(address, value);
    } else {
        die("register access by an instruction that is no 32-bit move: opcode 0x%02x", opcode);
    }
    registers[REG_RIP] += (greg_t)at;
}

#elif defined(__aarch64__)

void carry_out(void *context, uint64_t address) {
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    uint32_t code, number;
    memcpy(&code, (const void *)(uintptr_t)machine->pc, sizeof code);
    number = code & 31;
    check(address);
    int load, known = 1;
    if ((code & 0xFFC00000) == 0xB9400000 || (code & 0xFFE00C00) == 0xB8400000 || (code & 0xFFE00C00) == 0xB8600800)
        load = 1; /* ldr, ldur, ldr with a register offset */
    else if ((code & 0xFFC00000) == 0xB9000000 || (code & 0xFFE00C00) == 0xB8000000 ||
             (code & 0xFFE00C00) == 0xB8200800)
        load = 0; /* the stores of the same forms */
    else
        load = known = 0;
    if (!known) die("register access by instruction 0x%08x, which is no plain 32-bit ldr or str", code);
    if (load) {
        uint64_t value = reg_read(address);
        if (number < 31) machine->regs[number] = value;
    } else {
        reg_write(address, number < 31 ? (uint32_t)machine->regs[number] : 0);
    }
    machine->pc += 4;
}

#elif defined(__arm__)

enum { THUMB = 0x20 };

/* Thumb: 1 load, 0 store, -1 neither; the register and the instruction's length. */
static int thumb(const uint16_t *code, unsigned *number, unsigned *length) {
    unsigned first = code[0];
    *number = first & 7;
    *length = 2;
    if ((first & 0xF800) == 0x6800 || (first & 0xFE00) == 0x5800) return 1;
    if ((first & 0xF800) == 0x6000 || (first & 0xFE00) == 0x5000) return 0;
    *number = code[1] >> 12;
    *length = 4;
    if ((first & 0xFFF0) == 0xF8D0 || (first & 0xFFF0) == 0xF850) return 1;
    if ((first & 0xFFF0) == 0xF8C0 || (first & 0xFFF0) == 0xF840) return 0;
    return -1;
}

void carry_out(void *context, uint64_t address) {
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    unsigned long *registers = &machine->arm_r0;
    unsigned number, length = 4;
    int load;
    check(address);
    if (machine->arm_cpsr & THUMB) {
        if (machine->arm_cpsr & 0x0600FC00) die("register access inside of an IT block");
        load = thumb((const uint16_t *)(uintptr_t)machine->arm_pc, &number, &length);
    } else {
        uint32_t code = *(const uint32_t *)(uintptr_t)machine->arm_pc;
        /* ldr and str: bits 27:26 are 01, bit 22 (byte) is 0; no base write-back, which the driver's are without */
        number = code >> 12 & 15;
        load = (code & 0x0C400000) == 0x04000000 && (code & 0x01200000) == 0x01000000 ? (int)(code >> 20 & 1) : -1;
    }
    if (load < 0 || number == 15) die("register access by an instruction that is no plain 32-bit ldr or str");
    if (load) registers[number] = reg_read(address);
    else reg_write(address, (uint32_t)registers[number]);
    machine->arm_pc += length;
}

#else
#error "the shim decodes x86-64, ARM and aarch64"
#endif
