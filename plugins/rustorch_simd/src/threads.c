/* The pool of threads: its workers start with the first job, spin for a while between jobs, and then sleep.
 *
 * One word, `job`, says all that a worker must know: a count of jobs in its upper bits, whether this one is open, and
 * how many workers have joined. A worker joins by adding 1, as long as the job is open; the caller, when it finds no
 * piece left, closes it and waits for those that have joined. So nobody ever waits for a worker that still sleeps. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __x86_64__
#include <immintrin.h>
#define PAUSE() _mm_pause()
#else
#define PAUSE() atomic_signal_fence(memory_order_seq_cst)
#endif

/* How often a worker looks for the next job before it sleeps: some 50 microseconds. */
enum { SPINS = 1000 };
/* A thread's stretch is cut into so many pieces, which others take when they are done with theirs. */
enum { PIECES = 4 };

enum { JOINED = 0xff, OPEN = 0x100, NEXT_JOB = 0x200 };

/* The pieces from `next` to `stop` of one thread's stretch, on a cache line of its own. */
typedef struct {
    _Alignas(64) atomic_ptrdiff_t next;
    ptrdiff_t stop;
} Stretch;

static struct {
    Task *task;
    const void *context;
    ptrdiff_t length, piece;
    atomic_int threads;
    Stretch stretches[MOST_THREADS];
    _Alignas(64) atomic_uint_fast64_t job;
    _Alignas(64) atomic_int done, sleepers;
    pthread_mutex_t busy, lock;
    pthread_cond_t opened;
    int workers;
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};

static atomic_int wanted_threads;

/* Take pieces: of the own stretch first, then of the others'. */
static void work(int self)
{
    int threads = pool.threads;
    for (int offset = 0; offset < threads; offset++) {
        Stretch *stretch = &pool.stretches[(self + offset) % threads];
        for (;;) {
            ptrdiff_t piece = atomic_fetch_add_explicit(&stretch->next, 1, memory_order_relaxed);
            if (piece >= stretch->stop)
                break;
            ptrdiff_t start = piece * pool.piece, stop = start + pool.piece;
            pool.task(pool.context, start, stop < pool.length ? stop : pool.length);
        }
    }
}

/* The place of a worker in an open job that it has not seen, or 0 where there is none for it. */
static int join(uint_fast64_t seen)
{
    uint_fast64_t job = atomic_load(&pool.job);
    while ((job & OPEN) && job / NEXT_JOB != seen && (int)(job & JOINED) + 1 < pool.threads)
        if (atomic_compare_exchange_weak(&pool.job, &job, job + 1))
            return (int)(job & JOINED) + 1;
    return 0;
}

static bool is_new(uint_fast64_t seen)
{
    uint_fast64_t job = atomic_load(&pool.job);
    return (job & OPEN) && job / NEXT_JOB != seen;
}

static void *serve(void *first)
{
    uint_fast64_t seen = (uintptr_t)first;
    for (;;) {
        for (int spins = 0; spins < SPINS && !is_new(seen); spins++)
            PAUSE();
        if (!is_new(seen)) {
            pthread_mutex_lock(&pool.lock);
            atomic_fetch_add(&pool.sleepers, 1);
            while (!is_new(seen))
                pthread_cond_wait(&pool.opened, &pool.lock);
            atomic_fetch_sub(&pool.sleepers, 1);
            pthread_mutex_unlock(&pool.lock);
        }
        int self = join(seen);
        seen = atomic_load(&pool.job) / NEXT_JOB;
        if (self > 0) {
            work(self);
            atomic_fetch_add(&pool.done, 1);
        }
    }
    return NULL;
}

/* Start workers until there are as many as a job wants; fewer where the system gives no more. */
static void hire(int threads)
{
    while (pool.workers < threads - 1) {
        pthread_t thread;
        uintptr_t last = (uintptr_t)(atomic_load(&pool.job) / NEXT_JOB);
        if (pthread_create(&thread, NULL, serve, (void *)last) != 0)
            return;
        pthread_detach(thread);
        pool.workers++;
    }
}

