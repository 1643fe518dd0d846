/* The shortcut of a binary operator in C: two tensors of one device and dtype that nobody records and nobody watches.
 *
 * It does what `operate` in rustorch_core/_define.py does for that case, and calls `operate` for every other one, errors
 * included: the Python form stays the complete one. Slots of tensors and keys are read at the offsets that their classes
 * state, so no layout is assumed. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stddef.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyTypeObject *tensor;
    PyObject *operate, *bound, *dispatch, *run;
    Py_ssize_t array, key, node, place, saved, array_type;
} Operator;

static PyObject *watchers_name;

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

static PyObject *wrap(const Operator *self, PyObject *native, PyObject *key) {
    PyObject *made = self->tensor->tp_alloc(self->tensor, 0);
    if (made == NULL) {
        Py_DECREF(native);
        return NULL;
    }
    SLOT(made, self->array) = native;
    SLOT(made, self->key) = Py_NewRef(key);
    SLOT(made, self->node) = Py_NewRef(Py_None);
    SLOT(made, self->place) = Py_NewRef(Py_None);
    SLOT(made, self->saved) = Py_NewRef(Py_None);
    return made;
}

static PyObject *call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *names) {
    const Operator *self = (const Operator *)callable;
    if (PyVectorcall_NARGS(nargsf) == 2 && names == NULL && Py_TYPE(args[0]) == self->tensor && Py_TYPE(args[1]) == self->tensor) {
        PyObject *key = SLOT(args[0], self->key), *first = SLOT(args[0], self->array), *second = SLOT(args[1], self->array);
        if (key != NULL && key == SLOT(args[1], self->key) && first != NULL && second != NULL
                && SLOT(args[0], self->node) == Py_None && SLOT(args[1], self->node) == Py_None
                && PyDict_GetItemWithError(self->dispatch, watchers_name) == Py_None) {
            PyObject *function = PyDict_GetItemWithError(self->bound, key);
            if (function != NULL) {
                PyObject *arguments[] = {function, first, second};
                Py_INCREF(key);
                Py_INCREF(function);
                PyObject *native = PyObject_Vectorcall(self->run, arguments, 3, NULL);
                Py_DECREF(function);
                if (native != NULL && (PyObject *)Py_TYPE(native) == SLOT(key, self->array_type)) {
                    PyObject *made = wrap(self, native, key);
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

static int traverse(PyObject *object, visitproc visit, void *arg) {
    Operator *self = (Operator *)object;
    Py_VISIT(self->tensor);
    Py_VISIT(self->operate);
    Py_VISIT(self->bound);
    Py_VISIT(self->dispatch);
    Py_VISIT(self->run);
    return 0;
}

static int clear(PyObject *object) {
    Operator *self = (Operator *)object;
    Py_CLEAR(self->tensor);
    Py_CLEAR(self->operate);
    Py_CLEAR(self->bound);
    Py_CLEAR(self->dispatch);
    Py_CLEAR(self->run);
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

/* Where a class keeps an attribute that it declares in __slots__; -1 with an error set where it does not. */
static Py_ssize_t offset_of(PyObject *type, const char *name) {
    PyObject *member = PyObject_GetAttrString(type, name);
    Py_ssize_t offset = -1;
    if (member != NULL && Py_IS_TYPE(member, &PyMemberDescr_Type)) {
        offset = ((PyMemberDescrObject *)member)->d_member->offset;
    } else if (member != NULL) {
        PyErr_Format(PyExc_TypeError, "%R has no slot %s", type, name);
    }
    Py_XDECREF(member);
    return offset;
}

static PyObject *binary(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *tensor, *key, *operate, *bound, *dispatch, *run;
    if (!PyArg_ParseTuple(args, "O!O!OO!O!O", &PyType_Type, &tensor, &PyType_Type, &key, &operate, &PyDict_Type, &bound,
                          &PyDict_Type, &dispatch, &run)) {
        return NULL;
    }
    Py_ssize_t array = offset_of(tensor, "_array"), own_key = array < 0 ? -1 : offset_of(tensor, "_key");
    Py_ssize_t node = own_key < 0 ? -1 : offset_of(tensor, "_node"), place = node < 0 ? -1 : offset_of(tensor, "_place");
    Py_ssize_t saved = place < 0 ? -1 : offset_of(tensor, "_saved"), array_type = saved < 0 ? -1 : offset_of(key, "array_type");
    if (array_type < 0) {
        return NULL;
    }
    Operator *self = PyObject_GC_New(Operator, &OperatorType);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = call;
    self->tensor = (PyTypeObject *)Py_NewRef(tensor);
    self->operate = Py_NewRef(operate);
    self->bound = Py_NewRef(bound);
    self->dispatch = Py_NewRef(dispatch);
    self->run = Py_NewRef(run);
    self->array = array;
    self->key = own_key;
    self->node = node;
    self->place = place;
    self->saved = saved;
    self->array_type = array_type;
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

static PyMethodDef functions[] = {
    {"binary", binary, METH_VARARGS,
     "binary(tensor_class, key_class, operate, bound, dispatch_globals, run)\n--\n\n"
     "Make the compiled form of a binary operator whose result keeps the dtype of its operands."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "rustorch_simd._call_path",
    .m_doc = "The compiled form of core's shortcut for binary operators.", .m_size = -1, .m_methods = functions,
};

PyMODINIT_FUNC PyInit__call_path(void) {
    watchers_name = PyUnicode_InternFromString("watchers");
    if (watchers_name == NULL || PyType_Ready(&OperatorType) < 0) {
        return NULL;
    }
    return PyModule_Create(&definition);
}
