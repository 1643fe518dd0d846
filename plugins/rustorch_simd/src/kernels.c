/* Every kernel, compiled once for each target of meson.build with -DTARGET=its name. */
#include "kernels.h"

#include "functions.h"

/* The pragma says that iterations are independent: without it the compiler adds a loop for arrays that overlap. */
#define FOR_EACH(i, length) _Pragma("omp simd") for (ptrdiff_t i = 0; i < (length); i++)

#define MAP(name)                                                                                                  \
    static void kernel_##name(const Work *work)                                                                    \
    {                                                                                                              \
        float *y = work->output;                                                                                   \
        const float *x = work->input[0];                                                                           \
        FOR_EACH(i, work->length)                                                                                  \
            y[i] = op_##name(x[i]);                                                                                \
    }

#define MAP_GRADIENT(name)                                                                                         \
    static void kernel_##name##_gradient(const Work *work)                                                         \
    {                                                                                                              \
        float *y = work->output;                                                                                   \
        const float *g = work->input[0], *x = work->input[1];                                                      \
        FOR_EACH(i, work->length)                                                                                  \
            y[i] = g[i] * derivative_##name(x[i]);                                                                 \
    }

MAP(erf)
MAP(exp)
MAP(gelu)
MAP(gelu_tanh)
MAP(relu)
MAP(sigmoid)
MAP(silu)
MAP_GRADIENT(gelu)
MAP_GRADIENT(gelu_tanh)
MAP_GRADIENT(silu)

static void kernel_relu_gradient(const Work *work)
{
    float *out = work->output;
    const float *g = work->input[0], *y = work->input[1];
    FOR_EACH(i, work->length)
        out[i] = y[i] > 0.0f ? g[i] : 0.0f;
}

/* `total` += the sum of `term` over i < length: float within a block, which vectorises, double over the blocks. */
#define ADD_UP(total, length, term)                                                                                \
    for (ptrdiff_t start = 0; start < (length); start += 1024) {                                                   \
        ptrdiff_t stop = (length) - start < 1024 ? (length) : start + 1024;                                        \
        float part = 0.0f;                                                                                         \
        _Pragma("omp simd reduction(+ : part)") for (ptrdiff_t i = start; i < stop; i++) part += (term);           \
        (total) += part;                                                                                           \
    }

