/* Attributes that a Python class declares in __slots__, at the offsets that the class states, so that no layout is assumed. */
#ifndef RUSTORCH_SLOTS_H
#define RUSTORCH_SLOTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

/* Where a class keeps an attribute that it declares in __slots__; whether it does. */
static inline int find_slot(PyObject *type, const char *name, Py_ssize_t *offset) {
    PyObject *member = PyObject_GetAttrString(type, name);
    int found = member != NULL && Py_IS_TYPE(member, &PyMemberDescr_Type);
    if (found) {
        *offset = ((PyMemberDescrObject *)member)->d_member->offset;
    } else if (member != NULL) {
        PyErr_Format(PyExc_TypeError, "%R has no slot %s", type, name);
    }
    Py_XDECREF(member);
    return found;
}

#endif
