/* Core as C sees it: its classes, with the offsets of their slots, its state, and its own forms of what is compiled here.
 *
 * Slots are read at the offsets that the classes state, so no layout is assumed; core's own forms, in Python, say what is
 * to happen, and take every call that the compiled ones leave to them. */
#ifndef RUSTORCH_CORE_H
#define RUSTORCH_CORE_H

#include "../slots.h"
#include <stddef.h>

typedef struct {
    PyObject_HEAD
    PyTypeObject *tensor, *key, *node, *op, *saved;
    PyObject *dispatch, *order, *recording, *vocabulary, *as_kept;
    PyObject *call, *explain, *hooked, *keep, *note_view, *outputs, *record, *run, *save, *unbroadcast;
    struct { Py_ssize_t array, key, node, place, saved; } of_tensor;
    struct { Py_ssize_t array_type, device, is_floating, native_dtype; } of_key;
    struct { Py_ssize_t attributes, hooks, index, key, op, order, parents, receiver, saved, shape; } of_node;
    struct { Py_ssize_t plan; } of_op;
    struct { Py_ssize_t array, key; } of_saved;
} Path;

/* Every object that a path holds: the attributes of core's namespace. */
#define EACH_CLASS(DO) DO(tensor) DO(key) DO(node) DO(op) DO(saved)
#define EACH_OBJECT(DO) \
    DO(dispatch) DO(order) DO(recording) DO(vocabulary) DO(as_kept) DO(call) DO(explain) DO(hooked) DO(keep) DO(note_view) \
    DO(outputs) DO(record) DO(run) DO(save) DO(unbroadcast)

#define SLOT_OF(type, name, field) {offsetof(Path, type), name, offsetof(Path, of_##type.field)}
static const struct { size_t type; const char *name; size_t offset; } slots[] = {
    SLOT_OF(tensor, "_array", array), SLOT_OF(tensor, "_key", key), SLOT_OF(tensor, "_node", node),
    SLOT_OF(tensor, "_place", place), SLOT_OF(tensor, "_saved", saved),
    SLOT_OF(key, "array_type", array_type), SLOT_OF(key, "device", device), SLOT_OF(key, "is_floating", is_floating),
    SLOT_OF(key, "native_dtype", native_dtype),
    SLOT_OF(node, "attributes", attributes), SLOT_OF(node, "hooks", hooks), SLOT_OF(node, "index", index),
    SLOT_OF(node, "key", key), SLOT_OF(node, "op", op), SLOT_OF(node, "order", order), SLOT_OF(node, "parents", parents),
    SLOT_OF(node, "receiver", receiver), SLOT_OF(node, "saved", saved), SLOT_OF(node, "shape", shape),
    SLOT_OF(op, "plan", plan),
    SLOT_OF(saved, "array", array), SLOT_OF(saved, "key", key),
};

/* Interned names, and what every node shares. */
static PyObject *name_dtype, *name_keys, *name_on, *name_shape, *name_watchers, *zero, *no_attributes;

static int prepare_names(void) {
    name_dtype = PyUnicode_InternFromString("dtype");
    name_keys = PyUnicode_InternFromString("keys");
    name_on = PyUnicode_InternFromString("on");
    name_shape = PyUnicode_InternFromString("shape");
    name_watchers = PyUnicode_InternFromString("watchers");
    zero = PyLong_FromLong(0);
    no_attributes = PyDict_New();
    return name_dtype && name_keys && name_on && name_shape && name_watchers && zero && no_attributes;
}

/* Take what a path is made of from core's namespace; whether it is what it should be. */
static int read_core(Path *self, PyObject *core) {
#define TAKE_CLASS(name) \
    if ((self->name = (PyTypeObject *)PyObject_GetAttrString(core, #name)) == NULL) return 0; \
    if (!PyType_Check(self->name)) { \
        PyErr_Format(PyExc_TypeError, "core's %s is no class: %R", #name, self->name); \
        return 0; \
    }
#define TAKE_OBJECT(name) if ((self->name = PyObject_GetAttrString(core, #name)) == NULL) return 0;
    EACH_CLASS(TAKE_CLASS)
    EACH_OBJECT(TAKE_OBJECT)
    if (!PyDict_Check(self->dispatch) || !PyDict_Check(self->vocabulary) || !PyIter_Check(self->order)) {
        PyErr_SetString(PyExc_TypeError, "core's dispatch and vocabulary are dicts, and its order is an iterator");
        return 0;
    }
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        if (!find_slot(SLOT(self, slots[i].type), slots[i].name, (Py_ssize_t *)((char *)self + slots[i].offset))) {
            return 0;
        }
    }
    return 1;
}

static int traverse_path(PyObject *object, visitproc visit, void *arg) {
    Path *self = (Path *)object;
#define VISIT(name) Py_VISIT(self->name);
    EACH_CLASS(VISIT)
    EACH_OBJECT(VISIT)
    return 0;
}

static int clear_path(PyObject *object) {
    Path *self = (Path *)object;
#define CLEAR(name) Py_CLEAR(self->name);
    EACH_CLASS(CLEAR)
    EACH_OBJECT(CLEAR)
    return 0;
}

static void dealloc_path(PyObject *self) {
    PyObject_GC_UnTrack(self);
    clear_path(self);
    Py_TYPE(self)->tp_free(self);
}

/* Whether nobody watches. */
static int is_unwatched(const Path *path) {
    return PyDict_GetItemWithError(path->dispatch, name_watchers) == Py_None;
}

/* Whether ops are recorded on this thread; -1 with an error set where nobody can tell. */
static int is_recording(const Path *path) {
    PyObject *on = PyObject_GetAttr(path->recording, name_on);
    int found = on == NULL ? -1 : PyObject_IsTrue(on);
    Py_XDECREF(on);
    return found;
}

/* A tensor around a native array, whose reference it takes over. */
static PyObject *wrap(const Path *path, PyObject *array, PyObject *key) {
    PyObject *made = path->tensor->tp_alloc(path->tensor, 0);
    if (made == NULL) {
        Py_DECREF(array);
        return NULL;
    }
    SLOT(made, path->of_tensor.array) = array;
    SLOT(made, path->of_tensor.key) = Py_NewRef(key);
    SLOT(made, path->of_tensor.node) = Py_NewRef(Py_None);
    SLOT(made, path->of_tensor.place) = Py_NewRef(Py_None);
    SLOT(made, path->of_tensor.saved) = Py_NewRef(Py_None);
    return made;
}

/* The shape of a native array as a tuple. */
static PyObject *shape_of(PyObject *array) {
    PyObject *shape = PyObject_GetAttr(array, name_shape);
    if (shape == NULL || PyTuple_CheckExact(shape)) {
        return shape;
    }
    PyObject *found = PySequence_Tuple(shape);
    Py_DECREF(shape);
    return found;
}

#endif
