/* Scalar functions, free of branches, so that a loop over one of them is vectorised for any target.
 *
 * `condition ? a : b` with both sides computed becomes a blend; `a < b ? a : b` passes on a NaN in b. The polynomials
 * are near-minimax fits that tools/fit_coefficients.py derives and prints; README.md states the errors. */
#ifndef RUSTORCH_SIMD_FUNCTIONS_H
#define RUSTORCH_SIMD_FUNCTIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^n for -127 < n < 128. */
static inline float power_of_two(int32_t n)
{
    return float_of((uint32_t)(n + 127) << 23);
}

/* min(|x|, most), and NaN for NaN. */
static inline float clamped_magnitude(float x, float most)
{
    float magnitude = fabsf(x);
    return most < magnitude ? most : magnitude;
}

/* x for x > 0, else a zero of x's sign, and NaN for NaN and -infinity: for x <= 0 what x * 0 gives. */
static inline float positive_part(float x)
{
    return x > 0.0f ? x : 0.0f * x;
}

/* x - rest = exponent * ln 2 + remainder, |remainder| <= ln(2) / 2: Cody and Waite, Software Manual for the Elementary
 * Functions (1980), chapter 6. Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits; the high
 * part of ln 2 has 15 bits, so that its product is exact with or without FMA. */
typedef struct {
    int32_t exponent;
    float remainder;
} Reduced;

