/* The targets that this build holds, and the choice among them. */
#ifndef RUSTORCH_SIMD_DISPATCH_H
#define RUSTORCH_SIMD_DISPATCH_H

#include "kernels.h"

typedef struct {
    const char *name;
    const Kernels *kernels;
    int (*can_run)(void);
} Target;

/* Best first; a target without a name ends the list. */
extern const Target all_targets[];

/* The best target that this machine can run, or the one called `name` unless that is NULL; NULL when there is none. */
const Target *choose_target(const char *name);

#endif
