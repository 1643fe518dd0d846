/* Optimizers' steps on one array, for one floating-point type REAL; their rules are core's, _update_rules.py.
 *
 * What depends on options and step alone comes as numbers: `decay`, times the value, is added to the gradient, which is
 * multiplied by `sign` before; the value is multiplied by `shrink`; the others are k0, k1... in the order of each rule. */
#define STEP_NAME_NOW(name, type) step_##name##_##type
#define STEP_NAME_OF(name, type) STEP_NAME_NOW(name, type)
#define STEP_NAME(name) STEP_NAME_OF(name, REAL)
#define ROOT(x) ((REAL)(sizeof(REAL) == sizeof(float) ? sqrtf((float)(x)) : sqrt((double)(x))))
#define SIZE(x) ((REAL)(sizeof(REAL) == sizeof(float) ? fabsf((float)(x)) : fabs((double)(x))))
#define LARGER(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))

#define STEP(name, ...)                                                                                            \
    static void STEP_NAME(name)(void *value, const void *gradient, void *const *state, ptrdiff_t length,           \
                                const double *numbers)                                                             \
    {                                                                                                              \
        REAL *x = value, *s0 = state[0], *s1 = state[1], *s2 = state[2];                                           \
        const REAL *slope = gradient;                                                                              \
        const REAL decay = (REAL)numbers[0], sign = (REAL)numbers[1], shrink = (REAL)numbers[2];                   \
        const REAL k0 = (REAL)numbers[3], k1 = (REAL)numbers[4], k2 = (REAL)numbers[5], k3 = (REAL)numbers[6],     \
                   k4 = (REAL)numbers[7], k5 = (REAL)numbers[8], k6 = (REAL)numbers[9], k7 = (REAL)numbers[10];    \
        (void)s0, (void)s1, (void)s2, (void)k0, (void)k1, (void)k2, (void)k3, (void)k4, (void)k5, (void)k6,        \
            (void)k7;                                                                                              \
        FOR_EACH(i, length)                                                                                        \
        {                                                                                                          \
            REAL p = x[i], g = sign * slope[i] + decay * p;                                                        \
            p *= shrink;                                                                                           \
            __VA_ARGS__                                                                                            \
            x[i] = p;                                                                                              \
        }                                                                                                          \
    }

STEP(sgd, p -= k0 * g;)
STEP(sgd_momentum, s0[i] = k1 * s0[i] + k2 * g; p -= k0 * (k3 * s0[i] + k4 * g);)

#define MEAN s0[i] = k0 * s0[i] + k1 * g;
#define SQUARE s1[i] = k2 * s1[i] + k3 * g * g;
STEP(adam, MEAN SQUARE p -= (k4 * s0[i] + k5 * g) / (ROOT(s1[i]) * k6 + k7);)
STEP(adam_largest, MEAN SQUARE s2[i] = LARGER(s1[i], s2[i]); p -= k4 * s0[i] / (ROOT(s2[i]) * k6 + k7);)
STEP(adamax, MEAN REAL size = SIZE(g) + k3; s1[i] = LARGER(size, k2 * s1[i]); p -= k4 * s0[i] / s1[i];)
STEP(adabelief, MEAN REAL d = g - s0[i]; s1[i] = k2 * s1[i] + k3 * d * d + k5; p -= k4 * s0[i] / (ROOT(s1[i]) * k6 + k7);)
#define BOUNDED(size)                                                                                              \
    REAL rate = k4 / (ROOT(size) + k7);                                                                            \
    rate = rate < k5 ? k5 : rate;                                                                                  \
    p -= (rate > k6 ? k6 : rate) * s0[i];
STEP(adabound, MEAN SQUARE BOUNDED(s1[i]))
STEP(adabound_largest, MEAN SQUARE s2[i] = LARGER(s1[i], s2[i]); BOUNDED(s2[i]))
STEP(lion, REAL way = k0 * s0[i] + k1 * g; p -= way > 0 ? k4 : way < 0 ? -k4 : k4 * way; s0[i] = k2 * s0[i] + k3 * g;)
STEP(adagrad, s0[i] += g * g; p -= k0 * g / (ROOT(s0[i]) + k1);)

#define SIZED s0[i] = k0 * s0[i] + k1 * g * g;
#define CENTRED(mean) mean = k0 * mean + k1 * g; REAL size = s0[i] - mean * mean;
STEP(rmsprop, SIZED p -= k2 * g / (ROOT(s0[i]) + k3);)
STEP(rmsprop_momentum, SIZED s1[i] = k4 * s1[i] + g / (ROOT(s0[i]) + k3); p -= k2 * s1[i];)
STEP(rmsprop_centered, SIZED CENTRED(s1[i]) p -= k2 * g / (ROOT(size) + k3);)
STEP(rmsprop_centered_momentum, SIZED CENTRED(s1[i]) s2[i] = k4 * s2[i] + g / (ROOT(size) + k3); p -= k2 * s2[i];)

/* The length of the change depends on all of it, so it is computed twice: to be measured, and to be made. */
static void STEP_NAME(lamb)(void *value, const void *gradient, void *const *state, ptrdiff_t length, const double *numbers)
{
    REAL *x = value, *m = state[0], *v = state[1];
    const REAL *slope = gradient;
    const REAL sign = (REAL)numbers[1], k0 = (REAL)numbers[3], k1 = (REAL)numbers[4], k2 = (REAL)numbers[5],
               k3 = (REAL)numbers[6], k4 = (REAL)numbers[7], k5 = (REAL)numbers[8], k6 = (REAL)numbers[9],
               k7 = (REAL)numbers[10];
    double size = 0.0, changed = 0.0;
    for (ptrdiff_t start = 0; start < length; start += 1024) {
        ptrdiff_t stop = length - start < 1024 ? length : start + 1024;
        REAL sizes = 0, changes = 0;
        _Pragma("omp simd reduction(+ : sizes, changes)") for (ptrdiff_t i = start; i < stop; i++)
        {
            REAL p = x[i], g = sign * slope[i];
            m[i] = k0 * m[i] + k1 * g;
            v[i] = k2 * v[i] + k3 * g * g;
            REAL change = k4 * m[i] / (ROOT(v[i]) * k6 + k7) + k5 * p;
            sizes += p * p;
            changes += change * change;
        }
        size += (double)sizes;
        changed += (double)changes;
    }
    const REAL rate = (REAL)(numbers[11] * (size == 0.0 || changed == 0.0 ? 1.0 : sqrt(size) / sqrt(changed)));
    FOR_EACH(i, length)
        x[i] -= rate * (k4 * m[i] / (ROOT(v[i]) * k6 + k7) + k5 * x[i]);
}

#undef BOUNDED
#undef CENTRED
#undef LARGER
#undef MEAN
#undef ROOT
#undef SIZE
#undef SIZED
#undef SQUARE
#undef STEP
#undef STEP_NAME
#undef STEP_NAME_NOW
#undef STEP_NAME_OF
