/* One call for the step of all parameters of an optimizer's group: `_Steps` in the kernels' module. */
#include "slots.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NO_IMPORT_ARRAY
#define PY_ARRAY_UNIQUE_SYMBOL rustorch_simd_array_api
#include <numpy/arrayobject.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "module.h"
#include "threads.h"

/* Below this many elements, letting other threads run costs more than the step. */
enum { KEEP_GIL_BELOW = 16384 };

/* What a thread takes at least, and what its pieces begin at multiples of. */
enum { LEAST_FOR_A_THREAD = 16384, UNIT = 64, LEAST_FOR_A_HEAD = 4096, CACHE_LINE = 64 };

typedef struct {
    PyObject_HEAD
    PyObject *parameters, *states; /* a tuple of tensors, and for each a tuple of the tensors of its state */
    PyObject *before_write;
    PyTypeObject *tensor, *family, *buffer;
    Py_ssize_t of_array, of_grad, of_place, of_saved, of_buffer, of_saved_values;
    long long *taken; /* how many steps each parameter has taken */
    size_t step;      /* which, by its offset in Kernels */
    size_t measure;   /* what measures value and change before it, or 0 */
} Steps;

static const struct { const char *name; size_t offset; Py_ssize_t states; } names[] = {
#define NAME(name, states) {#name, offsetof(Kernels, step_##name), states},
    STEPS(NAME)
#undef NAME
};

/* The array of a tensor, as far as a step can work on it; NULL without an error for any other. */
static PyArrayObject *array_of(const Steps *self, PyObject *tensor, bool is_written)
{
    if (!PyObject_TypeCheck(tensor, self->tensor))
        return NULL;
    PyObject *array = SLOT(tensor, self->of_array);
    if (array == NULL || !PyArray_CheckExact(array))
        return NULL;
    int type = PyArray_TYPE((PyArrayObject *)array);
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || !PyArray_ISBEHAVED_RO((PyArrayObject *)array))
        return NULL;
    if (is_written && (!PyArray_ISWRITEABLE((PyArrayObject *)array) || !PyArray_IS_C_CONTIGUOUS((PyArrayObject *)array)))
        return NULL;
    return (PyArrayObject *)array;
}

static bool is_alive(PyObject *reference)
{
    return PyWeakref_CheckRef(reference) && PyWeakref_GetObject(reference) != Py_None;
}

/* Whether the graph may have saved what is about to be written, or somebody's view of it. */
static bool may_be_saved(const Steps *self, PyObject *tensor)
{
    PyObject *saved = SLOT(tensor, self->of_saved), *place = SLOT(tensor, self->of_place);
    if (saved == NULL || place == NULL || is_alive(saved))
        return true;
    if (place == Py_None)
        return false;
    PyObject *family = PyTuple_CheckExact(place) && PyTuple_GET_SIZE(place) ? PyTuple_GET_ITEM(place, 0) : NULL;
    if (family == NULL || !Py_IS_TYPE(family, self->family))
        return true;
    PyObject *buffer = SLOT(family, self->of_buffer);
    PyObject *values = buffer != NULL && Py_IS_TYPE(buffer, self->buffer) ? SLOT(buffer, self->of_saved_values) : NULL;
    if (values == NULL || !PyList_Check(values))
        return true;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(values); i++)
        if (is_alive(PyList_GET_ITEM(values, i)))
            return true;
    return false;
}

/* A step, what it changes, and how many elements lie before the value's first cache line begins. */
typedef struct {
    Step *step;
    StepWork work;
    size_t element;
    ptrdiff_t head;
} Job;

static void take_between(const Job *job, ptrdiff_t start, ptrdiff_t stop)
{
    StepWork part = job->work;
    size_t offset = (size_t)start * job->element;
    part.value = (char *)part.value + offset;
    part.gradient = (const char *)part.gradient + offset;
    for (int k = 0; k < MOST_STATES; k++)
        part.state[k] = part.state[k] == NULL ? NULL : (char *)part.state[k] + offset;
    part.length = stop - start;
    if (part.sums != NULL)
        part.sums += start / SUMMED * 2;
    job->step(&part);
}

