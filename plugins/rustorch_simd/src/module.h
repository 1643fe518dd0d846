/* What the parts of the module `_kernels` share. */
#ifndef RUSTORCH_SIMD_MODULE_H
#define RUSTORCH_SIMD_MODULE_H

#include "dispatch.h"

/* The target whose kernels run. */
extern const Target *chosen;
/* The classes of the module's `_Steps`, `Shared`, `SharedReduction` and `Product`. */
extern PyTypeObject StepsType, SharedType, SharedReductionType, ProductType;

#endif
