/* Memory pools for array data, through NumPy's own allocator hook (NEP 49).
 *
 * A freed block goes to the list of its size, and the next array of about that size takes it, whose pages are there already:
 * for large arrays the system's pages cost more than the arithmetic. Sizes are rounded up to one of eight for each power
 * of two. Small blocks are cut from chunks, large ones are the system's own. A pool lives as long as an array of it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_1_23_API_VERSION
#define NO_IMPORT_ARRAY
#define PY_ARRAY_UNIQUE_SYMBOL rustorch_simd_array_api
#include <numpy/arrayobject.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"

/* Sizes of eight steps for each power of two, from 64 bytes on. */
enum { SMALLEST_BITS = 6, STEP_BITS = 3, STEPS_EACH = 1 << STEP_BITS, SIZES = (48 - SMALLEST_BITS) * STEPS_EACH };
/* What NumPy's arrays are to tracemalloc. */
enum { NUMPYS_DOMAIN = 389047 };
/* A chunk serves blocks of up to this share of it. */
enum { LEAST_IN_CHUNK = 8 };

/* What lies before the data of a block. */
typedef struct Block {
    size_t capacity; /* bytes of data */
    int size;        /* its place among the sizes */
    bool is_own;     /* of the system, and not cut from a chunk */
    struct Block *next;
    void *start; /* what the system gave, for an own one */
    size_t mapped;
} Block;

typedef struct Chunk {
    struct Chunk *next;
} Chunk;

typedef struct {
    PyDataMem_Handler handler;
    size_t chunk_size, alignment, header, limit;
    Block *free[SIZES];
    Chunk *chunks;
    char *cut, *cut_end; /* what is left of the newest chunk */
    size_t in_use, cached, peak;
    unsigned long long allocations, reused;
} Pool;

/* One lock for all pools: NumPy may free without the GIL, and a fork must find it open. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void lock_all(void)
{
    pthread_mutex_lock(&lock);
}

static void unlock_all(void)
{
    pthread_mutex_unlock(&lock);
}

/* The place of the smallest size of at least `bytes`, and that size. */
static int size_for(size_t bytes, size_t *capacity)
{
    const size_t least = (size_t)1 << SMALLEST_BITS;
    if (bytes <= least) {
        *capacity = least;
        return 0;
    }
    int bits = 63 - __builtin_clzll((unsigned long long)(bytes - 1)); /* 2^bits <= bytes - 1 < 2^(bits + 1) */
    size_t step = (size_t)1 << (bits - STEP_BITS);
    size_t steps = (bytes - ((size_t)1 << bits) + step - 1) / step; /* 1 to 8 */
    *capacity = ((size_t)1 << bits) + steps * step;
    return (bits - SMALLEST_BITS) * STEPS_EACH + (int)steps;
}

static char *aligned_up(char *place, size_t alignment)
{
    return (char *)(((uintptr_t)place + alignment - 1) / alignment * alignment);
}

static void *map(size_t bytes)
{
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (bytes >= (size_t)1 << 22)
        madvise(start, bytes, MADV_HUGEPAGE);
#endif
    return start;
}

/* A block of the system's own; its bytes are zero. */
static Block *own_block(const Pool *pool, size_t capacity, int size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapped = (capacity + pool->header + pool->alignment + page - 1) / page * page;
    char *start = map(mapped);
    if (start == NULL)
        return NULL;
    Block *block = (Block *)(aligned_up(start + pool->header, pool->alignment) - pool->header);
    *block = (Block){.capacity = capacity, .size = size, .is_own = true, .start = start, .mapped = mapped};
    return block;
}

/* A block cut from a chunk; its bytes are zero, for the chunk's are. */
static Block *cut_block(Pool *pool, size_t capacity, int size)
{
    char *data = pool->cut == NULL ? NULL : aligned_up(pool->cut + pool->header, pool->alignment);
    if (data == NULL || data > pool->cut_end || (size_t)(pool->cut_end - data) < capacity) {
        Chunk *chunk = map(pool->chunk_size);
        if (chunk == NULL)
            return NULL;
        chunk->next = pool->chunks;
        pool->chunks = chunk;
        pool->cut = (char *)(chunk + 1);
        pool->cut_end = (char *)chunk + pool->chunk_size;
        data = aligned_up(pool->cut + pool->header, pool->alignment);
    }
    pool->cut = data + capacity;
    Block *block = (Block *)(data - pool->header);
    *block = (Block){.capacity = capacity, .size = size};
    return block;
}

