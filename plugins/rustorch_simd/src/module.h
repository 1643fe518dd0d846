/* What the parts of the module `_kernels` share. */
#ifndef RUSTORCH_SIMD_MODULE_H
#define RUSTORCH_SIMD_MODULE_H

#include "dispatch.h"

/* The target whose kernels run. */
extern const Target *chosen;
/* The class of the module's `_Steps`. */
extern PyTypeObject StepsType;

#endif
