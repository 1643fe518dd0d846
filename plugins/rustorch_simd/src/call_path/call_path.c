/* The path that every call takes, in C: the shortcut of a binary operator, the call of an op, and the backward walk.
 *
 * Each does what core's own form does for tensors of one device and dtype that nobody watches, and hands everything else,
 * errors included, on to it: the Python form stays the complete one. */
#include "walk.h"

#define OPERANDS 2

/* The error that a native function raised, as core explains it. */
static void explain(const Path *path, PyObject *op, PyObject *const *inputs, Py_ssize_t count) {
    PyObject *type, *error, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return;
    }
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
    }
    PyObject *tensors = tuple_of(inputs, count);
    if (tensors != NULL) {
        PyObject *arguments[] = {op, tensors, error};
        Py_XDECREF(PyObject_Vectorcall(path->explain, arguments, 3, NULL));
        Py_DECREF(tensors);
    }
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
}

/* What a native function returned, whose reference is taken over, as a tensor or several; `key` is of its first input. */
static PyObject *outputs(const Path *path, PyObject *native, PyObject *key, PyObject *const *inputs, Py_ssize_t count) {
    if ((PyObject *)Py_TYPE(native) == SLOT(key, path->of_key.array_type)) {
        PyObject *dtype = PyObject_GetAttr(native, name_dtype);
        for (Py_ssize_t i = 0; dtype != NULL && i < count; i++) {
            PyObject *own = inputs[i] == Py_None ? key : SLOT(inputs[i], path->of_tensor.key);
            if (dtype == SLOT(own, path->of_key.native_dtype)) {
                Py_DECREF(dtype);
                return wrap(path, native, own);
            }
        }
        Py_XDECREF(dtype);
        PyErr_Clear();
    }
    PyObject *arguments[] = {native, key};
    PyObject *found = PyObject_Vectorcall(path->outputs, arguments, 2, NULL);
    Py_DECREF(native);
    return found;
}

/* Add an output to the graph and to the views of the first input, as far as it belongs there; takes the output over. */
static PyObject *finish(const Path *path, const Plan *plan, Call call, int is_tracked) {
    int is_right = 1;
    if (plan->is_view) {
        PyObject *arguments[] = {call.op, call.inputs[0], call.attributes, call.output};
        PyObject *noted = PyObject_Vectorcall(path->note_view, arguments, 4, NULL);
        is_right = noted != NULL;
        Py_XDECREF(noted);
    }
    if (is_right && is_tracked) {
        if (Py_IS_TYPE(call.output, path->tensor)) {
            is_right = record(path, plan, &call);
        } else {
            PyObject *inputs = tuple_of(call.inputs, call.count), *recorded = NULL;
            if (inputs != NULL) {
                PyObject *arguments[] = {call.op, inputs, call.attributes, call.output};
                recorded = PyObject_Vectorcall(path->record, arguments, 4, NULL);
                Py_DECREF(inputs);
            }
            is_right = recorded != NULL;
            Py_XDECREF(recorded);
        }
    }
    if (!is_right) {
        Py_CLEAR(call.output);
    }
    return call.output;
}

/* The call of an op; NULL without an error where it is core's to make. */
static PyObject *call_op(const Path *path, PyObject *op, PyObject *const *inputs, Py_ssize_t count, PyObject *attributes) {
    PyObject *arrays[MOST_INPUTS], *key = NULL;
    int is_tracked = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (inputs[i] == Py_None && i > 0) {
            arrays[i] = Py_None;
            continue;
        }
        if (!PyObject_TypeCheck(inputs[i], path->tensor)) {
            return NULL;
        }
        PyObject *array = SLOT(inputs[i], path->of_tensor.array), *node = SLOT(inputs[i], path->of_tensor.node);
        PyObject *own = SLOT(inputs[i], path->of_tensor.key);
        key = i == 0 ? own : key;
        if (array == NULL || node == NULL || own == NULL || SLOT(own, path->of_key.device) != SLOT(key, path->of_key.device)) {
            return NULL;
        }
        is_tracked |= node != Py_None;
        arrays[i] = array;
    }
    const Plan *plan = plan_of(path, op);
    PyObject *function = plan == NULL ? NULL : PyDict_GetItemWithError(plan->bound, key);
    if (function == NULL || !is_unwatched(path)) {
        return NULL;
    }
    if (is_tracked && ((is_tracked = is_recording(path)) < 0 || (is_tracked && plan->is_composed))) {
        return NULL;
    }
    /* The op's function may let go of what it is called with, and of itself. */
    Py_INCREF(function);
    Py_INCREF(key);
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_INCREF(arrays[i]);
    }
    PyObject *named = PyDict_GET_SIZE(attributes) ? attributes : NULL;
    PyObject *native = PyObject_VectorcallDict(function, arrays, (size_t)count, named), *output = NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_DECREF(arrays[i]);
    }
    Py_DECREF(function);
    if (native == NULL) {
        explain(path, op, inputs, count);
    } else if ((output = outputs(path, native, key, inputs, count)) != NULL && (is_tracked || plan->is_view)) {
        output = finish(path, plan, (Call){op, inputs, attributes, output, count}, is_tracked);
    }
    Py_DECREF(key);
    return output;
}

