/* Optimizers' steps on one array, for one floating-point type REAL; their rules are core's, _update_rules.py.
 *
 * What depends on options and step alone comes as numbers: `decay`, times the value, is added to the gradient, which is
 * multiplied by `sign` before; the value is multiplied by `shrink`; the others are k0, k1... in the order of each rule. */
#define NAME_NOW(name, type) name##_##type
#define NAME_OF(name, type) NAME_NOW(name, type)
#define STEP_NAME(name) NAME_OF(step_##name, REAL)
#define ROOT(x) ((REAL)(sizeof(REAL) == sizeof(float) ? sqrtf((float)(x)) : sqrt((double)(x))))
#define SIZE(x) ((REAL)(sizeof(REAL) == sizeof(float) ? fabsf((float)(x)) : fabs((double)(x))))
#define LARGER(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))

#define STEP(name, ...)                                                                                            \
    static void STEP_NAME(name)(const StepWork *work)                                                              \
    {                                                                                                              \
        REAL *restrict x = work->value, *restrict s0 = work->state[0], *restrict s1 = work->state[1],              \
                       *restrict s2 = work->state[2];                                                              \
        const REAL *restrict slope = work->gradient;                                                               \
        const double *numbers = work->numbers;                                                                     \
        const ptrdiff_t length = work->length;                                                                     \
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

STEP(adadelta, s0[i] = k0 * s0[i] + k1 * g * g; REAL change = ROOT(s1[i] + k2) / ROOT(s0[i] + k2) * g;
     s1[i] = k0 * s1[i] + k1 * change * change; p -= k3 * change;)
STEP(asgd, p = k0 * p - k1 * g; s0[i] = k2 * s0[i] + k3 * p;)
STEP(rprop, REAL agreement = g * s0[i]; REAL size = s1[i] * (agreement > 0 ? k1 : agreement < 0 ? k0 : 1);
     size = size < k2 ? k2 : size; size = size > k3 ? k3 : size; g = agreement < 0 ? 0 : g;
     p -= g > 0 ? size : g < 0 ? -size : g * size; s0[i] = g; s1[i] = size;)

#define SIZED s0[i] = k0 * s0[i] + k1 * g * g;
#define CENTRED(mean) mean = k0 * mean + k1 * g; REAL size = s0[i] - mean * mean;
STEP(rmsprop, SIZED p -= k2 * g / (ROOT(s0[i]) + k3);)
STEP(rmsprop_momentum, SIZED s1[i] = k4 * s1[i] + g / (ROOT(s0[i]) + k3); p -= k2 * s1[i];)
STEP(rmsprop_centered, SIZED CENTRED(s1[i]) p -= k2 * g / (ROOT(size) + k3);)
STEP(rmsprop_centered_momentum, SIZED CENTRED(s1[i]) s2[i] = k4 * s2[i] + g / (ROOT(size) + k3); p -= k2 * s2[i];)

/* How far LAMB goes depends on the length of its whole change, so that this is computed twice. */
#define LAMB_CHANGE(x, m, v) (k4 * (m) / (ROOT(v) * k6 + k7) + k5 * (x))
STEP(lamb, p -= (REAL)numbers[RATE] * LAMB_CHANGE(p, s0[i], s1[i]);)

static void NAME_OF(measure_lamb, REAL)(const StepWork *work)
{
    REAL *x = work->value, *m = work->state[0], *v = work->state[1];
    const REAL *slope = work->gradient;
    const double *numbers = work->numbers;
    double *sums = work->sums;
    const REAL sign = (REAL)numbers[1], k0 = (REAL)numbers[3], k1 = (REAL)numbers[4], k2 = (REAL)numbers[5],
               k3 = (REAL)numbers[6], k4 = (REAL)numbers[7], k5 = (REAL)numbers[8], k6 = (REAL)numbers[9],
               k7 = (REAL)numbers[10];
    for (ptrdiff_t first = 0; first < work->length; first += SUMMED, sums += 2) {
        ptrdiff_t end = work->length - first < SUMMED ? work->length : first + SUMMED;
        sums[0] = sums[1] = 0.0;
        for (ptrdiff_t start = first; start < end; start += 1024) {
            ptrdiff_t stop = end - start < 1024 ? end : start + 1024;
            REAL sizes = 0, changes = 0;
            _Pragma("omp simd reduction(+ : sizes, changes)") for (ptrdiff_t i = start; i < stop; i++)
            {
                REAL g = sign * slope[i];
                m[i] = k0 * m[i] + k1 * g;
                v[i] = k2 * v[i] + k3 * g * g;
                REAL change = LAMB_CHANGE(x[i], m[i], v[i]);
                sizes += x[i] * x[i];
                changes += change * change;
            }
            sums[0] += (double)sizes;
            sums[1] += (double)changes;
        }
    }
}
#undef LAMB_CHANGE

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
#undef NAME_NOW
#undef NAME_OF