/* NumPy's large arrays begin 16 bytes after a cache line, where wide registers are half as fast. */
static void take_part(const void *context, ptrdiff_t start, ptrdiff_t stop)
{
    const Job *job = context;
    ptrdiff_t length = job->work.length, head = job->head;
    ptrdiff_t first = start > 0 ? start + head : 0, last = stop + head < length && stop < length ? stop + head : length;
    if (first == 0 && head > 0 && head < last)
        take_between(job, 0, first = head);
    if (first < last)
        take_between(job, first, last);
}

/* Take a step whose rate depends on the length of the value and of its change: measure both, then change. */
static bool take_measured(Job *job, Step *measure)
{
    ptrdiff_t blocks = (job->work.length + SUMMED - 1) / SUMMED;
    Job measured = *job;
    double sums[2] = {0.0, 0.0}, few[16], numbers[MOST_NUMBERS];
    double *all = blocks <= 8 ? few : malloc((size_t)blocks * 2 * sizeof *all);
    if (all == NULL)
        return false;
    measured.work.sums = all;
    measured.step = measure;
    measured.head = 0;
    share(take_part, &measured, job->work.length, SUMMED, LEAST_FOR_A_THREAD);
    for (ptrdiff_t i = 0; i < blocks; i++) {
        sums[0] += all[2 * i];
        sums[1] += all[2 * i + 1];
    }
    if (all != few)
        free(all);
    memcpy(numbers, job->work.numbers, sizeof numbers);
    numbers[RATE] *= sums[0] == 0.0 || sums[1] == 0.0 ? 1.0 : sqrt(sums[0]) / sqrt(sums[1]);
    job->work.numbers = numbers;
    share(take_part, job, job->work.length, UNIT, LEAST_FOR_A_THREAD);
    return true;
}

static Step *step_at(size_t offset, PyArrayObject *value)
{
    return ((Step *const *)((const char *)chosen->kernels + offset))[PyArray_TYPE(value) == NPY_DOUBLE];
}

/* Change one parameter: 1 when done, 0 when it is left to others, -1 with an error set. */
static int change(const Steps *self, Py_ssize_t i, PyObject *gradient, const double *numbers)
{
    PyObject *parameter = PyTuple_GET_ITEM(self->parameters, i), *parts = PyTuple_GET_ITEM(self->states, i);
    if (array_of(self, parameter, true) != NULL && may_be_saved(self, parameter)) {
        PyObject *done = PyObject_CallOneArg(self->before_write, parameter);
        if (done == NULL)
            return -1;
        Py_DECREF(done);
    }
    PyArrayObject *value = array_of(self, parameter, true), *slope = array_of(self, gradient, false);
    if (value == NULL || slope == NULL || !PyArray_SAMESHAPE(value, slope) || PyArray_TYPE(value) != PyArray_TYPE(slope))
        return 0;
    PyArrayObject *held[MOST_STATES + 1] = {value};
    Job job = {.work = {.value = PyArray_DATA(value), .numbers = numbers}, .element = (size_t)PyArray_ITEMSIZE(value)};
    npy_intp length = job.work.length = PyArray_SIZE(value);
    if (length >= LEAST_FOR_A_HEAD)
        job.head = (ptrdiff_t)(-(uintptr_t)job.work.value % CACHE_LINE / job.element);
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(parts); k++) {
        PyArrayObject *part = array_of(self, PyTuple_GET_ITEM(parts, k), true);
        if (part == NULL || PyArray_TYPE(part) != PyArray_TYPE(value) || PyArray_SIZE(part) != length)
            return 0;
        job.work.state[k] = PyArray_DATA(part);
        held[k + 1] = part;
    }
    PyArrayObject *contiguous = (PyArrayObject *)PyArray_GETCONTIGUOUS(slope);
    if (contiguous == NULL)
        return -1;
    job.work.gradient = PyArray_DATA(contiguous);
    job.step = step_at(self->step, value);
    Step *measure = self->measure > 0 ? step_at(self->measure, value) : NULL;
    PyThreadState *others = NULL;
    if (length >= KEEP_GIL_BELOW) {
        for (int k = 0; k <= MOST_STATES; k++)
            Py_XINCREF(held[k]);
        others = PyEval_SaveThread();
    }
    bool is_done = measure == NULL || take_measured(&job, measure);
    if (measure == NULL)
        share(take_part, &job, length, UNIT, LEAST_FOR_A_THREAD);
    if (others != NULL) {
        PyEval_RestoreThread(others);
        for (int k = 0; k <= MOST_STATES; k++)
            Py_XDECREF(held[k]);
    }
    Py_DECREF(contiguous);
    if (!is_done)
        PyErr_NoMemory();
    return is_done ? 1 : -1;
}

