/* NumPy's own loops on our threads and memory: `Shared`, a ufunc, `SharedReduction`, the reduction of one, and
 * `Product`, matmul.
 *
 * A ufunc's inner loop is as fast as one thread gets; what it lacks is more threads, a pool for its results, and a short
 * way in. Each does what is simple, in float or double, and hands everything else on, so that none declines. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NO_IMPORT_ARRAY
#define PY_ARRAY_UNIQUE_SYMBOL rustorch_simd_array_api
#include <numpy/arrayobject.h>
#define NO_IMPORT_UFUNC
#define PY_UFUNC_UNIQUE_SYMBOL rustorch_simd_ufunc_api
#include <numpy/ufuncobject.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "module.h"
#include "threads.h"

/* Below this many elements, letting other threads run costs more than the loop. */
enum { KEEP_GIL_BELOW = 8192, UNIT = 64, LEAST_PRODUCT = 100000 };
/* Rows shorter than this are left to NumPy, which orders its loops anew; a long sum is cut into pieces of BLOCK. */
enum { SHORTEST_ROW = 16, BLOCK = 65536, LINE = 2048 };

typedef struct {
    PyUFuncGenericFunction run;
    void *data;
    int output; /* its type */
} Loop;

/* What the three types begin with. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *fallback; /* what is called for all that the type hands on */
    Loop loops[2];      /* for float and double */
} Base;

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(((Base *)object)->fallback);
    return 0;
}

static int clear(PyObject *object)
{
    Py_CLEAR(((Base *)object)->fallback);
    return 0;
}

static void dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    clear(object);
    Py_TYPE(object)->tp_free(object);
}

#define TYPE(type, make, doc)                                                                                      \
    PyTypeObject type##Type = {                                                                                    \
        PyVarObject_HEAD_INIT(NULL, 0)                                                                             \
        .tp_name = "rustorch_simd._kernels." #type,                                                                \
        .tp_doc = doc,                                                                                             \
        .tp_basicsize = sizeof(type),                                                                              \
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_HAVE_GC,                          \
        .tp_vectorcall_offset = offsetof(Base, vectorcall),                                                        \
        .tp_call = PyVectorcall_Call,                                                                              \
        .tp_new = make,                                                                                            \
        .tp_traverse = traverse,                                                                                   \
        .tp_clear = clear,                                                                                         \
        .tp_dealloc = dealloc,                                                                                     \
    };

typedef struct {
    Base base;
    int inputs;
    Py_ssize_t least; /* elements that a thread takes at least */
} Shared;

static int place_of_type(int type)
{
    return type == NPY_FLOAT ? 0 : type == NPY_DOUBLE ? 1 : -1;
}

/* The loops of a ufunc whose inputs are all float, or all double. */
static void find_loops(PyUFuncObject *ufunc, Loop loops[2])
{
    for (int i = 0; i < ufunc->ntypes; i++) {
        const char *types = ufunc->types + (ptrdiff_t)i * ufunc->nargs;
        int place = place_of_type(types[0]);
        if (place < 0 || loops[place].run != NULL || types[ufunc->nin - 1] != types[0] || ufunc->functions[i] == NULL)
            continue;
        loops[place] = (Loop){ufunc->functions[i], ufunc->data == NULL ? NULL : ufunc->data[i], types[ufunc->nargs - 1]};
    }
}

/* The array that a loop can read as it is: behaved and contiguous, of a type that has one; else NULL. */
static PyArrayObject *readable(PyObject *object, const Loop loops[2], int *place)
{
    if (!PyArray_CheckExact(object))
        return NULL;
    PyArrayObject *array = (PyArrayObject *)object;
    *place = place_of_type(PyArray_TYPE(array));
    if (*place < 0 || loops[*place].run == NULL || !PyArray_ISCARRAY_RO(array))
        return NULL;
    return array;
}

/* Elementwise */

/* Rows of `length`: input k advances by step[k] bytes within a row, and by leap[k] from row to row. */
typedef struct {
    Loop loop;
    int inputs;
    char *data[3];
    npy_intp step[3], leap[3], length;
} Map;

