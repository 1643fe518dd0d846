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
    KERNEL(layer_norm_gradient)                                                                                    \
    KERNEL(log_softmax)                                                                                            \
    KERNEL(log_softmax_gradient)                                                                                   \
    KERNEL(relu)                                                                                                   \
    KERNEL(relu_gradient)                                                                                          \
    KERNEL(rms_norm)                                                                                               \
    KERNEL(rms_norm_gradient)                                                                                      \
    KERNEL(sigmoid)                                                                                                \
    KERNEL(silu)                                                                                                   \
    KERNEL(silu_gradient)                                                                                          \
    KERNEL(softmax)                                                                                                \
    KERNEL(softmax_gradient)

/* Optimizers' steps on one array, each in float and in double, and of how many arrays its state is. */
#define STEPS(STEP)                                                                                                \
    STEP(sgd, 0)                                                                                                   \
    STEP(sgd_momentum, 1)                                                                                          \
    STEP(adam, 2)                                                                                                  \
    STEP(adam_largest, 3)                                                                                          \
    STEP(adamax, 2)                                                                                                \
    STEP(adabelief, 2)                                                                                             \
    STEP(adabound, 2)                                                                                              \
    STEP(adabound_largest, 3)                                                                                      \
    STEP(lamb, 2)                                                                                                  \
    STEP(lion, 1)                                                                                                  \
    STEP(adagrad, 1)                                                                                               \
    STEP(adadelta, 2)                                                                                              \
    STEP(asgd, 1)                                                                                                  \
    STEP(rprop, 2)                                                                                                 \
    STEP(rmsprop, 1)                                                                                               \
    STEP(rmsprop_momentum, 2)                                                                                      \
    STEP(rmsprop_centered, 2)                                                                                      \
    STEP(rmsprop_centered_momentum, 3)

/* What measures a value and its change, before the step of that name makes it. */
#define MEASURES(MEASURE) MEASURE(lamb)

enum { MOST_INPUTS = 3, MOST_STATES = 3, MOST_NUMBERS = 12 };

/* Contiguous rows in, contiguous rows out; an elementwise kernel sees one long row. The output overlaps no input. */
typedef struct {
    float *output;
    const float *input[MOST_INPUTS];
    ptrdiff_t rows, length;
    float eps;
} Work;

typedef void Kernel(const Work *work);

/* What a step changes: a value by its gradient and its state, all contiguous and of one length; see steps.h for the
 * numbers, the one at RATE of which a measured step gives its rate. A step that measures notes for each SUMMED elements
 * the sums of the squares of value and change. */
typedef struct {
    void *value, *state[MOST_STATES];
    const void *gradient;
    ptrdiff_t length;
    const double *numbers;
    double *sums;
} StepWork;

enum { RATE = 11, SUMMED = 16384 };

typedef void Step(const StepWork *work);

typedef struct {
    double (*total)(const float *x, ptrdiff_t length);
#define FIELD(name) Kernel *name;
    KERNELS(FIELD)
#undef FIELD
#define FIELD(name, states) Step *step_##name[2];
    STEPS(FIELD)
#undef FIELD
#define FIELD(name) Step *measure_##name[2];
    MEASURES(FIELD)
#undef FIELD
} Kernels;

#endif
