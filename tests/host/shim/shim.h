/* The shim between an unchanged driver and the simulated device: preloaded, it answers for /dev and /sys. */
#ifndef SHIM_H
#define SHIM_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

/* --- the device's mailbox (templates/sim/device.cpp describes it) */

/* Becomes the device's client; 0 where another client has it. */
int mailbox_attach(void);
uint32_t mailbox_read(uint64_t address);
void mailbox_write(uint64_t address, uint32_t value);
/* Plants faults, in place of those before: the device's command `inject`. */
void mailbox_inject(uint32_t faults);
uint64_t mailbox_memory_base(void);
uint64_t mailbox_memory_bytes(void);
uint64_t mailbox_dma_base(void);
/* The descriptor of the file that is the device's memory. */
int mailbox_memory_file(void);
/* The device's memory at a bus address; ends the process where there is none. */
uint8_t *mailbox_memory(uint64_t address, uint64_t bytes);

/* --- a faulting load or store */

/* Decodes the 32-bit access at the interrupted instruction, carries it out through the mailbox at bus
 * address `address`, and moves on to the next instruction. */
void carry_out(void *context, uint64_t address);

/* --- messages */

/* A line of the trace, where XH_SHIM_LOG names a file. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says why on standard error and ends the process: something that no board forgives. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The next definition of a function that the shim replaces. */
void *next(const char *name);

enum { SHIM_FAILED = 99 };

#endif
