/* The Python face of the kernels: arrays in, a new array out, or NotImplemented for a call that no kernel is for. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL rustorch_simd_array_api
#include <numpy/arrayobject.h>
#define PY_UFUNC_UNIQUE_SYMBOL rustorch_simd_ufunc_api
#include <numpy/ufuncobject.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "module.h"
#include "threads.h"

const Target *chosen;

/* Below this many elements, letting other threads run costs more than the kernel; a thread takes at least so many, in
 * pieces that begin at multiples of UNIT. */
enum { KEEP_GIL_BELOW = 4096, LEAST_FOR_A_THREAD = 8192, UNIT = 64 };

typedef enum { NO_ATTRIBUTE, APPROXIMATE, AXIS, EPS } Attribute;
static const char *const attribute_names[] = {"", "approximate", "axis", "eps"};

/* One function of the module. `tanh_kernel` runs for approximate="tanh"; both are offsets in Kernels. */
typedef struct {
    const char *name;
    int arrays, full; /* so many of the arrays, the first ones, have the shape of the output */
    Attribute attribute;
    size_t kernel, tanh_kernel;
} Function;

/* The attribute's value, NULL when it is absent; false for any other keyword. */
static bool find_attribute(const Function *function, PyObject *const *values, PyObject *names, PyObject **value)
{
    *value = NULL;
    if (names == NULL || PyTuple_GET_SIZE(names) == 0)
        return true;
    const char *expected = attribute_names[function->attribute];
    if (PyTuple_GET_SIZE(names) > 1 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), expected) != 0)
        return false;
    *value = values[0];
    return true;
}

/* Read the attribute into the kernel to run and its `eps`; false declines. */
static bool read_attribute(const Function *function, PyObject *value, int dimensions, size_t *kernel, float *eps)
{
    *kernel = function->kernel;
    switch (function->attribute) {
    case NO_ATTRIBUTE:
        return true;
    case APPROXIMATE:
        if (value == NULL)
            return true;
        if (!PyUnicode_Check(value))
            return false;
        if (PyUnicode_CompareWithASCIIString(value, "tanh") == 0)
            *kernel = function->tanh_kernel;
        else if (PyUnicode_CompareWithASCIIString(value, "none") != 0)
            return false;
        return true;
    case AXIS:
        if (dimensions == 0 || (value != NULL && !PyLong_CheckExact(value)))
            return false;
        int overflow = 0;
        long axis = value == NULL ? -1 : PyLong_AsLongAndOverflow(value, &overflow);
        return !overflow && (axis == -1 || axis == dimensions - 1);
    case EPS:
        if (dimensions == 0 || value == NULL || !PyFloat_Check(value))
            return false;
        *eps = (float)PyFloat_AS_DOUBLE(value);
        return true;
    }
    return false;
}

