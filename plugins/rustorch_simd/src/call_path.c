/* The shortcut of a binary operator in C: two tensors of one device and dtype, that nobody watches, with or without a record.
 *
 * It does what `operate` in rustorch_core/_define.py does for that case, and calls `operate` for every other one, errors
 * included: the Python form stays the complete one. Slots of tensors, keys, nodes and saved values are read at the offsets
 * that their classes state, so no layout is assumed. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stddef.h>

#define INPUTS 2
#define MOST_KEPT 4

/* What a rule keeps: the inputs by their numbers, or the output. */
enum { OUTPUT = INPUTS };

typedef struct {
    Py_ssize_t array, key, node, place, saved;
} TensorSlots;

typedef struct {
    Py_ssize_t array_type, is_floating;
} KeySlots;

typedef struct {
    Py_ssize_t attributes, hooks, index, key, op, order, parents, receiver, saved, shape;
} NodeSlots;

typedef struct {
    Py_ssize_t array, key;
} SavedSlots;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *op, *operate, *bound, *dispatch, *run, *save, *order, *recording, *attributes;
    PyTypeObject *tensor, *key, *node, *saved;
    TensorSlots of_tensor;
    KeySlots of_key;
    NodeSlots of_node;
    SavedSlots of_saved;
    int kept[INPUTS]; /* how many values the rule for an input keeps; -1 where there is no rule */
    int keeps[INPUTS][MOST_KEPT];
} Operator;

static PyObject *watchers_name, *on_name, *shape_name, *zero;

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

static PyObject *wrap(const Operator *self, PyObject *native, PyObject *key) {
    PyObject *made = self->tensor->tp_alloc(self->tensor, 0);
    if (made == NULL) {
        Py_DECREF(native);
        return NULL;
    }
    SLOT(made, self->of_tensor.array) = native;
    SLOT(made, self->of_tensor.key) = Py_NewRef(key);
    SLOT(made, self->of_tensor.node) = Py_NewRef(Py_None);
    SLOT(made, self->of_tensor.place) = Py_NewRef(Py_None);
    SLOT(made, self->of_tensor.saved) = Py_NewRef(Py_None);
    return made;
}

/* What `save` in rustorch_core/_memory.py does for a tensor that shares its memory with nobody. */
static PyObject *save(const Operator *self, PyObject *tensor) {
    PyObject *array = SLOT(tensor, self->of_tensor.array), *reference = SLOT(tensor, self->of_tensor.saved);
    if (array == NULL || reference == NULL || SLOT(tensor, self->of_tensor.place) != Py_None) {
        return PyObject_CallOneArg(self->save, tensor);
    }
    if (PyWeakref_CheckRef(reference)) {
        PyObject *known = PyWeakref_GetObject(reference);
        if (known != Py_None && SLOT(known, self->of_saved.array) == array) {
            return Py_NewRef(known);
        }
    }
    PyObject *saved = self->saved->tp_alloc(self->saved, 0);
    if (saved == NULL) {
        return NULL;
    }
    SLOT(saved, self->of_saved.array) = Py_NewRef(array);
    SLOT(saved, self->of_saved.key) = Py_NewRef(SLOT(tensor, self->of_tensor.key));
    PyObject *fresh = PyWeakref_NewRef(saved, NULL);
    if (fresh == NULL) {
        Py_DECREF(saved);
        return NULL;
    }
    Py_XSETREF(SLOT(tensor, self->of_tensor.saved), fresh);
    return saved;
}

/* What the rule for one input keeps of a call: None where there is no rule, or no gradient goes there. */
static PyObject *keep(const Operator *self, int position, PyObject *parent, PyObject *const *tensors) {
    int count = self->kept[position];
    if (parent == Py_None || count < 0) {
        return Py_NewRef(Py_None);
    }
    PyObject *values = PyTuple_New(count);
    for (int i = 0; values != NULL && i < count; i++) {
        PyObject *saved = save(self, tensors[self->keeps[position][i]]);
        if (saved == NULL) {
            Py_CLEAR(values);
        } else {
            PyTuple_SET_ITEM(values, i, saved);
        }
    }
    return values;
}