static void map_elements(const void *context, ptrdiff_t start, ptrdiff_t stop)
{
    const Map *map = context;
    char *data[3];
    npy_intp steps[3], length = stop - start;
    for (int k = 0; k <= map->inputs; k++) {
        data[k] = map->data[k] + start * map->step[k];
        steps[k] = map->step[k];
    }
    map->loop.run(data, &length, steps, map->loop.data);
}

static void map_rows(const void *context, ptrdiff_t start, ptrdiff_t stop)
{
    const Map *map = context;
    for (ptrdiff_t row = start; row < stop; row++) {
        char *data[3];
        npy_intp steps[3], length = map->length;
        for (int k = 0; k <= map->inputs; k++) {
            data[k] = map->data[k] + row * map->leap[k];
            steps[k] = map->step[k];
        }
        map->loop.run(data, &length, steps, map->loop.data);
    }
}

/* How `small` is stretched to the shape of `large`: its step and leap, for rows of `length`; false where NumPy is to. */
static bool stretch(PyArrayObject *large, PyArrayObject *small, npy_intp *step, npy_intp *leap, npy_intp *length)
{
    npy_intp item = PyArray_ITEMSIZE(small), size = PyArray_SIZE(large), own = PyArray_SIZE(small);
    int extra = PyArray_NDIM(large) - PyArray_NDIM(small);
    if (extra < 0)
        return false;
    *leap = 0;
    *length = size;
    if (own == 1) {
        *step = 0;
        return true;
    }
    const npy_intp *wide = PyArray_DIMS(large) + extra, *dims = PyArray_DIMS(small);
    int count = PyArray_NDIM(small), first = 0, last = count;
    if (extra == 0 && PyArray_CompareLists(wide, dims, count)) {
        *step = item;
        return true;
    }
    while (first < count && dims[first] == 1)
        first++;
    if (PyArray_CompareLists(wide + first, dims + first, count - first)) { /* one row for all */
        *step = item;
        *length = own;
        return own >= SHORTEST_ROW;
    }
    while (last > 0 && dims[last - 1] == 1)
        last--;
    if (extra == 0 && last < count && PyArray_CompareLists(wide, dims, last)) { /* one element for each row */
        *step = 0;
        *leap = item;
        *length = own > 0 ? size / own : 0;
        return *length >= SHORTEST_ROW;
    }
    return false;
}

static PyObject *run_map(const Shared *self, Map *map, PyArrayObject *shape, npy_intp size)
{
    PyObject *output = new_array(PyArray_NDIM(shape), PyArray_DIMS(shape), map->loop.output);
    if (output == NULL || size == 0)
        return output;
    int last = map->inputs;
    npy_intp item = PyArray_ITEMSIZE((PyArrayObject *)output);
    map->data[last] = PyArray_DATA((PyArrayObject *)output);
    map->step[last] = item;
    map->leap[last] = map->length * item;
    PyThreadState *others = size < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    if (map->length == size)
        share(map_elements, map, size, UNIT, self->least);
    else
        share(map_rows, map, size / map->length, 1, self->least / map->length + 1);
    if (others != NULL)
        PyEval_RestoreThread(others);
    return output;
}

static PyObject *call_shared(PyObject *object, PyObject *const *args, size_t flagged, PyObject *names)
{
    const Shared *self = (const Shared *)object;
    int place, other;
    PyArrayObject *first, *second;
    if (names != NULL || PyVectorcall_NARGS(flagged) != self->inputs || (first = readable(args[0], self->base.loops, &place)) == NULL)
        return PyObject_Vectorcall(self->base.fallback, args, flagged, names);
    Map map = {.loop = self->base.loops[place], .inputs = self->inputs, .data = {PyArray_DATA(first)}};
    npy_intp item = PyArray_ITEMSIZE(first), size = PyArray_SIZE(first);
    map.step[0] = item;
    map.length = size;
    if (self->inputs == 1)
        return run_map(self, &map, first, size);
    if ((second = readable(args[1], self->base.loops, &other)) == NULL || other != place)
        return PyObject_Vectorcall(self->base.fallback, args, flagged, names);
    map.data[1] = PyArray_DATA(second);
    if (stretch(first, second, &map.step[1], &map.leap[1], &map.length)) {
        map.leap[0] = map.length * item;
        return run_map(self, &map, first, size);
    }
    if (stretch(second, first, &map.step[0], &map.leap[0], &map.length)) {
        map.step[1] = item;
        map.leap[1] = map.length * item;
        return run_map(self, &map, second, PyArray_SIZE(second));
    }
    return PyObject_Vectorcall(self->base.fallback, args, flagged, names);
}