static Block *block_of(const Pool *pool, void *data)
{
    return (Block *)((char *)data - pool->header);
}

static void give_back(Block *block)
{
    munmap(block->start, block->mapped);
}

/* Give the system's own blocks back, the largest first, until no more than `most` bytes are kept. */
static void shrink(Pool *pool, size_t most)
{
    for (int size = SIZES - 1; size >= 0 && pool->cached > most; size--) {
        Block **place = &pool->free[size];
        while (*place != NULL && pool->cached > most) {
            Block *block = *place;
            if (!block->is_own) {
                place = &block->next;
                continue;
            }
            *place = block->next;
            pool->cached -= block->capacity;
            give_back(block);
        }
    }
}

static void *allocate(Pool *pool, size_t bytes, bool is_zero)
{
    size_t capacity;
    if (bytes > (size_t)1 << 46)
        return NULL;
    int size = size_for(bytes, &capacity);
    lock_all();
    bool is_small = (capacity + pool->header + pool->alignment) * LEAST_IN_CHUNK <= pool->chunk_size;
    int fitting = size, largest = is_small || size + STEPS_EACH >= SIZES ? size : size + STEPS_EACH;
    while (fitting < largest && pool->free[fitting] == NULL)
        fitting++;
    Block *block = pool->free[fitting];
    bool is_reused = block != NULL;
    if (is_reused) {
        pool->free[fitting] = block->next;
        capacity = block->capacity;
        pool->cached -= capacity;
        pool->reused++;
    } else if (is_small) {
        block = cut_block(pool, capacity, size);
    } else { /* what is kept makes the whole hardly larger than what was in use at once */
        size_t needed = pool->in_use + capacity, most = needed > pool->peak ? needed : pool->peak;
        shrink(pool, most + most / 16 - needed);
        block = own_block(pool, capacity, size);
        if (block == NULL) { /* what is kept may be what is missing */
            shrink(pool, 0);
            block = own_block(pool, capacity, size);
        }
    }
    if (block != NULL) {
        pool->allocations++;
        pool->in_use += capacity;
        pool->peak = pool->in_use > pool->peak ? pool->in_use : pool->peak;
    }
    unlock_all();
    if (block == NULL)
        return NULL;
    char *data = (char *)block + pool->header;
    if (is_zero && is_reused)
        memset(data, 0, bytes);
    return data;
}

static void *pool_malloc(void *context, size_t bytes)
{
    return allocate(context, bytes, false);
}

static void *pool_calloc(void *context, size_t count, size_t each)
{
    if (each != 0 && count > SIZE_MAX / each)
        return NULL;
    return allocate(context, count * each, true);
}

static void pool_free(void *context, void *data, size_t Py_UNUSED(bytes))
{
    Pool *pool = context;
    if (data == NULL)
        return;
    Block *block = block_of(pool, data);
    lock_all();
    pool->in_use -= block->capacity;
    if (block->is_own && pool->cached + block->capacity > pool->limit)
        shrink(pool, block->capacity > pool->limit ? pool->limit : pool->limit - block->capacity);
    if (block->is_own && pool->cached + block->capacity > pool->limit) {
        give_back(block);
    } else {
        block->next = pool->free[block->size];
        pool->free[block->size] = block;
        pool->cached += block->capacity;
    }
    unlock_all();
}

static void *pool_realloc(void *context, void *data, size_t bytes)
{
    Pool *pool = context;
    if (data == NULL)
        return allocate(pool, bytes, false);
    size_t capacity = block_of(pool, data)->capacity;
    if (bytes <= capacity && bytes > capacity / 2)
        return data;
    void *moved = allocate(pool, bytes, false);
    if (moved != NULL) {
        memcpy(moved, data, bytes < capacity ? bytes : capacity);
        pool_free(pool, data, 0);
    }
    return moved;
}