/* Put the output of a call into the graph; returns whether that worked. */
static int record(const Operator *self, PyObject *const *args, PyObject *made) {
    PyObject *parents = PyTuple_New(INPUTS), *saved = PyTuple_New(INPUTS);
    PyObject *tensors[] = {args[0], args[1], made};
    for (int i = 0; parents != NULL && saved != NULL && i < INPUTS; i++) {
        PyObject *parent = SLOT(args[i], self->of_tensor.node), *values = keep(self, i, parent, tensors);
        PyTuple_SET_ITEM(parents, i, Py_NewRef(parent));
        if (values == NULL) {
            Py_CLEAR(saved);
        } else {
            PyTuple_SET_ITEM(saved, i, values);
        }
    }
    PyObject *shape = saved == NULL ? NULL : PyObject_GetAttr(SLOT(made, self->of_tensor.array), shape_name);
    PyObject *order = shape == NULL ? NULL : PyIter_Next(self->order);
    PyObject *node = order == NULL || parents == NULL ? NULL : self->node->tp_alloc(self->node, 0);
    if (node == NULL) {
        Py_XDECREF(parents);
        Py_XDECREF(saved);
        Py_XDECREF(shape);
        Py_XDECREF(order);
        return 0;
    }
    const NodeSlots *at = &self->of_node;
    SLOT(node, at->op) = Py_NewRef(self->op);
    SLOT(node, at->shape) = shape;
    SLOT(node, at->key) = Py_NewRef(SLOT(made, self->of_tensor.key));
    SLOT(node, at->order) = order;
    SLOT(node, at->parents) = parents;
    SLOT(node, at->saved) = saved;
    SLOT(node, at->attributes) = Py_NewRef(self->attributes);
    SLOT(node, at->index) = Py_NewRef(zero);
    SLOT(node, at->receiver) = Py_NewRef(Py_None);
    SLOT(node, at->hooks) = Py_NewRef(Py_None);
    Py_SETREF(SLOT(made, self->of_tensor.node), node);
    return 1;
}

/* Whether ops are recorded on this thread; -1 with an error set where nobody can tell. */
static int is_recording(const Operator *self) {
    PyObject *on = PyObject_GetAttr(self->recording, on_name);
    int found = on == NULL ? -1 : PyObject_IsTrue(on);
    Py_XDECREF(on);
    return found;
}

static PyObject *call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names) {
    const Operator *self = (const Operator *)callable;
    if (PyVectorcall_NARGS(nargsf) == INPUTS && names == NULL && Py_TYPE(args[0]) == self->tensor && Py_TYPE(args[1]) == self->tensor) {
        const TensorSlots *at = &self->of_tensor;
        PyObject *key = SLOT(args[0], at->key), *first = SLOT(args[0], at->array), *second = SLOT(args[1], at->array);
        if (key != NULL && key == SLOT(args[1], at->key) && first != NULL && second != NULL
                && SLOT(args[0], at->node) != NULL && SLOT(args[1], at->node) != NULL
                && PyDict_GetItemWithError(self->dispatch, watchers_name) == Py_None) {
            PyObject *function = PyDict_GetItemWithError(self->bound, key);
            int is_tracked = SLOT(args[0], at->node) != Py_None || SLOT(args[1], at->node) != Py_None;
            if (is_tracked) {
                is_tracked = SLOT(key, self->of_key.is_floating) == Py_True ? is_recording(self) : 0;
            }
            if (function != NULL && is_tracked >= 0) {
                PyObject *arguments[] = {function, first, second};
                PyObject *made = NULL;
                Py_INCREF(key);
                Py_INCREF(function);
                PyObject *native = PyObject_Vectorcall(self->run, arguments, 3, NULL);
                Py_DECREF(function);
                if (native != NULL && (PyObject *)Py_TYPE(native) == SLOT(key, self->of_key.array_type)) {
                    made = wrap(self, native, key);
                    if (made != NULL && is_tracked && !record(self, args, made)) {
                        Py_CLEAR(made);
                    }
                    Py_DECREF(key);
                    return made;
                }
                Py_DECREF(key);
                Py_XDECREF(native);
                PyErr_Clear();  /* `operate` meets the same error again, and explains it */
            }
        }
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    return PyObject_Vectorcall(self->operate, args, nargsf, names);
}

static PyObject *bind(PyObject *self, PyObject *instance, PyObject *type) {
    (void)type;
    return instance == NULL ? Py_NewRef(self) : PyMethod_New(self, instance);
}

#define EACH_OBJECT(DO) \
    DO(op) DO(operate) DO(bound) DO(dispatch) DO(run) DO(save) DO(order) DO(recording) DO(attributes) DO(tensor) DO(key) \
    DO(node) DO(saved)

static int traverse(PyObject *object, visitproc visit, void *arg) {
    Operator *self = (Operator *)object;
#define VISIT(name) Py_VISIT(self->name);
    EACH_OBJECT(VISIT)
    return 0;
}

static int clear(PyObject *object) {
    Operator *self = (Operator *)object;
#define CLEAR(name) Py_CLEAR(self->name);
    EACH_OBJECT(CLEAR)
    return 0;
}

static void dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject OperatorType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "rustorch_simd._call_path.Operator",
    .tp_doc = "The compiled shortcut of a binary operator; `binary` makes one.",
    .tp_basicsize = sizeof(Operator),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_vectorcall_offset = offsetof(Operator, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = bind,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_dealloc = dealloc,
};

/* Where a class keeps an attribute that it declares in __slots__; whether it does. */
static int find(PyObject *type, const char *name, Py_ssize_t *offset) {
    PyObject *member = type == NULL ? NULL : PyObject_GetAttrString(type, name);
    int found = member != NULL && Py_IS_TYPE(member, &PyMemberDescr_Type);
    if (found) {
        *offset = ((PyMemberDescrObject *)member)->d_member->offset;
    } else if (member != NULL) {
        PyErr_Format(PyExc_TypeError, "%R has no slot %s", type, name);
    }
    Py_XDECREF(member);
    return found;
}

/* Every slot that is read or written: the class that declares it, its name, and where its offset is kept. */
#define SLOT_OF(type, name, field) {offsetof(Operator, type), name, offsetof(Operator, of_##type.field)}
static const struct { size_t type; const char *name; size_t offset; } slots[] = {
    SLOT_OF(tensor, "_array", array), SLOT_OF(tensor, "_key", key), SLOT_OF(tensor, "_node", node),
    SLOT_OF(tensor, "_place", place), SLOT_OF(tensor, "_saved", saved),
    SLOT_OF(key, "array_type", array_type), SLOT_OF(key, "is_floating", is_floating),
    SLOT_OF(node, "attributes", attributes), SLOT_OF(node, "hooks", hooks), SLOT_OF(node, "index", index),
    SLOT_OF(node, "key", key), SLOT_OF(node, "op", op), SLOT_OF(node, "order", order), SLOT_OF(node, "parents", parents),
    SLOT_OF(node, "receiver", receiver), SLOT_OF(node, "saved", saved), SLOT_OF(node, "shape", shape),
    SLOT_OF(saved, "array", array), SLOT_OF(saved, "key", key),
};

static int find_slots(Operator *self) {
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        if (!find(SLOT(self, slots[i].type), slots[i].name, (Py_ssize_t *)((char *)self + slots[i].offset))) {
            return 0;
        }
    }
    return 1;
}

