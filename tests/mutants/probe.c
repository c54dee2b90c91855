/* The inlined C of intermodal/atomics.h behind a module, and loops in threads of the system, which meet whatever
 * holds the GIL. PROBE_OPERATIONS, which defines a wrapper for each operation, and PROBE_METHODS, which lists them,
 * come from build.OPERATIONS: probe.py writes them. */
#include <pthread.h>

#include "operations.h"

#define MOST_THREADS 8

typedef struct {
    int64_t address;
    int64_t steps;
    int64_t me;
    int64_t *plain;
    pthread_barrier_t *together;
} Work;

static void *add_many(void *argument) {
    Work *work = argument;
    pthread_barrier_wait(work->together);
    for (int64_t i = 0; i < work->steps; i++) im_fetch_add(work->address, 1, IM_RELAXED);
    return NULL;
}

static void *exchange_many(void *argument) {
    Work *work = argument;
    pthread_barrier_wait(work->together);
    for (int64_t i = 0; i < work->steps;) {
        int64_t old = im_load(work->address, IM_RELAXED);
        i += im_compare_exchange(work->address, old, old + 1, IM_ACQ_REL);
    }
    return NULL;
}

static void *lock_many(void *argument) {
    Work *work = argument;
    pthread_barrier_wait(work->together);
    for (int64_t i = 0; i < work->steps; i++) {
        int64_t version;
        do version = im_load(work->address, IM_RELAXED) & ~(int64_t)1;
        while (!im_try_lock(work->address, version));
        *(volatile int64_t *)work->plain += 1;
        im_unlock(work->address, version + 2);
    }
    return NULL;
}

/* Each thread counts in a byte of its own, beside those of the others. */
static void *bytes_many(void *argument) {
    Work *work = argument;
    pthread_barrier_wait(work->together);
    for (int64_t i = 0; i < work->steps; i++) {
        int64_t byte = im_load_byte(work->address + work->me);
        if (i & 1) im_store_byte(work->address + work->me, byte + 1);
        else if (!im_compare_exchange_byte(work->address + work->me, byte, byte + 1)) return NULL;
    }
    return NULL;
}

/* meet(loop, threads, steps, address) -> the plain counter that the lock guards. */
static PyObject *meet(PyObject *self, PyObject *arguments) {
    static void *(*const loops[])(void *) = {add_many, exchange_many, lock_many, bytes_many};
    long long loop, threads, steps, address;
    if (!PyArg_ParseTuple(arguments, "LLLL", &loop, &threads, &steps, &address)) return NULL;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, (unsigned)threads);
    pthread_t started[MOST_THREADS];
    Work work[MOST_THREADS];
    int64_t plain = 0;
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < threads; i++) {
        work[i] = (Work){address, steps, i, &plain, &together};
        pthread_create(&started[i], NULL, loops[loop], &work[i]);
    }
    for (int i = 0; i < threads; i++) pthread_join(started[i], NULL);
    Py_END_ALLOW_THREADS
    pthread_barrier_destroy(&together);
    return PyLong_FromLongLong(plain);
}

PROBE_OPERATIONS

static PyMethodDef methods[] = {PROBE_METHODS{"meet", meet, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "probe", .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC PyInit_probe(void) { return PyModuleDef_Init(&definition); }