/* The largest x that is a number, or -infinity: NaN and +infinity reach softmax through the sum. */
static inline float largest(const float *x, ptrdiff_t length)
{
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (ptrdiff_t i = 0; i < length; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* A kernel that calls row_name(length, output, ...) for each row; INPUT(k) is that row of input k. */
#define ROWS(name, ...)                                                                                            \
    static void kernel_##name(const Work *work)                                                                    \
    {                                                                                                              \
        for (ptrdiff_t row = 0; row < work->rows; row++)                                                           \
            row_##name(work->length, work->output + row * work->length, __VA_ARGS__);                              \
    }
#define INPUT(k) work->input[k] + row * work->length

static inline void row_softmax(ptrdiff_t length, float *y, const float *x)
{
    float most = largest(x, length);
    double total = 0.0;
    ADD_UP(total, length, y[i] = op_exp(x[i] - most))
    float factor = (float)(1.0 / total);
    FOR_EACH(i, length)
        y[i] *= factor;
}
ROWS(softmax, INPUT(0))

static inline void row_softmax_gradient(ptrdiff_t length, float *out, const float *g, const float *y)
{
    double total = 0.0;
    ADD_UP(total, length, g[i] * y[i])
    float sum = (float)total;
    FOR_EACH(i, length)
        out[i] = y[i] * (g[i] - sum);
}
ROWS(softmax_gradient, INPUT(0), INPUT(1))

static inline void row_log_softmax(ptrdiff_t length, float *y, const float *x)
{
    float most = largest(x, length);
    double total = 0.0;
    ADD_UP(total, length, op_exp(x[i] - most))
    float shift = (float)log(total);
    FOR_EACH(i, length)
        y[i] = (x[i] - most) - shift;
}
ROWS(log_softmax, INPUT(0))

static inline void row_log_softmax_gradient(ptrdiff_t length, float *out, const float *g, const float *y)
{
    double total = 0.0;
    ADD_UP(total, length, g[i])
    float sum = (float)total;
    FOR_EACH(i, length)
        out[i] = g[i] - op_exp(y[i]) * sum;
}
ROWS(log_softmax_gradient, INPUT(0), INPUT(1))

static inline void row_layer_norm(ptrdiff_t length, float *y, const float *x, const float *weight, const float *bias,
                                  float eps)
{
    double total = 0.0, squares = 0.0;
    ADD_UP(total, length, x[i])
    float mean = (float)(total / (double)length);
    ADD_UP(squares, length, (x[i] - mean) * (x[i] - mean))
    float factor = (float)(1.0 / sqrt(squares / (double)length + (double)eps));
    FOR_EACH(i, length)
        y[i] = (x[i] - mean) * factor * weight[i] + bias[i];
}
ROWS(layer_norm, INPUT(0), work->input[1], work->input[2], work->eps)

/* With y the normalised row: (g - mean(g) - y * mean(g * y)) / deviation, where g is scaled by the weight. */
static inline void row_layer_norm_gradient(ptrdiff_t length, float *out, const float *g, const float *x,
                                           const float *weight, float eps)
{
    double total = 0.0, squares = 0.0, slopes = 0.0, along = 0.0;
    ADD_UP(total, length, x[i])
    float mean = (float)(total / (double)length);
    ADD_UP(squares, length, (x[i] - mean) * (x[i] - mean))
    float factor = (float)(1.0 / sqrt(squares / (double)length + (double)eps));
    ADD_UP(slopes, length, g[i] * weight[i])
    ADD_UP(along, length, g[i] * weight[i] * ((x[i] - mean) * factor))
    float slope = (float)(slopes / (double)length), part = (float)(along / (double)length);
    FOR_EACH(i, length)
        out[i] = (g[i] * weight[i] - slope - (x[i] - mean) * factor * part) * factor;
}
ROWS(layer_norm_gradient, INPUT(0), INPUT(1), work->input[2], work->eps)

static inline void row_rms_norm(ptrdiff_t length, float *y, const float *x, const float *weight, float eps)
{
    double squares = 0.0;
    ADD_UP(squares, length, x[i] * x[i])
    float factor = (float)(1.0 / sqrt(squares / (double)length + (double)eps));
    FOR_EACH(i, length)
        y[i] = x[i] * factor * weight[i];
}
ROWS(rms_norm, INPUT(0), work->input[1], work->eps)

static inline void row_rms_norm_gradient(ptrdiff_t length, float *out, const float *g, const float *x,
                                         const float *weight, float eps)
{
    double squares = 0.0, along = 0.0;
    ADD_UP(squares, length, x[i] * x[i])
    float factor = (float)(1.0 / sqrt(squares / (double)length + (double)eps));
    ADD_UP(along, length, g[i] * weight[i] * (x[i] * factor))
    float part = (float)(along / (double)length);
    FOR_EACH(i, length)
        out[i] = (g[i] * weight[i] - x[i] * factor * part) * factor;
}
ROWS(rms_norm_gradient, INPUT(0), INPUT(1), work->input[2], work->eps)

static double total_of(const float *x, ptrdiff_t length)
{
    double total = 0.0;
    ADD_UP(total, length, x[i])
    return total;
}

#define REAL float
#include "steps.h"
#undef REAL
#define REAL double
#include "steps.h"
#undef REAL

#define JOIN_NOW(a, b) a##b
#define JOIN(a, b) JOIN_NOW(a, b)
extern const Kernels JOIN(kernels_, TARGET);
const Kernels JOIN(kernels_, TARGET) = {
    .total = total_of,
#define FIELD(name) .name = kernel_##name,
    KERNELS(FIELD)
#undef FIELD
#define FIELD(name, states) .step_##name = {step_##name##_float, step_##name##_double},
    STEPS(FIELD)
#undef FIELD
#define FIELD(name) .measure_##name = {measure_##name##_float, measure_##name##_double},
    MEASURES(FIELD)
#undef FIELD
};
