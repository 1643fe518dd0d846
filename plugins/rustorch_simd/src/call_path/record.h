/* What an op's rules keep of a call, how that goes into the graph, and how it becomes a rule's arguments again. */
#ifndef RUSTORCH_RECORD_H
#define RUSTORCH_RECORD_H

#include "core.h"

#define MOST_INPUTS 8
#define MOST_PARAMETERS 8

/* What a parameter of a rule keeps: one of the inputs, or what core's own functions for it say. */
typedef enum { INPUT, OWN_INPUT, OUTPUT, OWN_SHAPE, ANYTHING } What;

typedef struct {
    What what;
    int input;                /* which, of an INPUT */
    PyObject *keep, *restore; /* core's own functions; no `restore` where what is kept is the argument */
} Parameter;

typedef struct {
    PyObject *rule; /* NULL for an input without gradient */
    int count;
    Parameter parameters[MOST_PARAMETERS];
} Rule;

/* What the compiled path knows of an op, kept in its slot `plan`. */
typedef struct {
    PyObject_HEAD
    const void *path;
    PyObject *bound; /* the op's own dict */
    int is_view, selects, hands_on, is_composed, count;
    Rule rules[];
} Plan;

static void dealloc_plan(PyObject *object) {
    Plan *self = (Plan *)object;
    Py_XDECREF(self->bound);
    for (int i = 0; i < self->count; i++) {
        Py_XDECREF(self->rules[i].rule);
        for (int j = 0; j < self->rules[i].count; j++) {
            Py_XDECREF(self->rules[i].parameters[j].keep);
            Py_XDECREF(self->rules[i].parameters[j].restore);
        }
    }
    PyObject_Free(self);
}

static PyTypeObject PlanType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "rustorch_simd._call_path.Plan",
    .tp_doc = "What the compiled path knows of an op.",
    .tp_basicsize = sizeof(Plan),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = dealloc_plan,
};

/* Read one parameter: the pair (keep, restore) that core has for its name. */
static int read_parameter(const Path *path, PyObject *pair, Parameter *parameter) {
    static const struct { const char *name; What what; int input; } known[] = {
        {"x1", INPUT, 0}, {"x2", INPUT, 1}, {"x3", INPUT, 2}, {"x", OWN_INPUT, 0}, {"y", OUTPUT, 0}, {"x_shape", OWN_SHAPE, 0},
    };
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "expected a pair of functions, met %R", pair);
        return 0;
    }
    parameter->what = ANYTHING;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (PyDict_GetItemString(path->vocabulary, known[i].name) == pair) {
            parameter->what = known[i].what;
            parameter->input = known[i].input;
        }
    }
    parameter->keep = Py_NewRef(PyTuple_GET_ITEM(pair, 0));
    PyObject *restore = PyTuple_GET_ITEM(pair, 1);
    parameter->restore = restore == path->as_kept ? NULL : Py_NewRef(restore);
    return 1;
}

static int truth(PyObject *object, const char *name) {
    PyObject *value = PyObject_GetAttrString(object, name);
    int found = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    return found;
}

static int is_elementwise(PyObject *op) {
    PyObject *kind = PyObject_GetAttrString(op, "kind");
    int found = kind == NULL || !PyUnicode_Check(kind) ? -1
        : PyUnicode_CompareWithASCIIString(kind, "unary") == 0 || PyUnicode_CompareWithASCIIString(kind, "binary") == 0;
    Py_XDECREF(kind);
    return found;
}