static PyObject *run(PyObject *object, PyObject *args)
{
    Steps *self = (Steps *)object;
    long long step;
    PyObject *given, *among = NULL;
    double numbers[MOST_NUMBERS] = {0};
    if (!PyArg_ParseTuple(args, "LO!|O!", &step, &PyTuple_Type, &given, &PyList_Type, &among))
        return NULL;
    if (PyTuple_GET_SIZE(given) > MOST_NUMBERS)
        return PyErr_Format(PyExc_ValueError, "expected at most %d numbers", MOST_NUMBERS);
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(given); k++)
        numbers[k] = PyFloat_AsDouble(PyTuple_GET_ITEM(given, k));
    if (PyErr_Occurred())
        return NULL;
    PyObject *left = PyList_New(0);
    for (Py_ssize_t k = 0; left != NULL && k < (among ? PyList_GET_SIZE(among) : PyTuple_GET_SIZE(self->parameters)); k++) {
        Py_ssize_t i = among ? PyLong_AsSsize_t(PyList_GET_ITEM(among, k)) : k;
        if (i < 0 || i >= PyTuple_GET_SIZE(self->parameters)) {
            Py_DECREF(left);
            return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_IndexError, "there is no parameter %zd", i);
        }
        PyObject *gradient = SLOT(PyTuple_GET_ITEM(self->parameters, i), self->of_grad);
        if (gradient == NULL || gradient == Py_None)
            continue;
        int done = 0;
        if (self->taken[i] + 1 == step) {
            Py_INCREF(gradient);
            done = change(self, i, gradient, numbers);
            Py_DECREF(gradient);
            self->taken[i] += done > 0;
        }
        if (done == 0) {
            PyObject *number = PyLong_FromSsize_t(i);
            done = number == NULL ? -1 : PyList_Append(left, number);
            Py_XDECREF(number);
        }
        if (done < 0)
            Py_CLEAR(left);
    }
    return left;
}

static PyObject *taken(PyObject *object, PyObject *Py_UNUSED(nothing))
{
    Steps *self = (Steps *)object;
    PyObject *counts = PyList_New(PyTuple_GET_SIZE(self->parameters));
    for (Py_ssize_t i = 0; counts != NULL && i < PyList_GET_SIZE(counts); i++) {
        PyObject *count = PyLong_FromLongLong(self->taken[i]);
        if (count == NULL)
            Py_CLEAR(counts);
        else
            PyList_SET_ITEM(counts, i, count);
    }
    return counts;
}

/* Every tuple of tensors, and each of its parts; with an error set for anything else. */
static bool are_tensors(const Steps *self, PyObject *tuple)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++)
        if (!PyObject_TypeCheck(PyTuple_GET_ITEM(tuple, i), self->tensor)) {
            PyErr_Format(PyExc_TypeError, "expected a tensor, met %R", Py_TYPE(PyTuple_GET_ITEM(tuple, i)));
            return false;
        }
    return true;
}

static bool read_arguments(Steps *self, const char *name, PyObject *counts)
{
    Py_ssize_t count = PyTuple_GET_SIZE(self->parameters);
    Py_ssize_t expected = -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) {
            self->step = names[i].offset;
            expected = names[i].states;
        }
#define FIND(measured) self->measure = strcmp(name, #measured) == 0 ? offsetof(Kernels, measure_##measured) : self->measure;
    MEASURES(FIND)