/* Threads do not come along into a forked child: it begins with none, and with nothing locked. */
static void begin_anew(void)
{
    pthread_mutex_init(&pool.busy, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.opened, NULL);
    atomic_store(&pool.job, 0);
    atomic_store(&pool.sleepers, 0);
    pool.workers = 0;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, begin_anew);
}

void share(Task *task, const void *context, ptrdiff_t length, ptrdiff_t unit, ptrdiff_t least)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    ptrdiff_t most = least > 0 ? length / least : length;
    int threads = most > 1 ? get_threads() : 1;
    threads = threads > most ? (int)most : threads;
    if (threads < 2 || pthread_mutex_trylock(&pool.busy) != 0) {
        if (length > 0)
            task(context, 0, length);
        return;
    }
    pthread_once(&once, watch_forks);
    hire(threads);
    ptrdiff_t each = (length + threads - 1) / threads;
    pool.task = task;
    pool.context = context;
    pool.length = length;
    pool.threads = threads;
    pool.piece = ((each + PIECES - 1) / PIECES + unit - 1) / unit * unit;
    ptrdiff_t pieces = (length + pool.piece - 1) / pool.piece;
    for (int i = 0; i < threads; i++) {
        atomic_store_explicit(&pool.stretches[i].next, pieces * i / threads, memory_order_relaxed);
        pool.stretches[i].stop = pieces * (i + 1) / threads;
    }
    atomic_store(&pool.done, 0);
    uint_fast64_t job = atomic_load(&pool.job) / NEXT_JOB + 1;
    atomic_store(&pool.job, job * NEXT_JOB | OPEN);
    if (atomic_load(&pool.sleepers) > 0) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.opened);
        pthread_mutex_unlock(&pool.lock);
    }
    work(0);
    int joined = (int)(atomic_fetch_and(&pool.job, ~(uint_fast64_t)OPEN) & JOINED);
    for (int spins = 0; atomic_load(&pool.done) < joined; spins++) {
        if (spins < SPINS)
            PAUSE();
        else
            sched_yield();
    }
    pthread_mutex_unlock(&pool.busy);
}

/* How many processors' time a Linux control group allows, rounded up; 0 where it sets no limit. */
static long control_group_limit(void)
{
    long quota = 0, period = 0;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r"); /* version 2: "quota period", or "max period" */
    if (file != NULL) {
        int found = fscanf(file, "%ld %ld", &quota, &period);
        fclose(file);
        return found == 2 && quota > 0 && period > 0 ? (quota + period - 1) / period : 0;
    }
    const char *const names[] = {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"};
    long *const values[] = {&quota, &period};
    for (int i = 0; i < 2; i++) {
        file = fopen(names[i], "r");
        if (file == NULL)
            return 0;
        int found = fscanf(file, "%ld", values[i]);
        fclose(file);
        if (found != 1)
            return 0;
    }
    return quota > 0 && period > 0 ? (quota + period - 1) / period : 0;
}

static int default_threads(void)
{
    const char *wanted = getenv("OMP_NUM_THREADS");
    long count = wanted != NULL ? strtol(wanted, NULL, 10) : 0;
    if (count <= 0) {
#ifdef CPU_COUNT
        cpu_set_t own;
        if (sched_getaffinity(0, sizeof own, &own) == 0)
            count = CPU_COUNT(&own);
#endif
        long limit = control_group_limit();
        count = limit > 0 && limit < count ? limit : count;
    }
    return count < 1 ? 1 : count > MOST_THREADS ? MOST_THREADS : (int)count;
}

int get_threads(void)
{
    static atomic_int by_default;
    int count = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (count > 0)
        return count;
    count = atomic_load_explicit(&by_default, memory_order_relaxed);
    if (count == 0)
        atomic_store_explicit(&by_default, count = default_threads(), memory_order_relaxed);
    return count;
}

void set_threads(int count)
{
    atomic_store(&wanted_threads, count < 0 ? 0 : count > MOST_THREADS ? MOST_THREADS : count);
}