static PyObject *make_plan(const Path *path, PyObject *op) {
    PyObject *rules = PyObject_GetAttrString(op, "rules"), *parameters = PyObject_GetAttrString(op, "_parameters");
    PyObject *compose = PyObject_GetAttrString(op, "compose"), *bound = PyObject_GetAttrString(op, "bound");
    Plan *plan = NULL;
    if (rules == NULL || parameters == NULL || compose == NULL || bound == NULL) {
        goto done;
    }
    if (!PyTuple_Check(rules) || !PyList_Check(parameters) || PyTuple_GET_SIZE(rules) != PyList_GET_SIZE(parameters)
            || !PyDict_Check(bound)) {
        PyErr_Format(PyExc_TypeError, "%R has not the rules that this build knows", op);
        goto done;
    }
    int count = (int)PyTuple_GET_SIZE(rules);
    size_t size = sizeof(Plan) + (size_t)count * sizeof(Rule);
    if ((plan = PyObject_Malloc(size)) == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    memset(plan, 0, size);
    PyObject_Init((PyObject *)plan, &PlanType);
    plan->path = path;
    plan->bound = Py_NewRef(bound);
    plan->is_composed = compose != Py_None && count == 0;
    plan->is_view = truth(op, "is_view");
    plan->selects = truth(op, "selects");
    plan->hands_on = is_elementwise(op);
    int is_right = plan->is_view >= 0 && plan->selects >= 0 && plan->hands_on >= 0;
    plan->hands_on |= plan->is_view;
    for (int i = 0; is_right && i < count; i++, plan->count = i) {
        PyObject *rule = PyTuple_GET_ITEM(rules, i), *pairs = PyList_GET_ITEM(parameters, i);
        if (rule == Py_None) {
            continue;
        }
        if (!PyTuple_Check(pairs) || PyTuple_GET_SIZE(pairs) > MOST_PARAMETERS) {
            PyErr_Format(PyExc_TypeError, "a rule of %R has more parameters than this build knows", op);
            is_right = 0;
            break;
        }
        plan->rules[i].rule = Py_NewRef(rule);
        for (int j = 0; is_right && j < PyTuple_GET_SIZE(pairs); j++) {
            is_right = read_parameter(path, PyTuple_GET_ITEM(pairs, j), &plan->rules[i].parameters[j]);
            plan->rules[i].count += is_right;
        }
    }
    if (!is_right) {
        Py_CLEAR(plan);
    }
done:
    Py_XDECREF(rules);
    Py_XDECREF(parameters);
    Py_XDECREF(compose);
    Py_XDECREF(bound);
    return (PyObject *)plan;
}

/* The plan of an op, made when it is first asked for; NULL for what is no op of the registry, and with an error set. */
static const Plan *plan_of(const Path *path, PyObject *op) {
    if (!PyObject_TypeCheck(op, path->op)) {
        return NULL;
    }
    PyObject *known = SLOT(op, path->of_op.plan);
    if (known == NULL) {
        return NULL;
    }
    if (!Py_IS_TYPE(known, &PlanType) || ((Plan *)known)->path != path) {
        PyObject *made = make_plan(path, op);
        if (made == NULL) {
            return NULL;
        }
        Py_SETREF(SLOT(op, path->of_op.plan), made);
        known = made;
    }
    return (const Plan *)known;
}

/* The rule for an input; the last one serves all that follow. */
static const Rule *rule_for(const Plan *plan, Py_ssize_t position) {
    if (plan->count == 0) {
        return NULL;
    }
    const Rule *rule = &plan->rules[position < plan->count ? position : plan->count - 1];
    return rule->rule == NULL ? NULL : rule;
}

/* A tensor's values for the graph to keep: what core's own `save` does, for a tensor that is alone on its memory. */
static PyObject *save(const Path *path, PyObject *tensor) {
    PyObject *array = SLOT(tensor, path->of_tensor.array), *reference = SLOT(tensor, path->of_tensor.saved);
    if (array != NULL && reference != NULL && PyWeakref_CheckRef(reference)) {
        PyObject *known = PyWeakref_GetObject(reference);
        if (known != Py_None && SLOT(known, path->of_saved.array) == array) {
            return Py_NewRef(known);
        }
    }
    if (array == NULL || reference == NULL || SLOT(tensor, path->of_tensor.place) != Py_None) {
        return PyObject_CallOneArg(path->save, tensor);
    }
    PyObject *saved = path->saved->tp_alloc(path->saved, 0);
    if (saved == NULL) {
        return NULL;
    }
    SLOT(saved, path->of_saved.array) = Py_NewRef(array);
    SLOT(saved, path->of_saved.key) = Py_NewRef(SLOT(tensor, path->of_tensor.key));
    PyObject *fresh = PyWeakref_NewRef(saved, NULL);
    if (fresh == NULL) {
        Py_DECREF(saved);
        return NULL;
    }
    Py_XSETREF(SLOT(tensor, path->of_tensor.saved), fresh);
    return saved;
}

/* One call: its inputs, each a tensor or None, its attributes, and its output, one tensor. */
typedef struct {
    PyObject *op, *const *inputs, *attributes, *output;
    Py_ssize_t count;
} Call;

static PyObject *tuple_of(PyObject *const *items, Py_ssize_t count) {
    PyObject *made = PyTuple_New(count);
    for (Py_ssize_t i = 0; made != NULL && i < count; i++) {
        PyTuple_SET_ITEM(made, i, Py_NewRef(items[i]));
    }
    return made;
}

static PyObject *keep_parameter(const Path *path, const Parameter *parameter, const Call *call, Py_ssize_t position) {
    Py_ssize_t input = parameter->what == INPUT ? parameter->input : position;
    if (parameter->what == OUTPUT) {
        return save(path, call->output);
    }
    if (parameter->what != ANYTHING && input < call->count && call->inputs[input] != Py_None) {
        PyObject *tensor = call->inputs[input];
        return parameter->what == OWN_SHAPE ? shape_of(SLOT(tensor, path->of_tensor.array)) : save(path, tensor);
    }
    PyObject *inputs = tuple_of(call->inputs, call->count), *number = PyLong_FromSsize_t(position), *kept = NULL;
    if (inputs != NULL && number != NULL) {
        PyObject *arguments[] = {inputs, number, call->attributes, call->output};
        kept = PyObject_Vectorcall(parameter->keep, arguments, 4, NULL);
    }
    Py_XDECREF(inputs);
    Py_XDECREF(number);
    return kept;
}

/* What the rule for one input keeps of a call: None where there is no rule, or no gradient goes there. */
static PyObject *keep_for(const Path *path, const Plan *plan, const Call *call, Py_ssize_t position, PyObject *parent) {
    const Rule *rule = parent == Py_None ? NULL : rule_for(plan, position);
    if (rule == NULL) {
        return Py_NewRef(Py_None);
    }
    PyObject *values = PyTuple_New(rule->count);
    for (int i = 0; values != NULL && i < rule->count; i++) {
        PyObject *kept = keep_parameter(path, &rule->parameters[i], call, position);
        if (kept == NULL) {
            Py_CLEAR(values);
        } else {
            PyTuple_SET_ITEM(values, i, kept);
        }
    }
    return values;
}

static PyObject *keep(const Path *path, const Plan *plan, const Call *call, PyObject *parents) {
    if (plan->count == 0) {
        PyObject *inputs = tuple_of(call->inputs, call->count), *kept = NULL;
        if (inputs != NULL) {
            PyObject *arguments[] = {call->op, parents, inputs, call->attributes, call->output};
            kept = PyObject_Vectorcall(path->keep, arguments, 5, NULL);
            Py_DECREF(inputs);
        }
        return kept;
    }
    PyObject *saved = PyTuple_New(call->count);
    for (Py_ssize_t i = 0; saved != NULL && i < call->count; i++) {
        PyObject *values = keep_for(path, plan, call, i, PyTuple_GET_ITEM(parents, i));
        if (values == NULL) {
            Py_CLEAR(saved);
        } else {
            PyTuple_SET_ITEM(saved, i, values);
        }
    }
    return saved;
}

/* Put the output of a call, one tensor, into the graph; whether that worked. */
static int record(const Path *path, const Plan *plan, const Call *call) {
    PyObject *output = call->output, *key = SLOT(output, path->of_tensor.key);
    if (SLOT(key, path->of_key.is_floating) != Py_True) {
        return 1;
    }
    PyObject *parents = PyTuple_New(call->count);
    for (Py_ssize_t i = 0; parents != NULL && i < call->count; i++) {
        PyObject *input = call->inputs[i];
        PyTuple_SET_ITEM(parents, i, Py_NewRef(input == Py_None ? Py_None : SLOT(input, path->of_tensor.node)));
    }
    PyObject *saved = parents == NULL ? NULL : keep(path, plan, call, parents);
    PyObject *shape = saved == NULL ? NULL : shape_of(SLOT(output, path->of_tensor.array));
    PyObject *order = shape == NULL ? NULL : PyIter_Next(path->order);
    PyObject *node = order == NULL ? NULL : path->node->tp_alloc(path->node, 0);
    if (node == NULL) {
        Py_XDECREF(parents);
        Py_XDECREF(saved);
        Py_XDECREF(shape);
        Py_XDECREF(order);
        return 0;
    }
    SLOT(node, path->of_node.op) = Py_NewRef(call->op);
    SLOT(node, path->of_node.shape) = shape;
    SLOT(node, path->of_node.key) = Py_NewRef(key);
    SLOT(node, path->of_node.order) = order;
    SLOT(node, path->of_node.parents) = parents;
    SLOT(node, path->of_node.saved) = saved;
    SLOT(node, path->of_node.attributes) = Py_NewRef(call->attributes);
    SLOT(node, path->of_node.index) = Py_NewRef(zero);
    SLOT(node, path->of_node.receiver) = Py_NewRef(Py_None);
    SLOT(node, path->of_node.hooks) = Py_NewRef(Py_None);
    Py_SETREF(SLOT(output, path->of_tensor.node), node);
    return 1;
}

/* A saved tensor as it was, in its place in the graph. */
static PyObject *restored(const Path *path, PyObject *saved, PyObject *node) {
    if (!Py_IS_TYPE(saved, path->saved) || SLOT(saved, path->of_saved.array) == NULL || SLOT(saved, path->of_saved.key) == NULL) {
        PyErr_Format(PyExc_TypeError, "expected what the graph saved, met %R", saved);
        return NULL;
    }
    PyObject *reference = PyWeakref_NewRef(saved, NULL);
    PyObject *array = Py_NewRef(SLOT(saved, path->of_saved.array)), *key = SLOT(saved, path->of_saved.key);
    PyObject *tensor = reference == NULL ? NULL : wrap(path, array, key);
    if (tensor == NULL) {
        Py_XDECREF(reference);
        return NULL;
    }
    Py_SETREF(SLOT(tensor, path->of_tensor.node), Py_NewRef(node));
    Py_SETREF(SLOT(tensor, path->of_tensor.saved), reference);
    return tensor;
}

static PyObject *restore_parameter(const Path *path, const Parameter *parameter, PyObject *value, PyObject *node, Py_ssize_t position) {
    if (parameter->restore == NULL || (value == Py_None && parameter->what <= OUTPUT)) {
        return Py_NewRef(value);
    }
    PyObject *parents = SLOT(node, path->of_node.parents);
    Py_ssize_t input = parameter->what == INPUT ? parameter->input : position;
    if (parameter->what == OUTPUT) {
        return restored(path, value, node);
    }
    if (parameter->what != ANYTHING && input < PyTuple_GET_SIZE(parents)) {
        return restored(path, value, PyTuple_GET_ITEM(parents, input));
    }
    PyObject *number = PyLong_FromSsize_t(position), *argument = NULL;
    if (number != NULL) {
        PyObject *arguments[] = {value, node, number};
        argument = PyObject_Vectorcall(parameter->restore, arguments, 3, NULL);
        Py_DECREF(number);
    }
    return argument;
}

/* The gradient with respect to one input of a recorded call, by its rule. */
static PyObject *apply(const Path *path, const Rule *rule, PyObject *node, Py_ssize_t position, PyObject *kept, PyObject *gradient) {
    if (!PyTuple_Check(kept) || PyTuple_GET_SIZE(kept) != rule->count) {
        PyErr_SetString(PyExc_TypeError, "what was kept is not what the rule asks for");
        return NULL;
    }
    PyObject *arguments[MOST_PARAMETERS + 1] = {gradient}, *found = NULL;
    int count = 0;
    while (count < rule->count) {
        PyObject *value = PyTuple_GET_ITEM(kept, count);
        PyObject *argument = restore_parameter(path, &rule->parameters[count], value, node, position);
        if (argument == NULL) {
            break;
        }
        arguments[++count] = argument;
    }
    if (count == rule->count) {
        found = PyObject_Vectorcall(rule->rule, arguments, (size_t)count + 1, NULL);
    }
    while (count > 0) {
        Py_DECREF(arguments[count--]);
    }
    return found;
}

#endif