static PyObject *path_call(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    const Path *self = (const Path *)object;
    if (count == 3 && PyTuple_CheckExact(args[1]) && PyDict_CheckExact(args[2])) {
        Py_ssize_t inputs = PyTuple_GET_SIZE(args[1]);
        if (inputs > 0 && inputs <= MOST_INPUTS) {
            PyObject *found = call_op(self, args[0], &PyTuple_GET_ITEM(args[1], 0), inputs, args[2]);
            if (found != NULL || PyErr_Occurred()) {
                return found;
            }
        }
    }
    return PyObject_Vectorcall(self->call, args, (size_t)count, NULL);
}

static PyObject *path_record(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    const Path *self = (const Path *)object;
    int is_ours = count == 4 && PyTuple_CheckExact(args[1]) && PyDict_CheckExact(args[2]) && Py_IS_TYPE(args[3], self->tensor)
        && SLOT(args[3], self->of_tensor.array) != NULL && SLOT(args[3], self->of_tensor.key) != NULL;
    for (Py_ssize_t i = 0; is_ours && i < PyTuple_GET_SIZE(args[1]); i++) {
        PyObject *input = PyTuple_GET_ITEM(args[1], i);
        is_ours = input == Py_None || (PyObject_TypeCheck(input, self->tensor) && SLOT(input, self->of_tensor.node) != NULL);
    }
    const Plan *plan = is_ours ? plan_of(self, args[0]) : NULL;
    if (plan != NULL) {
        Call call = {args[0], &PyTuple_GET_ITEM(args[1], 0), args[2], args[3], PyTuple_GET_SIZE(args[1])};
        return record(self, plan, &call) ? Py_NewRef(Py_None) : NULL;
    }
    return PyErr_Occurred() ? NULL : PyObject_Vectorcall(self->record, args, (size_t)count, NULL);
}

static PyObject *path_in_order(PyObject *object, PyObject *args) {
    PyObject *nodes;
    long long since;
    if (!PyArg_ParseTuple(args, "O!L", &PyList_Type, &nodes, &since)) {
        return NULL;
    }
    return in_order((const Path *)object, nodes, since);
}

static PyObject *path_send(PyObject *object, PyObject *args) {
    PyObject *order;
    Walk walk;
    if (!PyArg_ParseTuple(args, "O!O!OOpLO", &PyList_Type, &order, &PyDict_Type, &walk.gradients, &walk.wanted, &walk.useful,
                          &walk.retain_graph, &walk.since, &walk.pull_back)) {
        return NULL;
    }
    if ((walk.wanted != Py_None && !PyAnySet_Check(walk.wanted)) || (walk.useful != Py_None && !PyAnySet_Check(walk.useful))) {
        PyErr_SetString(PyExc_TypeError, "expected sets of nodes, or None");
        return NULL;
    }
    return send((const Path *)object, order, walk);
}

/* The compiled form of one operator. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *path, *op, *operate;
} Operator;

static PyObject *call_operator(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names) {
    const Operator *self = (const Operator *)callable;
    const Path *path = (const Path *)self->path;
    const Plan *plan = plan_of(path, self->op);
    if (plan != NULL && PyVectorcall_NARGS(nargsf) == OPERANDS && names == NULL && Py_IS_TYPE(args[0], path->tensor)
            && Py_IS_TYPE(args[1], path->tensor)) {
        PyObject *key = SLOT(args[0], path->of_tensor.key);
        PyObject *first = SLOT(args[0], path->of_tensor.array), *second = SLOT(args[1], path->of_tensor.array);
        PyObject *nodes[] = {SLOT(args[0], path->of_tensor.node), SLOT(args[1], path->of_tensor.node)};
        if (key != NULL && key == SLOT(args[1], path->of_tensor.key) && first != NULL && second != NULL && nodes[0] != NULL
                && nodes[1] != NULL && is_unwatched(path)) {
            PyObject *function = PyDict_GetItemWithError(plan->bound, key);
            int is_tracked = nodes[0] != Py_None || nodes[1] != Py_None ? is_recording(path) : 0;
            if (function != NULL && is_tracked >= 0) {
                /* In a frame of core's, for whom its filter of warnings holds. */
                PyObject *arguments[] = {function, first, second};
                Py_INCREF(key);
                Py_INCREF(function);
                PyObject *native = PyObject_Vectorcall(path->run, arguments, 3, NULL), *made = NULL;
                Py_DECREF(function);
                if (native != NULL && (PyObject *)Py_TYPE(native) == SLOT(key, path->of_key.array_type)) {
                    made = wrap(path, native, key);
                    if (made != NULL && is_tracked) {
                        made = finish(path, plan, (Call){self->op, args, no_attributes, made, OPERANDS}, 1);
                    }
                    Py_DECREF(key);
                    return made;
                }
                Py_DECREF(key);
                Py_XDECREF(native);
                PyErr_Clear(); /* `operate` meets the same error again, and explains it */
            }
        }
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyObject_Vectorcall(self->operate, args, nargsf, names);
}

