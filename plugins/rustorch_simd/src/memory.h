/* Array data from a pool that keeps what is freed: `MemoryPool` in the kernels' module. */
#ifndef RUSTORCH_SIMD_MEMORY_H
#define RUSTORCH_SIMD_MEMORY_H

/* The class, and the pool that kernels take their results from; make_default_pool returns false with an error set. */
extern PyTypeObject MemoryPoolType;
extern PyObject *default_pool;
bool make_default_pool(void);

/* A new array whose data, not yet set, comes from the default pool; NULL with an error set. */
PyObject *new_array(int dimensions, const npy_intp *shape, int type);

#endif
