/* Which target's kernels run. meson.build's table of targets arrives here as TARGETS(TARGET), in targets.h:
 *
 *     TARGET(avx512, 1 && __builtin_cpu_supports("avx512f") && ...) TARGET(avx2, ...) TARGET(baseline, 1)
 *
 * so a new row there is a new target here. This file itself is compiled for the baseline: it runs before anything is
 * known about the machine. */
#include "dispatch.h"

#include <string.h>

#include "targets.h"

/* __builtin_cpu_supports asks for the processor's feature, and for vector registers also whether the operating system
 * saves them (XGETBV). */
#define DECLARE(name, condition)                                                                                   \
    extern const Kernels kernels_##name;                                                                           \
    static int can_run_##name(void)                                                                                \
    {                                                                                                              \
        return condition;                                                                                          \
    }
TARGETS(DECLARE)

#define ROW(name, condition) {#name, &kernels_##name, can_run_##name},
const Target all_targets[] = {TARGETS(ROW){NULL, NULL, NULL}};

const Target *choose_target(const char *name)
{
    for (const Target *target = all_targets; target->name != NULL; target++)
        if (target->can_run() && (name == NULL || strcmp(name, target->name) == 0))
            return target;
    return NULL;
}