static PyObject *bind_operator(PyObject *self, PyObject *instance, PyObject *type) {
    (void)type;
    return instance == NULL ? Py_NewRef(self) : PyMethod_New(self, instance);
}

static int traverse_operator(PyObject *object, visitproc visit, void *arg) {
    Operator *self = (Operator *)object;
    Py_VISIT(self->path);
    Py_VISIT(self->op);
    Py_VISIT(self->operate);
    return 0;
}

static int clear_operator(PyObject *object) {
    Operator *self = (Operator *)object;
    Py_CLEAR(self->path);
    Py_CLEAR(self->op);
    Py_CLEAR(self->operate);
    return 0;
}

static void dealloc_operator(PyObject *self) {
    PyObject_GC_UnTrack(self);
    clear_operator(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject OperatorType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "rustorch_simd._call_path.Operator",
    .tp_doc = "The compiled shortcut of a binary operator; `Path.operator` makes one.",
    .tp_basicsize = sizeof(Operator),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_vectorcall_offset = offsetof(Operator, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = bind_operator,
    .tp_traverse = traverse_operator,
    .tp_clear = clear_operator,
    .tp_dealloc = dealloc_operator,
};

static PyObject *path_operator(PyObject *object, PyObject *args) {
    PyObject *op, *operate;
    if (!PyArg_ParseTuple(args, "OO", &op, &operate)) {
        return NULL;
    }
    if (plan_of((const Path *)object, op) == NULL) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "expected an op, met %R", op);
    }
    Operator *self = PyObject_GC_New(Operator, &OperatorType);
    if (self != NULL) {
        self->vectorcall = call_operator;
        self->path = Py_NewRef(object);
        self->op = Py_NewRef(op);
        self->operate = Py_NewRef(operate);
        PyObject_GC_Track((PyObject *)self);
    }
    return (PyObject *)self;
}

static PyObject *make_path(PyTypeObject *type, PyObject *args, PyObject *names) {
    PyObject *core;
    static char *keywords[] = {"core", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, names, "O", keywords, &core)) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL && !read_core((Path *)self, core)) {
        Py_CLEAR(self);
    }
    return self;
}

static PyMethodDef methods_of_path[] = {
    {"operator", path_operator, METH_VARARGS, "operator(op, operate, /)\n--\n\nThe compiled form of a binary operator."},
    {"call", (PyCFunction)(void (*)(void))path_call, METH_FASTCALL, "call(op, inputs, attributes, /)\n--\n\nRun an op."},
    {"record", (PyCFunction)(void (*)(void))path_record, METH_FASTCALL,
     "record(op, inputs, attributes, output, /)\n--\n\nPut the output of a call into the graph."},
    {"in_order", path_in_order, METH_VARARGS, "in_order(outputs, since, /)\n--\n\nThe nodes of a walk, latest first."},
    {"send", path_send, METH_VARARGS,
     "send(order, gradients, wanted, useful, retain_graph, since, pull_back, /)\n--\n\nSend gradients through nodes."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject PathType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "rustorch_simd._call_path.Path",
    .tp_doc = "Path(core)\n--\n\nThe compiled forms of core's hot path, made with core's classes and its own forms.",
    .tp_basicsize = sizeof(Path),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = make_path,
    .tp_methods = methods_of_path,
    .tp_traverse = traverse_path,
    .tp_clear = clear_path,
    .tp_dealloc = dealloc_path,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "rustorch_simd._call_path",
    .m_doc = "The compiled form of core's hot path.", .m_size = -1,
};

PyMODINIT_FUNC PyInit__call_path(void) {
    if (!prepare_names() || PyType_Ready(&PlanType) < 0 || PyType_Ready(&OperatorType) < 0 || PyType_Ready(&PathType) < 0) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddObjectRef(module, "Path", (PyObject *)&PathType) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