static PyObject *make_shared(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"ufunc", "least", NULL};
    PyObject *ufunc;
    Py_ssize_t least = 32768;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!|n", names, &PyUFunc_Type, &ufunc, &least))
        return NULL;
    PyUFuncObject *known = (PyUFuncObject *)ufunc;
    if (known->nin < 1 || known->nin > 2 || known->nout != 1 || known->core_enabled || least < 1)
        return PyErr_Format(PyExc_ValueError, "expected a ufunc of one or two arrays, met %R", ufunc);
    Shared *self = (Shared *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->base.vectorcall = call_shared;
    self->base.fallback = Py_NewRef(ufunc);
    self->inputs = known->nin;
    self->least = least;
    find_loops(known, self->base.loops);
    return (PyObject *)self;
}

TYPE(Shared, make_shared,
     "Shared(ufunc, least=32768)\n--\n\nA ufunc whose long arrays threads share, each of at least so many elements.")

/* Reductions */

typedef struct {
    Base base;
    bool is_mean, is_sum, has_initial;
    double initial;
} SharedReduction;

/* The elements of (outer, length, inner), reduced over the middle one into (outer, inner). */
typedef struct {
    Loop loop;
    char *input, *output;
    npy_intp outer, length, inner, item;
    const void *initial; /* where a row begins, or NULL for its first element */
    bool is_float_sum;
} Fold;

/* Reduce `count` elements, at least one, into the one at `into`. */
static void fold_into(const Fold *fold, char *into, char *from, npy_intp count)
{
    if (fold->is_float_sum) { /* NumPy's loop adds eight at a time */
        float total = (float)chosen->kernels->total((const float *)from, count);
        memcpy(into, &total, sizeof total);
        return;
    }
    npy_intp first = fold->initial == NULL, steps[3] = {0, fold->item, 0};
    memcpy(into, first ? from : fold->initial, (size_t)fold->item);
    char *data[3] = {into, from + first * fold->item, into};
    count -= first;
    if (count > 0)
        fold->loop.run(data, &count, steps, fold->loop.data);
}

/* Each row on its own. */
static void fold_rows(const void *context, ptrdiff_t start, ptrdiff_t stop)
{
    const Fold *fold = context;
    for (ptrdiff_t row = start; row < stop; row++) {
        char *from = fold->input + row * fold->length * fold->item;
        fold_into(fold, fold->output + row * fold->item, from, fold->length);
    }
}

/* Pieces of one long row, each to an element of the output. */
static void fold_blocks(const void *context, ptrdiff_t start, ptrdiff_t stop)
{
    const Fold *fold = context;
    for (ptrdiff_t block = start; block < stop; block++) {
        npy_intp count = fold->length - block * BLOCK < BLOCK ? fold->length - block * BLOCK : BLOCK;
        fold_into(fold, fold->output + block * fold->item, fold->input + block * BLOCK * fold->item, count);
    }
}

/* Lines of the output: of each outer the inner elements in pieces of LINE, onto which the rows are reduced in turn. */
static void fold_lines(const void *context, ptrdiff_t start, ptrdiff_t stop)
{
    const Fold *fold = context;
    npy_intp lines = (fold->inner + LINE - 1) / LINE;
    for (ptrdiff_t line = start; line < stop; line++) {
        npy_intp outer = line / lines, first = line % lines * LINE;
        npy_intp count = fold->inner - first < LINE ? fold->inner - first : LINE;
        char *into = fold->output + (outer * fold->inner + first) * fold->item;
        char *from = fold->input + (outer * fold->length * fold->inner + first) * fold->item;
        npy_intp taken = fold->initial == NULL;
        if (taken)
            memcpy(into, from, (size_t)(count * fold->item));
        for (npy_intp i = 0; !taken && i < count; i++)
            memcpy(into + i * fold->item, fold->initial, (size_t)fold->item);
        for (npy_intp i = taken; i < fold->length; i++) {
            char *data[3] = {into, from + i * fold->inner * fold->item, into};
            npy_intp steps[3] = {fold->item, fold->item, fold->item}, length = count;
            fold->loop.run(data, &length, steps, fold->loop.data);
        }
    }
}

