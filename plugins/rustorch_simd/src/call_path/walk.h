/* The backward walk: `in_order` and `send` of rustorch_core/_autograd.py. */
#ifndef RUSTORCH_WALK_H
#define RUSTORCH_WALK_H

#include "record.h"
#include <stdlib.h>

typedef struct {
    long long order;
    PyObject *node;
} Placed;

static int latest_first(const void *a, const void *b) {
    long long first = ((const Placed *)a)->order, second = ((const Placed *)b)->order;
    return (first < second) - (first > second);
}

/* Whether an object is a node, and a whole one. */
static int is_node(const Path *path, PyObject *object) {
    if (Py_IS_TYPE(object, path->node)) {
        PyObject *parents = SLOT(object, path->of_node.parents), *order = SLOT(object, path->of_node.order);
        if (parents != NULL && PyTuple_Check(parents) && order != NULL && PyLong_Check(order)
                && SLOT(object, path->of_node.op) != NULL && SLOT(object, path->of_node.saved) != NULL
                && SLOT(object, path->of_node.key) != NULL && SLOT(object, path->of_node.shape) != NULL
                && SLOT(object, path->of_node.hooks) != NULL && SLOT(object, path->of_node.receiver) != NULL) {
            return 1;
        }
    }
    PyErr_Format(PyExc_TypeError, "expected a node of the graph, met one of %R", Py_TYPE(object));
    return 0;
}

/* Add a node that was not met before; whether all went well. */
static int meet(const Path *path, PyObject *found, PyObject *stack, PyObject *node) {
    if (!is_node(path, node)) {
        return 0;
    }
    int known = PySet_Contains(found, node);
    return known > 0 || (known == 0 && PySet_Add(found, node) == 0 && PyList_Append(stack, node) == 0);
}

static PyObject *in_order(const Path *path, PyObject *outputs, long long since) {
    PyObject *found = PySet_New(NULL), *met = PyList_New(0), *ordered = NULL;
    Placed *places = NULL;
    int is_right = found != NULL && met != NULL;
    for (Py_ssize_t i = 0; is_right && i < PyList_GET_SIZE(outputs); i++) {
        is_right = meet(path, found, met, PyList_GET_ITEM(outputs, i));
    }
    /* Whatever is met is looked at in turn, and may add more. */
    for (Py_ssize_t i = 0; is_right && i < PyList_GET_SIZE(met); i++) {
        PyObject *node = PyList_GET_ITEM(met, i), *parents = SLOT(node, path->of_node.parents);
        is_right = !((PyLong_AsLongLong(SLOT(node, path->of_node.order)) == -1) && PyErr_Occurred());
        if (is_right && PyLong_AsLongLong(SLOT(node, path->of_node.order)) > since) {
            for (Py_ssize_t j = 0; is_right && j < PyTuple_GET_SIZE(parents); j++) {
                PyObject *parent = PyTuple_GET_ITEM(parents, j);
                is_right = parent == Py_None || meet(path, found, met, parent);
            }
        }
    }
    Py_ssize_t count = is_right ? PyList_GET_SIZE(met) : 0;
    if (is_right && (places = PyMem_Calloc((size_t)count + 1, sizeof *places)) == NULL) {
        PyErr_NoMemory();
    }
    if (places != NULL && (ordered = PyList_New(count)) != NULL) {
        for (Py_ssize_t i = 0; i < count; i++) {
            PyObject *node = PyList_GET_ITEM(met, i);
            places[i] = (Placed){PyLong_AsLongLong(SLOT(node, path->of_node.order)), node};
        }
        qsort(places, (size_t)count, sizeof *places, latest_first);
        for (Py_ssize_t i = 0; i < count; i++) {
            PyList_SET_ITEM(ordered, i, Py_NewRef(places[i].node));
        }
    }
    PyMem_Free(places);
    Py_XDECREF(found);
    Py_XDECREF(met);
    return ordered;
}

/* What one walk goes by; all borrowed but `selected` and `results`. */
typedef struct {
    PyObject *gradients, *wanted, *useful, *pull_back, *selected, *results;
    int retain_graph;
    long long since;
} Walk;

/* Add what one input's gradient is to what is known of it; takes over `incoming`. */
static int deliver(const Path *path, const Walk *walk, PyObject *parent, PyObject *incoming) {
    int fits = 0;
    if (Py_IS_TYPE(incoming, path->tensor) && SLOT(incoming, path->of_tensor.array) != NULL
            && SLOT(incoming, path->of_tensor.key) == SLOT(parent, path->of_node.key)) {
        PyObject *shape = shape_of(SLOT(incoming, path->of_tensor.array));
        fits = shape == NULL ? -1 : PyObject_RichCompareBool(shape, SLOT(parent, path->of_node.shape), Py_EQ);
        Py_XDECREF(shape);
    }
    if (fits == 0) {
        PyObject *arguments[] = {incoming, parent};
        Py_SETREF(incoming, PyObject_Vectorcall(path->unbroadcast, arguments, 2, NULL));
    }
    PyObject *known = fits < 0 || incoming == NULL ? NULL : PyDict_GetItemWithError(walk->gradients, parent);
    if (known != NULL) {
        Py_SETREF(incoming, PyNumber_Add(known, incoming));
    }
    int is_right = incoming != NULL && !PyErr_Occurred() && PyDict_SetItem(walk->gradients, parent, incoming) == 0;
    Py_XDECREF(incoming);
    return is_right;
}

/* Whether a parent's gradient is asked for; -1 with an error set. */
static int is_asked_for(const Walk *walk, PyObject *parent) {
    return parent == Py_None ? 0 : walk->useful == Py_None ? 1 : PySet_Contains(walk->useful, parent);
}