static bool is_float32(PyObject *object)
{
    return PyArray_CheckExact(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_FLOAT32 &&
           PyArray_ISNOTSWAPPED((PyArrayObject *)object);
}

/* All inputs have the first one's shape; weight and bias of a norm that of its last axis. */
static bool shapes_fit(const Function *function, PyObject *const *arrays)
{
    PyArrayObject *first = (PyArrayObject *)arrays[0];
    for (int i = 1; i < function->arrays; i++) {
        PyArrayObject *array = (PyArrayObject *)arrays[i];
        int skipped = i < function->full ? 0 : PyArray_NDIM(first) - 1;
        if (PyArray_NDIM(array) != PyArray_NDIM(first) - skipped ||
            !PyArray_CompareLists(PyArray_DIMS(array), PyArray_DIMS(first) + skipped, PyArray_NDIM(array)))
            return false;
    }
    return true;
}

/* A kernel and all that it works on; threads share the rows, or the elements of the only one. */
typedef struct {
    Kernel *kernel;
    Work work;
    bool by_rows;
    int split; /* so many inputs are as long as the output; the others are the same for all rows */
} Job;

static void run_part(const void *context, ptrdiff_t start, ptrdiff_t stop)
{
    const Job *job = context;
    Work part = job->work;
    ptrdiff_t before = start;
    if (job->by_rows) {
        part.rows = stop - start;
        before *= part.length;
    } else {
        part.length = stop - start;
    }
    part.output += before;
    for (int i = 0; i < job->split; i++)
        part.input[i] += before;
    job->kernel(&part);
}

/* Run the kernel on `inputs`, contiguous, into a new array of the first one's shape. */
static PyObject *run(Job *job, PyArrayObject *const *inputs, int count)
{
    Work *work = &job->work;
    PyObject *output = new_array(PyArray_NDIM(inputs[0]), PyArray_DIMS(inputs[0]), NPY_FLOAT32);
    if (output == NULL)
        return NULL;
    npy_intp size = PyArray_SIZE(inputs[0]);
    if (size == 0)
        return output;
    for (int i = 0; i < count; i++)
        work->input[i] = PyArray_DATA(inputs[i]);
    work->output = PyArray_DATA((PyArrayObject *)output);
    work->length = job->by_rows ? PyArray_DIM(inputs[0], PyArray_NDIM(inputs[0]) - 1) : size;
    work->rows = size / work->length;
    PyThreadState *state = size < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    if (job->by_rows)
        share(run_part, job, work->rows, 1, LEAST_FOR_A_THREAD / work->length + 1);
    else
        share(run_part, job, size, UNIT, LEAST_FOR_A_THREAD);
    if (state != NULL)
        PyEval_RestoreThread(state);
    return output;
}

/* Copies of what is strided or misaligned, new references to the rest; the result of the kernel on them. */
static PyObject *run_on_contiguous(Job *job, PyObject *const *arrays, int count)
{
    PyArrayObject *inputs[MOST_INPUTS];
    PyObject *output = NULL;
    int ready = 0;
    for (; ready < count; ready++) {
        inputs[ready] = (PyArrayObject *)PyArray_FromArray((PyArrayObject *)arrays[ready], NULL,
                                                           NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED);
        if (inputs[ready] == NULL)
            break;
    }
    if (ready == count)
        output = run(job, inputs, count);
    while (ready > 0)
        Py_DECREF(inputs[--ready]);
    return output;
}

static PyObject *call(const Function *function, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    if (count != function->arrays)
        return PyErr_Format(PyExc_TypeError, "%s() takes %d array%s by position, and %zd were given", function->name,
                            function->arrays, function->arrays == 1 ? "" : "s", count);
    for (int i = 0; i < function->arrays; i++)
        if (!is_float32(arguments[i]))
            Py_RETURN_NOTIMPLEMENTED;
    PyObject *value;
    size_t offset;
    Job job = {.by_rows = function->attribute == AXIS || function->attribute == EPS,
               .split = function->full};
    if (!find_attribute(function, arguments + count, names, &value) ||
        !read_attribute(function, value, PyArray_NDIM((PyArrayObject *)arguments[0]), &offset, &job.work.eps) ||
        !shapes_fit(function, arguments))
        Py_RETURN_NOTIMPLEMENTED;
    job.kernel = *(Kernel *const *)((const char *)chosen->kernels + offset);
    return run_on_contiguous(&job, arguments, function->arrays);
}

/* name, arrays, those of full shape, attribute, kernel, kernel for approximate="tanh", signature, meaning */
#define FUNCTIONS(FUNCTION)                                                                                        \
    FUNCTION(erf, 1, 1, NO_ATTRIBUTE, erf, erf, "(x, /)", "The error function.")                                   \
    FUNCTION(exp, 1, 1, NO_ATTRIBUTE, exp, exp, "(x, /)", "e to the power x.")                                     \
    FUNCTION(gelu, 1, 1, APPROXIMATE, gelu, gelu_tanh, "(x, /, *, approximate='none')",                            \
             "x times the normal distribution function of x.")                                                     \
    FUNCTION(gelu_gradient, 2, 2, APPROXIMATE, gelu_gradient, gelu_tanh_gradient,                                  \
             "(g, x, /, *, approximate='none')", "g times the derivative of gelu at x.")                           \
    FUNCTION(layer_norm, 3, 1, EPS, layer_norm, layer_norm, "(x, weight, bias, /, *, eps)",                        \
             "weight times x over the last axis, centred and scaled to unit variance, plus bias.")                 \
    FUNCTION(layer_norm_gradient, 3, 2, EPS, layer_norm_gradient, layer_norm_gradient, "(g, x, weight, /, *, eps)",\
             "The gradient of layer_norm with respect to x.")                                                      \
    FUNCTION(log_softmax, 1, 1, AXIS, log_softmax, log_softmax, "(x, /, *, axis=-1)", "The logarithm of softmax.") \
    FUNCTION(log_softmax_gradient, 2, 2, AXIS, log_softmax_gradient, log_softmax_gradient, "(g, y, /, *, axis=-1)",\
             "The gradient of log_softmax, given its result y.")                                                   \
    FUNCTION(relu, 1, 1, NO_ATTRIBUTE, relu, relu, "(x, /)", "The larger of x and 0.")                             \
    FUNCTION(relu_gradient, 2, 2, NO_ATTRIBUTE, relu_gradient, relu_gradient, "(g, y, /)",                         \
             "g where y, the result of relu, is positive.")                                                        \
    FUNCTION(rms_norm, 2, 1, EPS, rms_norm, rms_norm, "(x, weight, /, *, eps)",                                    \
             "weight times x over the last axis, divided by the root of its mean square.")                         \
    FUNCTION(rms_norm_gradient, 3, 2, EPS, rms_norm_gradient, rms_norm_gradient, "(g, x, weight, /, *, eps)",      \
             "The gradient of rms_norm with respect to x.")                                                        \
    FUNCTION(sigmoid, 1, 1, NO_ATTRIBUTE, sigmoid, sigmoid, "(x, /)", "1 / (1 + exp(-x)).")                        \
    FUNCTION(silu, 1, 1, NO_ATTRIBUTE, silu, silu, "(x, /)", "x * sigmoid(x).")                                    \
    FUNCTION(silu_gradient, 2, 2, NO_ATTRIBUTE, silu_gradient, silu_gradient, "(g, x, /)",                         \
             "g times the derivative of silu at x.")                                                               \
    FUNCTION(softmax, 1, 1, AXIS, softmax, softmax, "(x, /, *, axis=-1)", "exp(x) divided by its sum over the axis.")\
    FUNCTION(softmax_gradient, 2, 2, AXIS, softmax_gradient, softmax_gradient, "(g, y, /, *, axis=-1)",            \
             "The gradient of softmax, given its result y.")

#define DEFINE(name, arrays, full, attribute, kernel, tanh_kernel, signature, meaning)                                   \
    static PyObject *python_##name(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count,      \
                                   PyObject *names)                                                                \
    {                                                                                                              \
        static const Function function = {#name, arrays, full, attribute, offsetof(Kernels, kernel),                     \
                                          offsetof(Kernels, tanh_kernel)};                                         \
        return call(&function, arguments, count, names);                                                           \
    }