static bool fold_all(Fold *fold)
{
    npy_intp size = fold->outer * fold->length * fold->inner;
    if (fold->inner > 1) {
        npy_intp lines = fold->outer * ((fold->inner + LINE - 1) / LINE);
        share(fold_lines, fold, lines, 1, BLOCK * lines / size + 1);
    } else if (fold->length < 2 * BLOCK) {
        share(fold_rows, fold, fold->outer, 1, BLOCK / 2 / fold->length + 1);
    } else {
        npy_intp blocks = (fold->length + BLOCK - 1) / BLOCK;
        char *partial = malloc((size_t)(blocks * fold->item));
        if (partial == NULL)
            return false;
        for (npy_intp row = 0; row < fold->outer; row++) {
            Fold one = *fold;
            one.input += row * fold->length * fold->item;
            one.output = partial;
            share(fold_blocks, &one, blocks, 1, 1);
            fold_into(fold, fold->output + row * fold->item, partial, blocks);
        }
        free(partial);
    }
    return true;
}

static void divide(char *output, npy_intp count, bool is_double, npy_intp by)
{
    for (npy_intp i = 0; i < count; i++)
        if (is_double)
            ((double *)output)[i] /= (double)by;
        else
            ((float *)output)[i] /= (float)by;
}

/* Read axes that lie side by side, None for all; fills the fold's extents and the result's shape. -1 where NumPy is to. */
static int read_axes(PyObject *axes, PyArrayObject *array, bool keepdims, Fold *fold, npy_intp *shape)
{
    int dimensions = PyArray_NDIM(array), first = 0, last = dimensions, count = 0;
    if (PyTuple_CheckExact(axes) || PyLong_CheckExact(axes)) {
        Py_ssize_t given = PyTuple_CheckExact(axes) ? PyTuple_GET_SIZE(axes) : 1;
        for (Py_ssize_t k = 0; k < given; k++) {
            PyObject *number = PyTuple_CheckExact(axes) ? PyTuple_GET_ITEM(axes, k) : axes;
            if (!PyLong_CheckExact(number))
                return -1;
            int overflow;
            long axis = PyLong_AsLongAndOverflow(number, &overflow);
            axis += axis < 0 ? dimensions : 0;
            if (overflow || axis < 0 || axis >= dimensions || (k > 0 && axis != last))
                return -1;
            first = k == 0 ? (int)axis : first;
            last = (int)axis + 1;
        }
        if (given == 0)
            return -1;
    } else if (axes != Py_None) {
        return -1;
    }
    fold->outer = fold->length = fold->inner = 1;
    for (int i = 0; i < dimensions; i++) {
        npy_intp extent = PyArray_DIM(array, i);
        bool is_folded = i >= first && i < last;
        *(i < first ? &fold->outer : is_folded ? &fold->length : &fold->inner) *= extent;
        if (keepdims || !is_folded)
            shape[count++] = is_folded ? 1 : extent;
    }
    return count;
}

/* (x, *, axis, keepdims) */
static PyObject *call_reduction(PyObject *object, PyObject *const *args, size_t flagged, PyObject *names)
{
    const SharedReduction *self = (const SharedReduction *)object;
    Fold fold;
    npy_intp shape[NPY_MAXDIMS];
    int place, dimensions = -1;
    PyArrayObject *array = NULL;
    if (PyVectorcall_NARGS(flagged) == 1 && names != NULL && PyTuple_GET_SIZE(names) == 2
        && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "axis") == 0
        && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 1), "keepdims") == 0
        && PyBool_Check(args[2]) && (array = readable(args[0], self->base.loops, &place)) != NULL)
        dimensions = read_axes(args[1], array, args[2] == Py_True, &fold, shape);
    npy_intp size = array == NULL ? 0 : PyArray_SIZE(array);
    if (dimensions < 0 || size == 0 || (fold.inner > 1 && fold.inner < SHORTEST_ROW))
        return PyObject_Vectorcall(self->base.fallback, args, flagged, names);
    PyObject *output = new_array(dimensions, shape, PyArray_TYPE(array));
    if (output == NULL)
        return NULL;
    float narrow = (float)self->initial;
    fold.initial = !self->has_initial ? NULL : place == 0 ? (const void *)&narrow : &self->initial;
    fold.is_float_sum = self->is_sum && place == 0;
    fold.loop = self->base.loops[place];
    fold.item = PyArray_ITEMSIZE(array);
    fold.input = PyArray_DATA(array);
    fold.output = PyArray_DATA((PyArrayObject *)output);
    PyThreadState *others = size < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    bool is_done = fold_all(&fold);
    if (self->is_mean && is_done)
        divide(fold.output, fold.outer * fold.inner, place == 1, fold.length);
    if (others != NULL)
        PyEval_RestoreThread(others);
    if (!is_done) {
        Py_DECREF(output);
        return PyErr_NoMemory();
    }
    return output;
}

