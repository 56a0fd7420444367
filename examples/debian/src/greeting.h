#ifndef GREETING_H
#define GREETING_H

#include <stddef.h>

/* Writes a greeting for `name` ("world" if it is empty); returns its length, or -1 if it does not fit. */
int greeting(char *buffer, size_t size, const char *name);

#endif