/* NumPy's arrays hold the capsule, so nothing of the pool is in use when it goes. */
static void destroy(PyObject *capsule)
{
    Pool *pool = PyCapsule_GetPointer(capsule, "mem_handler");
    if (pool == NULL)
        return;
    shrink(pool, 0);
    while (pool->chunks != NULL) {
        Chunk *next = pool->chunks->next;
        munmap(pool->chunks, pool->chunk_size);
        pool->chunks = next;
    }
    PyMem_RawFree(pool);
}

/* The Python face */

typedef struct {
    PyObject_HEAD
    PyObject *capsule;
    PyObject *before; /* a list: the handlers that `with` put aside */
} MemoryPool;

PyObject *default_pool;

static Pool *pool_of(PyObject *object)
{
    return PyCapsule_GetPointer(((MemoryPool *)object)->capsule, "mem_handler");
}

static bool is_power_of_two(Py_ssize_t number)
{
    return number > 0 && (number & (number - 1)) == 0;
}

static PyObject *make_pool(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"chunk_size", "alignment", "limit", NULL};
    Py_ssize_t chunk_size = 1 << 20, alignment = 64, limit = 1 << 30;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|nnn", names, &chunk_size, &alignment, &limit))
        return NULL;
    if (chunk_size < 4096 || limit < 0)
        return PyErr_Format(PyExc_ValueError, "expected a chunk_size of at least 4096 bytes and a limit of at least 0, "
                            "met %zd and %zd", chunk_size, limit);
    if (!is_power_of_two(alignment) || alignment < 16 || alignment > 1 << 21)
        return PyErr_Format(PyExc_ValueError, "expected an alignment that is a power of two from 16 to 2097152, met %zd",
                            alignment);
    Pool *pool = PyMem_RawCalloc(1, sizeof *pool);
    if (pool == NULL)
        return PyErr_NoMemory();
    pool->handler = (PyDataMem_Handler){
        "rustorch_pool", 1, {pool, pool_malloc, pool_calloc, pool_realloc, pool_free},
    };
    pool->alignment = (size_t)alignment;
    pool->header = (sizeof(Block) + (size_t)alignment - 1) / (size_t)alignment * (size_t)alignment;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    pool->chunk_size = ((size_t)chunk_size + page - 1) / page * page;
    pool->limit = (size_t)limit;
    PyObject *capsule = PyCapsule_New(&pool->handler, "mem_handler", destroy);
    if (capsule == NULL) {
        PyMem_RawFree(pool);
        return NULL;
    }
    MemoryPool *self = (MemoryPool *)type->tp_alloc(type, 0);
    PyObject *before = self == NULL ? NULL : PyList_New(0);
    if (before == NULL) {
        Py_DECREF(capsule);
        Py_XDECREF(self);
        return NULL;
    }
    self->capsule = capsule;
    self->before = before;
    return (PyObject *)self;
}

static PyObject *enter(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    MemoryPool *self = (MemoryPool *)object;
    PyObject *before = PyDataMem_SetHandler(self->capsule);
    if (before == NULL)
        return NULL;
    int failed = PyList_Append(self->before, before);
    Py_DECREF(before);
    return failed ? NULL : Py_NewRef(object);
}

static PyObject *leave(PyObject *object, PyObject *Py_UNUSED(error))
{
    PyObject *list = ((MemoryPool *)object)->before;
    Py_ssize_t count = PyList_GET_SIZE(list);
    if (count == 0) {
        PyErr_SetString(PyExc_RuntimeError, "this pool was not entered");
        return NULL;
    }
    PyObject *left = PyDataMem_SetHandler(PyList_GET_ITEM(list, count - 1));
    if (left == NULL || PyList_SetSlice(list, count - 1, count, NULL) < 0) {
        Py_XDECREF(left);
        return NULL;
    }
    Py_DECREF(left);
    Py_RETURN_NONE;
}