static PyObject *make_reduction(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"ufunc", "fallback", "is_mean", NULL};
    PyObject *ufunc, *fallback;
    int is_mean = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O|p", names, &PyUFunc_Type, &ufunc, &fallback, &is_mean))
        return NULL;
    PyUFuncObject *known = (PyUFuncObject *)ufunc;
    if (known->nin != 2 || known->nout != 1 || known->core_enabled)
        return PyErr_Format(PyExc_ValueError, "expected a ufunc of two arrays, met %R", ufunc);
    PyObject *identity = PyObject_GetAttrString(ufunc, "identity");
    double start = identity == NULL || identity == Py_None ? 0.0 : PyFloat_AsDouble(identity);
    SharedReduction *self = PyErr_Occurred() ? NULL : (SharedReduction *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(identity);
        return NULL;
    }
    self->base.vectorcall = call_reduction;
    self->base.fallback = Py_NewRef(fallback);
    self->is_mean = is_mean;
    self->is_sum = strcmp(known->name, "add") == 0;
    self->has_initial = identity != Py_None;
    self->initial = start;
    Py_DECREF(identity);
    find_loops(known, self->base.loops);
    for (int place = 0; place < 2; place++) /* what compares cannot go on with its own result */
        if (place_of_type(self->base.loops[place].output) != place)
            self->base.loops[place].run = NULL;
    return (PyObject *)self;
}

TYPE(SharedReduction, make_reduction,
     "SharedReduction(ufunc, fallback, is_mean=False)\n--\n\nThe reduction of a ufunc, as (x, *, axis, keepdims), which threads "
     "share; the fallback does what is not contiguous.")

/* Products of matrices */

typedef struct {
    Base base;
    bool is_transposed[2]; /* of which operand the transposed matrix is meant */
} Product;

/* A product of stacks of matrices of equal number; `steps` as NumPy's loop of matmul takes them. */
typedef struct {
    Loop loop;
    char *data[3];
    npy_intp dimensions[4], steps[9];
} Stack;

static void multiply(const void *context, ptrdiff_t start, ptrdiff_t stop)
{
    const Stack *stack = context;
    char *data[3];
    npy_intp dimensions[4];
    memcpy(dimensions, stack->dimensions, sizeof dimensions);
    dimensions[0] = stop - start;
    for (int k = 0; k < 3; k++)
        data[k] = stack->data[k] + start * stack->steps[k];
    stack->loop.run(data, dimensions, stack->steps, stack->loop.data);
}

/* An operand's rows, columns and their steps; its stack advances by one step, or it has none. False for any other. */
static bool read_stack(PyArrayObject *array, bool is_transposed, npy_intp extents[2], npy_intp steps[2], npy_intp *leap)
{
    int last = PyArray_NDIM(array) - 1;
    if (last < 1 || !PyArray_ISALIGNED(array) || !PyArray_ISNOTSWAPPED(array))
        return false;
    for (int k = 0; k < 2; k++) {
        int axis = last - 1 + (k ^ is_transposed);
        extents[k] = PyArray_DIM(array, axis);
        steps[k] = PyArray_STRIDE(array, axis);
    }
    npy_intp next = last > 1 ? PyArray_STRIDE(array, last - 2) : 0;
    *leap = next;
    for (int axis = last - 2; axis >= 0; axis--) {
        if (PyArray_STRIDE(array, axis) != next)
            return false;
        next *= PyArray_DIM(array, axis);
    }
    return true;
}