/* Read what the rules keep, a tuple of numbers for each input or None; whether it is understood. */
static int read_kept(Operator *self, PyObject *kept) {
    for (int i = 0; i < INPUTS; i++) {
        PyObject *values = PyTuple_GET_ITEM(kept, i);
        self->kept[i] = values == Py_None ? -1 : PyTuple_Check(values) ? (int)PyTuple_GET_SIZE(values) : MOST_KEPT + 1;
        for (int j = 0; j < self->kept[i] && self->kept[i] <= MOST_KEPT; j++) {
            self->keeps[i][j] = (int)PyLong_AsLong(PyTuple_GET_ITEM(values, j));
            if (self->keeps[i][j] < 0 || self->keeps[i][j] > OUTPUT) {
                self->kept[i] = MOST_KEPT + 1;
            }
        }
        if (self->kept[i] > MOST_KEPT) {
            PyErr_Format(PyExc_TypeError, "what a rule keeps is None or at most %d numbers, met %R", MOST_KEPT, values);
            return 0;
        }
    }
    return 1;
}

static PyObject *binary(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *op, *operate, *bound, *kept, *core;
    if (!PyArg_ParseTuple(args, "OOO!O!O", &op, &operate, &PyDict_Type, &bound, &PyTuple_Type, &kept, &core)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(kept) != INPUTS) {
        return PyErr_Format(PyExc_TypeError, "expected what the rules keep of %d inputs, met %R", INPUTS, kept);
    }
    Operator *self = PyObject_GC_New(Operator, &OperatorType);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = call;
#define FORGET(name) self->name = NULL;
    EACH_OBJECT(FORGET)
    self->op = Py_NewRef(op);
    self->operate = Py_NewRef(operate);
    self->bound = Py_NewRef(bound);
    self->attributes = PyDict_New();
#define TAKE(name, type) ((self->name = (type *)PyObject_GetAttrString(core, #name)) != NULL)
    int is_right = self->attributes != NULL && TAKE(dispatch, PyObject) && TAKE(run, PyObject) && TAKE(save, PyObject)
        && TAKE(order, PyObject) && TAKE(recording, PyObject) && TAKE(tensor, PyTypeObject) && TAKE(key, PyTypeObject)
        && TAKE(node, PyTypeObject) && TAKE(saved, PyTypeObject);
    if (is_right && (!PyDict_Check(self->dispatch) || !PyIter_Check(self->order) || !PyType_Check(self->tensor)
            || !PyType_Check(self->node) || !PyType_Check(self->saved))) {
        PyErr_SetString(PyExc_TypeError, "expected classes, an iterator and a dict of rustorch_core");
        is_right = 0;
    }
    is_right = is_right && find_slots(self) && read_kept(self, kept);
    PyObject_GC_Track((PyObject *)self);
    if (!is_right) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyMethodDef functions[] = {
    {"binary", binary, METH_VARARGS,
     "binary(op, operate, bound, kept, core)\n--\n\n"
     "Make the compiled form of a binary operator whose result keeps the dtype of its operands."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "rustorch_simd._call_path",
    .m_doc = "The compiled form of core's shortcut for binary operators.", .m_size = -1, .m_methods = functions,
};

PyMODINIT_FUNC PyInit__call_path(void) {
    watchers_name = PyUnicode_InternFromString("watchers");
    on_name = PyUnicode_InternFromString("on");
    shape_name = PyUnicode_InternFromString("shape");
    zero = PyLong_FromLong(0);
    if (watchers_name == NULL || on_name == NULL || shape_name == NULL || zero == NULL || PyType_Ready(&OperatorType) < 0) {
        return NULL;
    }
    return PyModule_Create(&definition);
}
