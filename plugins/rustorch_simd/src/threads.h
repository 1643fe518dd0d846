/* A pool of threads that share one job at a time, made of pieces; the caller works too. */
#ifndef RUSTORCH_SIMD_THREADS_H
#define RUSTORCH_SIMD_THREADS_H

#include <stddef.h>

enum { MOST_THREADS = 64 };

/* Work on the elements start <= i < stop of a job. */
typedef void Task(const void *context, ptrdiff_t start, ptrdiff_t stop);

/* Call `task` on pieces that together are 0 <= i < length, on as many threads as there are `least` elements for, each of
 * which takes pieces of its own stretch and then of the others'; return when all are done. Pieces begin at multiples of
 * `unit`. Call it without the GIL where the job is long. One job runs at a time: a second caller works alone. */
void share(Task *task, const void *context, ptrdiff_t length, ptrdiff_t unit, ptrdiff_t least);

/* How many threads a job may use: what was set, or else OMP_NUM_THREADS, or else the processors of this process, by its
 * affinity and its control group. */
int get_threads(void);
/* 0 returns to the default; at most MOST_THREADS. */
void set_threads(int count);

#endif