static PyObject *call_product(PyObject *object, PyObject *const *args, size_t flagged, PyObject *names)
{
    const Product *self = (const Product *)object;
    if (names != NULL || PyVectorcall_NARGS(flagged) != 2 || !PyArray_CheckExact(args[0]) || !PyArray_CheckExact(args[1]))
        return PyObject_Vectorcall(self->base.fallback, args, flagged, names);
    PyArrayObject *operands[2] = {(PyArrayObject *)args[0], (PyArrayObject *)args[1]};
    int place = place_of_type(PyArray_TYPE(operands[0])), dimensions = PyArray_NDIM(operands[0]);
    npy_intp extents[2][2], shape[NPY_MAXDIMS], count = 1;
    Stack stack;
    if (place < 0 || PyArray_TYPE(operands[1]) != PyArray_TYPE(operands[0]) || PyArray_NDIM(operands[1]) != dimensions
        || !read_stack(operands[0], self->is_transposed[0], extents[0], &stack.steps[3], &stack.steps[0])
        || !read_stack(operands[1], self->is_transposed[1], extents[1], &stack.steps[5], &stack.steps[1])
        || extents[0][1] != extents[1][0]
        || !PyArray_CompareLists(PyArray_DIMS(operands[0]), PyArray_DIMS(operands[1]), dimensions - 2))
        return PyObject_Vectorcall(self->base.fallback, args, flagged, names);
    for (int axis = 0; axis < dimensions - 2; axis++)
        count *= shape[axis] = PyArray_DIM(operands[0], axis);
    npy_intp rows = shape[dimensions - 2] = extents[0][0], columns = shape[dimensions - 1] = extents[1][1];
    PyObject *output = new_array(dimensions, shape, PyArray_TYPE(operands[0]));
    if (output == NULL || count * rows * columns == 0)
        return output;
    npy_intp item = PyArray_ITEMSIZE(operands[0]), length = extents[0][1];
    stack.loop = self->base.loops[place];
    memcpy(stack.dimensions, (npy_intp[]){count, rows, length, columns}, sizeof stack.dimensions);
    stack.steps[2] = rows * columns * item;
    stack.steps[7] = columns * item;
    stack.steps[8] = item;
    for (int k = 0; k < 2; k++)
        stack.data[k] = PyArray_DATA(operands[k]);
    stack.data[2] = PyArray_DATA((PyArrayObject *)output);
    double work = (double)count * (double)rows * (double)columns * (double)(length + 1);
    PyThreadState *others = work < LEAST_PRODUCT ? NULL : PyEval_SaveThread();
    multiply(&stack, 0, count);
    if (others != NULL)
        PyEval_RestoreThread(others);
    return output;
}

static PyObject *make_product(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"ufunc", "fallback", "first_transposed", "second_transposed", NULL};
    PyObject *ufunc, *fallback;
    int first = 0, second = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O|pp", names, &PyUFunc_Type, &ufunc, &fallback, &first, &second))
        return NULL;
    PyUFuncObject *known = (PyUFuncObject *)ufunc;
    if (known->nin != 2 || known->nout != 1 || strcmp(known->name, "matmul") != 0)
        return PyErr_Format(PyExc_ValueError, "expected matmul, met %R", ufunc);
    Product *self = (Product *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->base.vectorcall = call_product;
    self->base.fallback = Py_NewRef(fallback);
    self->is_transposed[0] = first;
    self->is_transposed[1] = second;
    find_loops(known, self->base.loops);
    if (self->base.loops[0].run == NULL || self->base.loops[1].run == NULL) {
        Py_DECREF(self);
        return PyErr_Format(PyExc_ValueError, "this NumPy's matmul has no loops for float and double");
    }
    return (PyObject *)self;
}

TYPE(Product, make_product,
     "Product(ufunc, fallback, first_transposed=False, second_transposed=False)\n--\n\nmatmul by a short way in, of transposed "
     "matrices too; the fallback does what broadcasts, vectors, and other dtypes.")