static PyObject *statistics(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    lock_all();
    Pool pool = *pool_of(object);
    unlock_all();
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:K,s:K}", "in_use", (Py_ssize_t)pool.in_use, "peak", (Py_ssize_t)pool.peak,
                         "cached", (Py_ssize_t)pool.cached, "limit", (Py_ssize_t)pool.limit, "allocations",
                         pool.allocations, "reused", pool.reused);
}

static PyObject *empty_cache(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    lock_all();
    shrink(pool_of(object), 0);
    unlock_all();
    Py_RETURN_NONE;
}

static PyObject *reset_peak(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Pool *pool = pool_of(object);
    lock_all();
    pool->peak = pool->in_use;
    unlock_all();
    Py_RETURN_NONE;
}

static void dealloc_pool(PyObject *object)
{
    MemoryPool *self = (MemoryPool *)object;
    Py_XDECREF(self->capsule);
    Py_XDECREF(self->before);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, "Let NumPy's new arrays of this context come from the pool."},
    {"__exit__", leave, METH_VARARGS, "Let them come from where they came before."},
    {"statistics", statistics, METH_NOARGS,
     "statistics()\n--\n\nBytes in use, at most in use, kept for reuse and at most kept; allocations, and how many reused."},
    {"empty_cache", empty_cache, METH_NOARGS, "empty_cache()\n--\n\nGive large blocks that nobody uses back to the system."},
    {"reset_peak", reset_peak, METH_NOARGS, "reset_peak()\n--\n\nBegin to look for the largest use anew."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject MemoryPoolType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "rustorch_simd._kernels.MemoryPool",
    .tp_doc = "MemoryPool(chunk_size=1048576, alignment=64, limit=1073741824)\n--\n\nArray data that is kept for reuse.",
    .tp_basicsize = sizeof(MemoryPool),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = make_pool,
    .tp_methods = methods,
    .tp_dealloc = dealloc_pool,
};

/* An eighth of the memory that this machine, or this process's control group, has; at most 1 GiB. */
static Py_ssize_t default_limit(void)
{
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), allowed;
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "r");
    if (file != NULL) {
        if (fscanf(file, "%lf", &allowed) == 1 && allowed > 0 && allowed < memory)
            memory = allowed;
        fclose(file);
    }
    return memory > 8.0 * (1 << 30) ? 1 << 30 : memory > 0 ? (Py_ssize_t)(memory / 8) : 0;
}

bool make_default_pool(void)
{
    if (default_pool != NULL)
        return true;
    if (pthread_atfork(lock_all, unlock_all, unlock_all) != 0) {
        PyErr_NoMemory();
        return false;
    }
    default_pool = PyObject_CallFunction((PyObject *)&MemoryPoolType, "nnn", (Py_ssize_t)1 << 20, (Py_ssize_t)64, default_limit());
    return default_pool != NULL;
}

PyObject *new_array(int dimensions, const npy_intp *shape, int type)
{
    PyArray_Descr *dtype = PyArray_DescrFromType(type);
    if (dtype == NULL)
        return NULL;
    npy_intp bytes = PyDataType_ELSIZE(dtype);
    for (int i = 0; i < dimensions; i++)
        bytes *= shape[i]; /* of an array that exists, so it cannot be too large */
    Pool *pool = pool_of(default_pool);
    void *data = allocate(pool, bytes > 0 ? (size_t)bytes : 1, false);
    if (data == NULL) {
        Py_DECREF(dtype);
        return PyErr_NoMemory();
    }
    PyObject *array = PyArray_NewFromDescr(&PyArray_Type, dtype, dimensions, shape, NULL, data, NPY_ARRAY_CARRAY, NULL);
    if (array == NULL) {
        pool_free(pool, data, 0);
        return NULL;
    }
    PyArrayObject_fields *fields = (PyArrayObject_fields *)array;
    fields->mem_handler = Py_NewRef(((MemoryPool *)default_pool)->capsule);
    fields->flags |= NPY_ARRAY_OWNDATA;
    PyTraceMalloc_Track(NUMPYS_DOMAIN, (uintptr_t)data, (size_t)bytes); /* NumPy itself tells of the end */
    return array;
}