static inline Reduced reduce(float x, float rest)
{
    const float to_integer = 0x1.8p23f;
    float shifted = (x - rest) * 0x1.715476p+0f + to_integer;
    float n = shifted - to_integer;
    Reduced reduced = {
        (int32_t)(bits_of(shifted) - bits_of(to_integer)),
        ((x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f) - rest,
    };
    return reduced;
}

/* e^r - 1 for |r| <= 0.35, as r + r^2 * q(r). */
static inline float expm1_near_zero(float r)
{
    float q = 1.38718577e-03f;
    q = q * r + 8.36687349e-03f;
    q = q * r + 4.16674316e-02f;
    q = q * r + 1.66665420e-01f;
    q = q * r + 4.99999970e-01f;
    return r + r * r * q;
}

/* e^x - 1 for |x| < 87, without cancellation: 2^n * (e^r - 1) + (2^n - 1). */
static inline float expm1_of(float x)
{
    Reduced reduced = reduce(x, 0.0f);
    float scale = power_of_two(reduced.exponent);
    return scale * expm1_near_zero(reduced.remainder) + (scale - 1.0f);
}

/* e^(x - rest) = fraction * high * low. `scaled` comes last, so that a subnormal result is rounded only once. */
typedef struct {
    float fraction, high, low;
} Power;

static inline Power power_of_e(float x, float rest)
{
    Reduced reduced = reduce(x, rest);
    int32_t half = reduced.exponent >> 1;
    Power power = {
        1.0f + expm1_near_zero(reduced.remainder),
        power_of_two(half),
        power_of_two(reduced.exponent - half),
    };
    return power;
}

static inline float scaled(float x, Power power)
{
    return x * power.high * power.low;
}

static inline float op_exp(float x)
{
    x = 89.0f < x ? 89.0f : x;
    x = -104.0f > x ? -104.0f : x;
    Power power = power_of_e(x, 0.0f);
    return scaled(power.fraction, power);
}

/* 1 - e^-q(t), t = |x|, where q(t) = -log(erfc(t)) = t + t * p(t) is smooth; 1 from 3.92 on. */
static inline float op_erf(float x)
{
    float t = clamped_magnitude(x, 4.0f);
    float p = -9.38789617e-06f;
    p = p * t + 1.18860851e-04f;
    p = p * t - 6.37362362e-04f;
    p = p * t + 1.67567551e-03f;
    p = p * t - 1.69503997e-04f;
    p = p * t - 1.91478226e-02f;
    p = p * t + 1.02776304e-01f;
    p = p * t + 6.36619568e-01f;
    p = p * t + 1.28379166e-01f;
    return copysignf(-expm1_of(-(t + t * p)), x);
}

static inline float op_relu(float x)
{
    return x > 0.0f || x != x ? x : 0.0f;
}

static inline float op_sigmoid(float x)
{
    Power power = power_of_e(-clamped_magnitude(x, 104.0f), 0.0f);
    float e = scaled(power.fraction, power);
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

/* x * sigmoid(z(x)) for an odd z, given t = |x| and z = z(t): t * sigmoid(-z) is the result's size where x < 0, and
 * what is missing from x where x > 0. */
static inline float gated(float x, float t, float z)
{
    Power power = power_of_e(-z, 0.0f);
    float e = scaled(power.fraction, power);
    return positive_part(x) - scaled(t * power.fraction / (1.0f + e), power);
}

/* Its derivative, given z'(t) too: sigmoid(-z) * (1 - t * z' * sigmoid(z)) for x < 0, one minus that for x > 0. */
static inline float gated_derivative(float x, float t, float z, float slope)
{
    Power power = power_of_e(-z, 0.0f);
    float sigmoid = 1.0f / (1.0f + scaled(power.fraction, power));
    float below = scaled(power.fraction * sigmoid * (1.0f - t * slope * sigmoid), power);
    return (x > 0.0f ? 1.0f - below : below) + 0.0f * x;
}

static inline float op_silu(float x)
{
    float t = clamped_magnitude(x, 112.0f);
    return gated(x, t, t);
}

static inline float derivative_silu(float x)
{
    float t = clamped_magnitude(x, 112.0f);
    return gated_derivative(x, t, t, 1.0f);
}

/* The tanh form of gelu is x * sigmoid(z), z = sqrt(8 / pi) * (x + 0.044715 * x^3). */
static inline float op_gelu_tanh(float x)
{
    float t = clamped_magnitude(x, 11.0f);
    return gated(x, t, t * (1.59576912f + 7.13548163e-02f * t * t));
}

static inline float derivative_gelu_tanh(float x)
{
    float t = clamped_magnitude(x, 11.0f);
    return gated_derivative(x, t, t * (1.59576912f + 7.13548163e-02f * t * t), 1.59576912f + 2.14064449e-01f * t * t);
}

/* Phi(-t) * e^(t^2 / 2) for the normal distribution Phi and 0 <= t <= 14.6: a slow function, and all terms positive. */
static inline float normal_tail(float t)
{
    float p = 4.12386935e-03f, q = 1.03368908e-02f;
    p = p * t + 4.06840593e-02f;
    p = p * t + 1.83385715e-01f;
    p = p * t + 4.38497961e-01f;
    p = p * t + 5.00000000e-01f;
    q = q * t + 1.01986177e-01f;
    q = q * t + 4.69868243e-01f;
    q = q * t + 1.20312822e+00f;
    q = q * t + 1.67488086e+00f;
    q = q * t + 1.0f;
    return p / q;
}

/* e^(-t^2 / 2). An error of half an ulp in t^2 would be one of 50 ulp here; the square of t's leading 12 bits is exact,
 * and what it leaves of t^2 is small. */
static inline Power normal_density(float t)
{
    float leading = float_of(bits_of(t) & 0xfffff000u);
    return power_of_e(-0.5f * leading * leading, 0.5f * (t - leading) * (t + leading));
}

/* x * Phi(x) as x - t * Phi(-t) for x > 0, -t * Phi(-t) for x < 0. */
static inline float op_gelu(float x)
{
    float t = clamped_magnitude(x, 14.6f);
    Power density = normal_density(t);
    return positive_part(x) - scaled(t * normal_tail(t) * density.fraction, density);
}

/* Phi(x) + x * phi(x), the density phi(t) = e^(-t^2 / 2) / sqrt(2 pi). */
static inline float derivative_gelu(float x)
{
    float t = clamped_magnitude(x, 14.6f);
    Power density = normal_density(t);
    float below = scaled((normal_tail(t) - 3.98942280e-01f * t) * density.fraction, density);
    return (x > 0.0f ? 1.0f - below : below) + 0.0f * x;
}

#endif
