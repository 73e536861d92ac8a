#include "xd_error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct text {
    int status;
    const char *reason;
    const char *remedy;
} text;

static const text texts[] = {
    {XD_OK, "no error", "Nothing is to be done"},
    {XD_ARGUMENT, "an argument makes no sense", "See the comment of the call in the header"},
    {XD_LENGTH, "the data are no whole frames, or more than one transfer moves",
     "Give whole frames of this network, fewer at once"},
    {XD_NO_DEVICE, "a device is not there",
     "Load the bitstream, the device-tree overlay and the kernel modules; README.md lists them"},
    {XD_PERMISSION, "a device may not be opened", "Run it as root, or give the device files to your group by a udev rule"},
    {XD_IN_USE, "another process has the device", "End the other process first"},
    {XD_SYSTEM, "the operating system refused a call", "See the reason it gives"},
    {XD_ADDRESS, "registers or memory do not lie where this build has them",
     "Use the bitstream and the device-tree overlay of this build"},
    {XD_IDENTITY, "no accelerator answers at this address", "Load the bitstream of this build"},
    {XD_ABI, "the accelerator's registers are of another version", "Load the bitstream of this build"},
    {XD_BUILD, "the loaded bitstream is of another build", "Load the bitstream of this build, or use the other build's driver"},
    {XD_FRAME, "the accelerator's frames have another length", "Load the bitstream of this build"},
    {XD_DMA_KIND, "the DMA is not the one of this build", "Load the bitstream of this build"},
    {XD_BUFFER, "the buffer is too small", "Make the buffer larger, or give fewer frames at once"},
    {XD_BUSY, "both halves of the buffer are in flight", "Wait for the oldest transfer first"},
    {XD_NOTHING, "nothing is in flight", "Submit frames first"},
    {XD_TIMEOUT, "no result within the time limit",
     "The device was reset and is ready; raise the limit if the frames are slow, else check the clock and the bitstream"},
    {XD_DMA, "the DMA reports an error",
     "The device was reset and is ready; check the buffer's address and the bitstream"},
    {XD_RESULT, "a result of another length came back", "The device was reset and is ready; check the bitstream"},
    {XD_STREAM, "the accelerator reports an error in its input stream",
     "The device was reset and is ready; check the bitstream"},
    {XD_RESET, "a reset did not finish", "Close the driver and load the bitstream again"},
    {XD_ENGINE, "the host's part of the network failed", "Give values of the network's input range"},
    {XD_MEMORY, "no memory for the driver", "Free memory on the board"},
};

static const text *find(int status) {
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status) return &texts[i];
    return NULL;
}

const char *xd_status_text(int status) {
    const text *found = find(status);
    return found ? found->reason : "a number that is no status of this driver";
}

const char *xd_status_remedy(int status) {
    const text *found = find(status);
    return found ? found->remedy : "See the header for the numbers";
}

xd_status xd_fail(xd_error *error, xd_status status, const char *place, const char *format, ...) {
    if (!error) return status;
    char reason[240];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    error->status = status;
    snprintf(error->text, sizeof error->text, "%s: %s. %s.", place, reason, xd_status_remedy(status));
    return status;
}

xd_status xd_fail_system(xd_error *error, const char *place, const char *what, int number) {
    xd_status status = XD_SYSTEM;
    if (number == ENOENT || number == ENXIO || number == ENODEV) status = XD_NO_DEVICE;
    else if (number == EACCES || number == EPERM) status = XD_PERMISSION;
    else if (number == EWOULDBLOCK || number == EBUSY) status = XD_IN_USE;
    return xd_fail(error, status, place, "%s: %s", what, strerror(number));
}