/* Send a gradient on by the op's own rules, or by core's form; whether all went well. */
static int send_on(const Path *path, const Walk *walk, const Plan *plan, PyObject *node, PyObject *gradient, int is_selected) {
    PyObject *parents = SLOT(node, path->of_node.parents), *saved = SLOT(node, path->of_node.saved), *sequence = NULL;
    int by_rules = plan != NULL && plan->count && !is_selected && PyTuple_Check(saved)
        && PyTuple_GET_SIZE(saved) == PyTuple_GET_SIZE(parents);
    if (!by_rules) {
        PyObject *arguments[] = {node, gradient, is_selected ? Py_True : Py_False};
        PyObject *found = PyObject_Vectorcall(walk->pull_back, arguments, 3, NULL);
        sequence = found == NULL ? NULL : PySequence_Fast(found, "expected a gradient for each input");
        Py_XDECREF(found);
        if (sequence == NULL) {
            return 0;
        }
        if (PySequence_Fast_GET_SIZE(sequence) != PyTuple_GET_SIZE(parents)) {
            PyErr_Format(PyExc_ValueError, "%R: expected %zd gradients, met %R", node, PyTuple_GET_SIZE(parents), sequence);
            Py_DECREF(sequence);
            return 0;
        }
    }
    /* The walk may be gone through again from within a rule, which may let go of what the node saved. */
    Py_INCREF(saved);
    int is_right = 1;
    for (Py_ssize_t i = 0; is_right && i < PyTuple_GET_SIZE(parents); i++) {
        PyObject *parent = PyTuple_GET_ITEM(parents, i), *incoming = Py_None;
        int asked_for = is_asked_for(walk, parent);
        if (asked_for <= 0) {
            is_right = asked_for == 0;
            continue;
        }
        if (by_rules) {
            const Rule *rule = rule_for(plan, i);
            PyObject *kept = PyTuple_GET_ITEM(saved, i);
            incoming = rule == NULL || kept == Py_None ? Py_NewRef(Py_None) : apply(path, rule, node, i, kept, gradient);
        } else {
            incoming = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
        }
        if (incoming == Py_None) {
            Py_DECREF(incoming);
        } else {
            is_right = incoming != NULL && deliver(path, walk, parent, incoming);
        }
    }
    Py_DECREF(saved);
    Py_XDECREF(sequence);
    return is_right;
}

/* Note that what leads to a selection may be without a say; whether all went well. */
static int select_parents(Walk *walk, PyObject *parents) {
    if (walk->selected == NULL && (walk->selected = PySet_New(NULL)) == NULL) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(parents); i++) {
        if (PySet_Add(walk->selected, PyTuple_GET_ITEM(parents, i)) < 0) {
            return 0;
        }
    }
    return 1;
}

/* Let one node's gradient, whose reference is taken over, pass; whether all went well. */
static int pass(const Path *path, Walk *walk, PyObject *node, PyObject *gradient) {
    PyObject *hooks = SLOT(node, path->of_node.hooks), *op = SLOT(node, path->of_node.op);
    PyObject *parents = SLOT(node, path->of_node.parents);
    if (hooks != Py_None && PyObject_IsTrue(hooks)) {
        PyObject *arguments[] = {node, gradient};
        Py_SETREF(gradient, PyObject_Vectorcall(path->hooked, arguments, 2, NULL));
    }
    int wanted = gradient == NULL ? -1
        : walk->wanted != Py_None ? PySet_Contains(walk->wanted, node) : SLOT(node, path->of_node.receiver) != Py_None;
    int is_right = wanted >= 0 && (!wanted || PyDict_SetItem(walk->results, node, gradient) == 0);
    long long order = PyLong_AsLongLong(SLOT(node, path->of_node.order));
    int goes_on = is_right && op != Py_None && order >= walk->since && walk->useful == Py_None;
    if (is_right && op != Py_None && order >= walk->since && walk->useful != Py_None) {
        for (Py_ssize_t i = 0; !goes_on && i < PyTuple_GET_SIZE(parents); i++) {
            goes_on = is_asked_for(walk, PyTuple_GET_ITEM(parents, i)) > 0;
        }
    }
    if (goes_on) {
        const Plan *plan = plan_of(path, op);
        int is_selected = walk->selected != NULL && plan != NULL && plan->hands_on && PySet_Contains(walk->selected, node) > 0;
        is_right = !PyErr_Occurred();
        if (is_right && (is_selected || (plan != NULL && plan->selects))) {
            is_right = select_parents(walk, parents);
        }
        is_right = is_right && send_on(path, walk, plan, node, gradient, is_selected);
        if (is_right && !walk->retain_graph) {
            Py_SETREF(SLOT(node, path->of_node.saved), Py_NewRef(Py_None));
        }
    }
    Py_XDECREF(gradient);
    return is_right && !PyErr_Occurred();
}

static PyObject *send(const Path *path, PyObject *order, Walk walk) {
    walk.selected = NULL;
    walk.results = PyDict_New();
    int is_right = walk.results != NULL;
    for (Py_ssize_t i = 0; is_right && i < PyList_GET_SIZE(order); i++) {
        PyObject *node = PyList_GET_ITEM(order, i);
        if (!(is_right = is_node(path, node))) {
            break;
        }
        PyObject *gradient = PyDict_GetItemWithError(walk.gradients, node);
        if (gradient != NULL) {
            Py_INCREF(gradient);
            is_right = PyDict_DelItem(walk.gradients, node) == 0;
            is_right = pass(path, &walk, node, gradient) && is_right;
        } else {
            is_right = !PyErr_Occurred();
        }
    }
    Py_XDECREF(walk.selected);
    if (!is_right) {
        Py_CLEAR(walk.results);
    }
    return walk.results;
}

#endif