FUNCTIONS(DEFINE)

/* The names of the targets that this machine can run, best first. */
static PyObject *python_targets(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(nothing))
{
    PyObject *names = PyList_New(0);
    for (const Target *target = all_targets; names != NULL && target->name != NULL; target++) {
        if (!target->can_run())
            continue;
        PyObject *name = PyUnicode_FromString(target->name);
        if (name == NULL || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyObject *python_target(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(nothing))
{
    return PyUnicode_FromString(chosen->name);
}

/* Choose the target called `name`, the best one for NULL; raise `error` when that cannot be. */
static bool choose(const char *name, PyObject *error)
{
    const Target *target = choose_target(name);
    if (target != NULL) {
        chosen = target;
        return true;
    }
    PyObject *runnable = python_targets(NULL, NULL);
    if (runnable != NULL)
        PyErr_Format(error, "no target '%s' of rustorch_simd runs here; this machine runs %R: set RUSTORCH_SIMD to one "
                     "of them, or unset it to use the best", name, runnable);
    Py_XDECREF(runnable);
    return false;
}

static PyObject *python_select(PyObject *Py_UNUSED(module), PyObject *name)
{
    const char *text = PyUnicode_AsUTF8(name);
    if (text == NULL || !choose(text, PyExc_ValueError))
        return NULL;
    Py_RETURN_NONE;
}

#define METHOD(name, arrays, full, attribute, kernel, tanh_kernel, signature, meaning)                                   \
    {#name, (PyCFunction)(void (*)(void))python_##name, METH_FASTCALL | METH_KEYWORDS,                             \
     #name signature "\n--\n\n" meaning},
static PyObject *python_get_num_threads(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(nothing))
{
    return PyLong_FromLong(get_threads());
}

static PyObject *python_set_num_threads(PyObject *Py_UNUSED(module), PyObject *count)
{
    long wanted = PyLong_AsLong(count);
    if (wanted == -1 && PyErr_Occurred())
        return NULL;
    if (wanted < 0)
        return PyErr_Format(PyExc_ValueError, "expected at least 0 threads, met %ld", wanted);
    set_threads(wanted > MOST_THREADS ? MOST_THREADS : (int)wanted);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    FUNCTIONS(METHOD)
    {"targets", python_targets, METH_NOARGS, "targets()\n--\n\nThe targets that this machine can run, best first."},
    {"target", python_target, METH_NOARGS, "target()\n--\n\nThe target whose kernels are used."},
    {"get_num_threads", python_get_num_threads, METH_NOARGS,
     "get_num_threads()\n--\n\nHow many threads a kernel may use."},
    {"set_num_threads", python_set_num_threads, METH_O,
     "set_num_threads(count, /)\n--\n\nUse at most so many threads; 0 for as many as there are processors."},
    {"_select", python_select, METH_O, "_select(name, /)\n--\n\nUse the kernels of another target; for tests."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    if (PyArray_ImportNumPyAPI() < 0 || PyUFunc_ImportUFuncAPI() < 0)
        return -1;
    PyTypeObject *const types[] = {&StepsType, &MemoryPoolType, &SharedType, &SharedReductionType, &ProductType};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (PyModule_AddType(module, types[i]) < 0)
            return -1;
    if (!make_default_pool() ||
        PyModule_AddObjectRef(module, "default_pool", default_pool) < 0)
        return -1;
    const char *forced = getenv("RUSTORCH_SIMD");
    return choose(forced != NULL && forced[0] != '\0' ? forced : NULL, PyExc_ImportError) ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "rustorch_simd._kernels",
    .m_doc = "Kernels for float32 arrays: a call returns a new array, or NotImplemented when it is not handled.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__kernels(void)
{
    return PyModuleDef_Init(&definition);
}
