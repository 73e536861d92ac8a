/* Errors in words. */
#ifndef XD_ERROR_H
#define XD_ERROR_H

#include "xd_driver.h"

/* Writes "place: reason. Remedy." into `error` (may be NULL) and returns `status`. */
xd_status xd_fail(xd_error *error, xd_status status, const char *place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a file that could not be opened, mapped or locked: `number` is errno. */
xd_status xd_fail_system(xd_error *error, const char *place, const char *what, int number);

#endif
