/* The kernels by name: each target defines all of them, and exports one table of pointers. */
#ifndef RUSTORCH_SIMD_KERNELS_H
#define RUSTORCH_SIMD_KERNELS_H

#include <stddef.h>

#define KERNELS(KERNEL)                                                                                            \
    KERNEL(erf)                                                                                                    \
    KERNEL(exp)                                                                                                    \
    KERNEL(gelu)                                                                                                   \
    KERNEL(gelu_gradient)                                                                                          \
    KERNEL(gelu_tanh)                                                                                              \
    KERNEL(gelu_tanh_gradient)                                                                                     \
    KERNEL(layer_norm)                                                                                             \
    KERNEL(log_softmax)                                                                                            \
    KERNEL(log_softmax_gradient)                                                                                   \
    KERNEL(relu)                                                                                                   \
    KERNEL(relu_gradient)                                                                                          \
    KERNEL(sigmoid)                                                                                                \
    KERNEL(silu)                                                                                                   \
    KERNEL(silu_gradient)                                                                                          \
    KERNEL(softmax)                                                                                                \
    KERNEL(softmax_gradient)                                                                                       \
    KERNEL(tanh)

enum { MOST_INPUTS = 3 };

/* Contiguous rows in, contiguous rows out; an elementwise kernel sees one long row. The output overlaps no input. */
typedef struct {
    float *output;
    const float *input[MOST_INPUTS];
    ptrdiff_t rows, length;
    float eps;
} Work;

typedef void Kernel(const Work *work);

typedef struct {
#define FIELD(name) Kernel *name;
    KERNELS(FIELD)
#undef FIELD
} Kernels;

#endif