#undef FIND
    if (expected < 0) {
        PyErr_Format(PyExc_ValueError, "there is no step %s", name);
        return false;
    }
    if (PyTuple_GET_SIZE(self->states) != count || PyTuple_GET_SIZE(counts) != count) {
        PyErr_SetString(PyExc_ValueError, "expected a state and a number of steps for each parameter");
        return false;
    }
    if (!are_tensors(self, self->parameters) || (self->taken = PyMem_Calloc((size_t)count + 1, sizeof *self->taken)) == NULL)
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *parts = PyTuple_GET_ITEM(self->states, i);
        if (!PyTuple_Check(parts) || PyTuple_GET_SIZE(parts) != expected) {
            PyErr_Format(PyExc_TypeError, "expected a tuple of %zd tensors for each state of %s", expected, name);
            return false;
        }
        self->taken[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(counts, i));
        if (PyErr_Occurred() || !are_tensors(self, parts))
            return false;
    }
    return true;
}

static bool read_classes(Steps *self, PyObject *core)
{
    const struct { const char *name; PyTypeObject **place; } classes[] = {
        {"tensor", &self->tensor}, {"family", &self->family}, {"buffer", &self->buffer},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        *classes[i].place = (PyTypeObject *)PyObject_GetAttrString(core, classes[i].name);
        if (*classes[i].place == NULL)
            return false;
        if (!PyType_Check(*classes[i].place)) {
            PyErr_Format(PyExc_TypeError, "core's %s is no class", classes[i].name);
            return false;
        }
    }
    self->before_write = PyObject_GetAttrString(core, "before_write");
    return self->before_write != NULL && find_slot((PyObject *)self->tensor, "_array", &self->of_array)
        && find_slot((PyObject *)self->tensor, "_grad", &self->of_grad)
        && find_slot((PyObject *)self->tensor, "_place", &self->of_place)
        && find_slot((PyObject *)self->tensor, "_saved", &self->of_saved)
        && find_slot((PyObject *)self->family, "buffer", &self->of_buffer)
        && find_slot((PyObject *)self->buffer, "saved", &self->of_saved_values);
}

static PyObject *make_steps(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *keyword_names[] = {"core", "name", "parameters", "states", "taken", NULL};
    PyObject *core, *parameters, *states, *counts;
    const char *name;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OsO!O!O!", keyword_names, &core, &name, &PyTuple_Type, &parameters,
                                     &PyTuple_Type, &states, &PyTuple_Type, &counts))
        return NULL;
    Steps *self = (Steps *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->parameters = Py_NewRef(parameters);
    self->states = Py_NewRef(states);
    if (!read_classes(self, core) || !read_arguments(self, name, counts))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int traverse_steps(PyObject *object, visitproc visit, void *arg)
{
    Steps *self = (Steps *)object;
    Py_VISIT(self->parameters);
    Py_VISIT(self->states);
    Py_VISIT(self->before_write);
    Py_VISIT(self->tensor);
    Py_VISIT(self->family);
    Py_VISIT(self->buffer);
    return 0;
}

static int clear_steps(PyObject *object)
{
    Steps *self = (Steps *)object;
    Py_CLEAR(self->parameters);
    Py_CLEAR(self->states);
    Py_CLEAR(self->before_write);
    Py_CLEAR(self->tensor);
    Py_CLEAR(self->family);
    Py_CLEAR(self->buffer);
    return 0;
}

static void dealloc_steps(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    clear_steps(object);
    PyMem_Free(((Steps *)object)->taken);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS,
     "run(step, numbers, among=None, /)\n--\n\nTake one step with every parameter, or those at some places, that has a gradient "
     "and has taken step - 1; returns the places of the others that have one."},
    {"taken", taken, METH_NOARGS, "taken()\n--\n\nHow many steps each parameter has taken."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject StepsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "rustorch_simd._kernels._Steps",
    .tp_doc = "_Steps(core, name, parameters, states, taken)\n--\n\nOne call for the steps of many parameters.",
    .tp_basicsize = sizeof(Steps),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = make_steps,
    .tp_methods = methods,
    .tp_traverse = traverse_steps,
    .tp_clear = clear_steps,
    .tp_dealloc = dealloc_steps,
};
