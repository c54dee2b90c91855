/* intermodal.atomics and intermodal.memory, compiled: what each function named in intermodal.build becomes.
 *
 * Included in front of every C file that intermodal.build.mypycify produces, so that a call of
 * `intermodal.atomics.load(...)` in compiled Python is one inlined instruction. The contract of every
 * function, its memory order included, is written once, in intermodal/atomics.py; here are only the reasons
 * that belong to C.
 *
 * Addresses cross the boundary as int64_t. Nothing here checks one, except in a debug build
 * (-DINTERMODAL_DEBUG), where an address outside every live block ends the process with a message.
 */
#pragma once
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "pythoncapi_compat.h"

#if defined(__x86_64__) && !defined(INTERMODAL_PORTABLE_MATCH)
#include <emmintrin.h>
#define IM_SSE2 1
#endif
#if defined(_WIN32)
#include <windows.h>
#else
#include <sched.h>
#include <sys/mman.h>
#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#define IM_MMAP 1
#endif

#define IM_ALWAYS static inline __attribute__((always_inline, unused))
#define IM_COLD static __attribute__((noinline, cold, unused))
#define IM_WARM static __attribute__((noinline, unused))

/* ---- debug builds: every address lies in a live block ------------------------------------------------- */

#ifdef INTERMODAL_DEBUG
IM_COLD void im_check(int64_t address, int64_t bytes, bool slot) {
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *saved = PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
#endif
    PyObject *memory = PyImport_ImportModule("intermodal.memory");
    PyObject *verdict = memory == NULL ? NULL
        : slot ? PyObject_CallMethod(memory, "check_slot", "L", (long long)address)
        : PyObject_CallMethod(memory, "check_words", "LL", (long long)address, (long long)bytes);
    if (verdict == NULL) {
        PyErr_Print();
        Py_FatalError("intermodal: an atomic was given an address outside every live block");
    }
    Py_DECREF(verdict);
    Py_DECREF(memory);
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(saved);
#else
    PyErr_Restore(type, value, traceback);
#endif
}
#define IM_CHECK_WORDS(address, bytes) im_check(address, bytes, false)
#define IM_CHECK_SLOT(address) im_check(address, 8, true)
#else
#define IM_CHECK_WORDS(address, bytes) ((void)0)
#define IM_CHECK_SLOT(address) ((void)0)
#endif

/* ---- 64-bit words -------------------------------------------------------------------------------------
 * The built-ins want a constant memory order. The callers pass one, so after inlining each switch is gone.
 * The order's numbers are intermodal.atomics.RELAXED .. SEQ_CST. */

#define IM_RELAXED 0
#define IM_ACQUIRE 1
#define IM_RELEASE 2
#define IM_ACQ_REL 3

IM_ALWAYS int64_t *im_word(int64_t address) {
    IM_CHECK_WORDS(address, 8);
    return (int64_t *)address;
}

IM_ALWAYS int64_t im_load(int64_t address, int64_t order) {
    int64_t *word = im_word(address);
    switch (order) {
    case IM_RELAXED: return __atomic_load_n(word, __ATOMIC_RELAXED);
    case IM_ACQUIRE: return __atomic_load_n(word, __ATOMIC_ACQUIRE);
    default: return __atomic_load_n(word, __ATOMIC_SEQ_CST);
    }
}

IM_ALWAYS void im_store(int64_t address, int64_t value, int64_t order) {
    int64_t *word = im_word(address);
    switch (order) {
    case IM_RELAXED: __atomic_store_n(word, value, __ATOMIC_RELAXED); break;
    case IM_RELEASE: __atomic_store_n(word, value, __ATOMIC_RELEASE); break;
    default: __atomic_store_n(word, value, __ATOMIC_SEQ_CST); break;
    }
}

#define IM_READ_MODIFY_WRITE(name, builtin)                                                   \
    IM_ALWAYS int64_t name(int64_t address, int64_t operand, int64_t order) {                 \
        int64_t *word = im_word(address);                                                     \
        switch (order) {                                                                      \
        case IM_RELAXED: return builtin(word, operand, __ATOMIC_RELAXED);                     \
        case IM_ACQUIRE: return builtin(word, operand, __ATOMIC_ACQUIRE);                     \
        case IM_RELEASE: return builtin(word, operand, __ATOMIC_RELEASE);                     \
        case IM_ACQ_REL: return builtin(word, operand, __ATOMIC_ACQ_REL);                     \
        default: return builtin(word, operand, __ATOMIC_SEQ_CST);                             \
        }                                                                                     \
    }
IM_READ_MODIFY_WRITE(im_exchange, __atomic_exchange_n)
IM_READ_MODIFY_WRITE(im_fetch_add, __atomic_fetch_add)
IM_READ_MODIFY_WRITE(im_fetch_and, __atomic_fetch_and)
IM_READ_MODIFY_WRITE(im_fetch_or, __atomic_fetch_or)

IM_ALWAYS bool im_compare_exchange(int64_t address, int64_t expected, int64_t desired, int64_t order) {
    int64_t *word = im_word(address);
#define IM_CAS(success, failure) \
    __atomic_compare_exchange_n(word, &expected, desired, false, success, failure)
    switch (order) {
    case IM_RELAXED: return IM_CAS(__ATOMIC_RELAXED, __ATOMIC_RELAXED);
    case IM_ACQUIRE: return IM_CAS(__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
    case IM_RELEASE: return IM_CAS(__ATOMIC_RELEASE, __ATOMIC_RELAXED);
    case IM_ACQ_REL: return IM_CAS(__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    default: return IM_CAS(__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
#undef IM_CAS
}

IM_ALWAYS void im_fence(int64_t order) {
    switch (order) {
    case IM_RELAXED: break;
    case IM_ACQUIRE: __atomic_thread_fence(__ATOMIC_ACQUIRE); break;
    case IM_RELEASE: __atomic_thread_fence(__ATOMIC_RELEASE); break;
    case IM_ACQ_REL: __atomic_thread_fence(__ATOMIC_ACQ_REL); break;
    default: __atomic_thread_fence(__ATOMIC_SEQ_CST); break;
    }
}

/* An asymmetric fence. membarrier makes every running thread of the process pass a full barrier, so that the
 * light side need only keep the compiler from moving accesses. Each shared library asks for itself, when it is
 * loaded; the kernel gives all of them the same answer, and a child process keeps it. */
static bool im_expedited;

#if defined(__linux__) && defined(SYS_membarrier)
__attribute__((constructor, unused)) static void im_register_membarrier(void) {
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    im_expedited = commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
                   syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}
#endif

IM_ALWAYS void im_light_fence(void) {
    if (im_expedited) __atomic_signal_fence(__ATOMIC_SEQ_CST);
    else __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

IM_COLD void im_heavy_fence(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#if defined(__linux__) && defined(SYS_membarrier)
    /* Light fences rely on it: there is no going back. */
    if (im_expedited && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        Py_FatalError("intermodal: membarrier is refused after it was granted");
#endif
}

IM_ALWAYS bool im_try_lock(int64_t address, int64_t expected) {
    return im_compare_exchange(address, expected, expected | 1, IM_ACQUIRE);
}

IM_ALWAYS void im_unlock(int64_t address, int64_t value) { im_store(address, value, IM_RELEASE); }

/* ---- bytes and bits ----------------------------------------------------------------------------------- */

IM_ALWAYS uint8_t *im_byte(int64_t address) {
    IM_CHECK_WORDS(address, 1);
    return (uint8_t *)address;
}

IM_ALWAYS int64_t im_load_byte(int64_t address) {
    return __atomic_load_n(im_byte(address), __ATOMIC_ACQUIRE);
}

IM_ALWAYS void im_store_byte(int64_t address, int64_t value) {
    __atomic_store_n(im_byte(address), (uint8_t)value, __ATOMIC_RELEASE);
}

IM_ALWAYS bool im_compare_exchange_byte(int64_t address, int64_t expected, int64_t desired) {
    uint8_t old = (uint8_t)expected;
    return __atomic_compare_exchange_n(im_byte(address), &old, (uint8_t)desired, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Eight bytes at once without vector instructions: a byte of x ^ pattern is zero exactly where the byte
 * matches, and (y & 0x7f) + 0x7f carries into bit 7 exactly where the low seven bits are not zero. The
 * multiplication then gathers the eight top bits into the top byte. */
IM_ALWAYS int64_t im_match_eight(uint64_t bytes, uint8_t wanted) {
    const uint64_t low7 = 0x7f7f7f7f7f7f7f7full;
    uint64_t y = bytes ^ (0x0101010101010101ull * wanted);
    uint64_t zero = ~(((y & low7) + low7) | y | low7);
    return (int64_t)(((zero >> 7) * 0x0102040810204080ull) >> 56);
}

IM_ALWAYS int64_t im_match_bytes_portable(int64_t address, int64_t byte) {
    IM_CHECK_WORDS(address, 16);
    uint64_t low = (uint64_t)__atomic_load_n((int64_t *)address, __ATOMIC_ACQUIRE);
    uint64_t high = (uint64_t)__atomic_load_n((int64_t *)(address + 8), __ATOMIC_ACQUIRE);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    low = __builtin_bswap64(low);
    high = __builtin_bswap64(high);
#endif
    return im_match_eight(low, (uint8_t)byte) | (im_match_eight(high, (uint8_t)byte) << 8);
}

IM_ALWAYS int64_t im_match_bytes(int64_t address, int64_t byte) {
#ifdef IM_SSE2
    IM_CHECK_WORDS(address, 16);
    /* One aligned 16-byte load. The architecture promises atomicity for each byte only, and no more is
     * needed: each byte is a state of its own. The compiler barrier keeps the load here. */
    __m128i group = _mm_load_si128((const __m128i *)address);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return _mm_movemask_epi8(_mm_cmpeq_epi8(group, _mm_set1_epi8((char)byte)));
#else
    return im_match_bytes_portable(address, byte);
#endif
}

IM_ALWAYS int64_t im_count_trailing_zeros(int64_t bits) { return __builtin_ctzll((uint64_t)bits); }

IM_ALWAYS int64_t im_count_ones(int64_t bits) {
#if defined(__x86_64__) && !defined(__POPCNT__)
    /* The built-in would be a call: not every such processor has the instruction. */
    uint64_t sums = (uint64_t)bits;
    sums -= (sums >> 1) & 0x5555555555555555ull;
    sums = (sums & 0x3333333333333333ull) + ((sums >> 2) & 0x3333333333333333ull);
    sums = (sums + (sums >> 4)) & 0x0F0F0F0F0F0F0F0Full;
    return (int64_t)((sums * 0x0101010101010101ull) >> 56);
#else
    return __builtin_popcountll((uint64_t)bits);
#endif
}

typedef unsigned __int128 im_u128; /* every 64-bit target of gcc and clang has it */

IM_ALWAYS int64_t im_mix(int64_t value) {
    im_u128 product = (im_u128)((uint64_t)value ^ 0x9E3779B97F4A7C15ull) * 0xBF58476D1CE4E5B9ull;
    return (int64_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

IM_ALWAYS int64_t im_fast_range(int64_t value, int64_t size) {
    return (int64_t)(((im_u128)((uint64_t)value & INT64_MAX) * (uint64_t)size) >> 63);
}

IM_ALWAYS int64_t im_range_start(int64_t index, int64_t size) {
    return (int64_t)((((im_u128)(uint64_t)index << 63) + (uint64_t)size - 1) / (uint64_t)size);
}

IM_ALWAYS void im_prefetch(int64_t address) { __builtin_prefetch((const void *)address); }

/* ---- threads ------------------------------------------------------------------------------------------ */

IM_ALWAYS int64_t im_thread_token(void) {
#ifdef Py_GIL_DISABLED
    return (int64_t)_Py_ThreadId();
#else
    return 1; /* compiled code is not interrupted by another thread: all threads act as one */
#endif
}

/* A direct-mapped cache of words by key, one for each thread. Keys are never used again, so an entry that is
 * no longer wanted is in nobody's way. */
#define IM_THREAD_WORDS 8
static _Thread_local struct { int64_t key, word; } im_thread_words[IM_THREAD_WORDS] __attribute__((unused));

IM_ALWAYS int64_t im_thread_word(int64_t key) {
    return im_thread_words[key & (IM_THREAD_WORDS - 1)].key == key ? im_thread_words[key & (IM_THREAD_WORDS - 1)].word : 0;
}

IM_ALWAYS void im_set_thread_word(int64_t key, int64_t word) {
    if (word == 0 && im_thread_word(key) == 0) return;
    im_thread_words[key & (IM_THREAD_WORDS - 1)].key = key;
    im_thread_words[key & (IM_THREAD_WORDS - 1)].word = word;
}

IM_ALWAYS void im_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ __volatile__("yield");
#endif
}

/* The thread state is given up meanwhile: the awaited thread may need the GIL, or be stopped together with
 * everybody else until this thread reaches a safe point. */
IM_COLD void im_yield_thread(void) {
    Py_BEGIN_ALLOW_THREADS
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
    Py_END_ALLOW_THREADS
}

/* The thread state goes with the word: it is this thread's own, and alive while the thread is. A debug build
 * keeps it, since im_check calls Python. */
IM_ALWAYS int64_t im_gil_release(void) {
#ifdef INTERMODAL_DEBUG
    return 0;
#else
    return (int64_t)PyEval_SaveThread();
#endif
}

IM_ALWAYS void im_gil_acquire(int64_t state) {
#ifdef INTERMODAL_DEBUG
    (void)state;
#else
    PyEval_RestoreThread((PyThreadState *)state);
#endif
}

/* ---- floating-point numbers in words ------------------------------------------------------------------ */

IM_ALWAYS int64_t im_float_word(double value) {
    int64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

IM_ALWAYS double im_word_float(int64_t word) {
    double value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* ---- object slots -------------------------------------------------------------------------------------
 * A full slot owns one reference. With the GIL a borrowed pointer stays valid until this thread runs
 * Python code. Without it, a loaded pointer may be freed at once by another thread; TryIncRef fails on an
 * object whose count has reached zero (its memory is not given to anything but an object of the same size
 * before this thread passes a quiescent point, so the count itself may be read), and the second look at the
 * slot shows that it is still the object that was meant. */

IM_ALWAYS PyObject **im_slot(int64_t address) {
    IM_CHECK_SLOT(address);
    return (PyObject **)address;
}

IM_ALWAYS PyObject *im_slot_peek(int64_t address) {
    return __atomic_load_n(im_slot(address), __ATOMIC_ACQUIRE);
}

/* A new reference to the slot's object, or NULL for an empty slot. */
IM_ALWAYS PyObject *im_slot_get(int64_t address) {
    PyObject *object = im_slot_peek(address);
#ifdef Py_GIL_DISABLED
    while (object != NULL) {
        if (PyUnstable_TryIncRef(object)) {
            PyObject *again = im_slot_peek(address);
            if (again == object) return object;
            Py_DECREF(object);
            object = again;
        } else {
            im_pause();
            object = im_slot_peek(address);
        }
    }
    return NULL;
#else
    return Py_XNewRef(object);
#endif
}

IM_ALWAYS PyObject *im_slot_own(PyObject *object) {
    PyUnstable_EnableTryIncRef(object);
    return Py_NewRef(object);
}

IM_ALWAYS PyObject *im_object_load(int64_t address, PyObject *fallback) {
    PyObject *object = im_slot_get(address);
    return object != NULL ? object : Py_NewRef(fallback);
}

IM_ALWAYS void im_object_store(int64_t address, PyObject *object) {
    __atomic_store_n(im_slot(address), im_slot_own(object), __ATOMIC_RELEASE);
}

IM_ALWAYS PyObject *im_object_exchange(int64_t address, PyObject *object, PyObject *fallback) {
    PyObject *old = __atomic_exchange_n(im_slot(address), im_slot_own(object), __ATOMIC_ACQ_REL);
    return old != NULL ? old : Py_NewRef(fallback);
}

IM_ALWAYS PyObject *im_object_take(int64_t address, PyObject *fallback) {
    PyObject *old = __atomic_exchange_n(im_slot(address), NULL, __ATOMIC_ACQ_REL);
    return old != NULL ? old : Py_NewRef(fallback);
}

IM_ALWAYS void im_object_exchange_into(int64_t address, PyObject *object, int64_t target) {
    PyObject *old = __atomic_exchange_n(im_slot(address), im_slot_own(object), __ATOMIC_ACQ_REL);
    __atomic_store_n(im_slot(target), old, __ATOMIC_RELAXED);
}

IM_ALWAYS void im_object_take_into(int64_t address, int64_t target) {
    PyObject *old = __atomic_exchange_n(im_slot(address), NULL, __ATOMIC_ACQ_REL);
    __atomic_store_n(im_slot(target), old, __ATOMIC_RELAXED);
}

IM_ALWAYS bool im_object_compare_exchange(int64_t address, PyObject *expected, PyObject *desired) {
    PyObject *current = expected;
    im_slot_own(desired);
    if (__atomic_compare_exchange_n(im_slot(address), &current, desired, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        Py_DECREF(expected); /* the caller holds another reference, so no destructor runs here */
        return true;
    }
    Py_DECREF(desired);
    return false;
}

IM_ALWAYS void im_object_copy(int64_t source, int64_t target) {
    __atomic_store_n(im_slot(target), im_slot_peek(source), __ATOMIC_RELEASE);
}

/* What the source holds stays alive while its slot keeps it, and was made ready for TryIncRef when stored. */
IM_ALWAYS void im_object_share(int64_t source, int64_t target) {
    __atomic_store_n(im_slot(target), Py_XNewRef(im_slot_peek(source)), __ATOMIC_RELEASE);
}

IM_ALWAYS void im_object_forget(int64_t address) {
    __atomic_store_n(im_slot(address), NULL, __ATOMIC_RELEASE);
}

/* In a section: what the slot held when the era was still the section's stays alive until its end. The era is
 * looked at after the slot: whoever put a younger object there had seen a later era, so this thread, which
 * acquired the object, sees it too. */
IM_ALWAYS PyObject *im_object_load_guarded(int64_t address, int64_t witness, int64_t era, PyObject *fallback) {
    PyObject *object = im_slot_peek(address);
    return Py_NewRef(object != NULL && im_load(witness, IM_ACQUIRE) == era ? object : fallback);
}

IM_ALWAYS bool im_object_is(int64_t address, PyObject *object) { return im_slot_peek(address) == object; }

IM_ALWAYS bool im_object_is_empty(int64_t address) { return im_slot_peek(address) == NULL; }

IM_ALWAYS void im_object_prefetch(int64_t address) { __builtin_prefetch(im_slot_peek(address)); }

/* ---- keys ---------------------------------------------------------------------------------------------- */

IM_ALWAYS Py_hash_t im_str_hash(PyObject *key) {
    return __atomic_load_n(&((PyASCIIObject *)key)->hash, __ATOMIC_RELAXED);
}

/* -113 is what mypyc takes for "perhaps an exception": a hash of that value is only a slower path. */
IM_ALWAYS int64_t im_hash_object(PyObject *key) {
    if (PyUnicode_CheckExact(key)) {
        Py_hash_t hash = im_str_hash(key);
        if (hash != -1) return hash;
    }
    Py_hash_t hash = PyObject_Hash(key);
    return hash == -1 ? -113 : hash;
}

IM_ALWAYS bool im_is_number(PyObject *key) {
    return PyLong_CheckExact(key) || PyFloat_CheckExact(key) || PyBool_Check(key) || PyComplex_CheckExact(key);
}

IM_ALWAYS bool im_str_equal(PyObject *left, PyObject *right) {
    Py_ssize_t length = PyUnicode_GET_LENGTH(left);
    return length == PyUnicode_GET_LENGTH(right) && PyUnicode_KIND(left) == PyUnicode_KIND(right) &&
           memcmp(PyUnicode_DATA(left), PyUnicode_DATA(right), (size_t)length * PyUnicode_KIND(left)) == 0;
}

IM_COLD int64_t im_plain_equal_rare(PyObject *stored, PyObject *key) {
    bool str = PyUnicode_CheckExact(stored), bytes = PyBytes_CheckExact(stored);
    bool plain = str || bytes || stored == Py_None || im_is_number(stored);
    if (!plain) return -1;
    if (PyUnicode_CheckExact(key)) return str ? im_str_equal(stored, key) : 0;
    if (PyBytes_CheckExact(key)) return bytes ? PyObject_RichCompareBool(stored, key, Py_EQ) : 0;
    if (key == Py_None) return 0; /* None is found by identity, before */
    if (!im_is_number(key)) return -1;
    return im_is_number(stored) ? PyObject_RichCompareBool(stored, key, Py_EQ) : 0;
}

IM_ALWAYS int64_t im_keys_equal(PyObject *stored, PyObject *key) {
    if (PyUnicode_CheckExact(key) && PyUnicode_CheckExact(stored)) return im_str_equal(stored, key);
    return im_plain_equal_rare(stored, key);
}

IM_ALWAYS int64_t im_key_equals_guarded(int64_t address, PyObject *key, int64_t witness, int64_t era) {
    PyObject *stored = im_slot_peek(address);
    if (stored == key) return 1;
    if (stored == NULL) return 0;
    if (im_load(witness, IM_ACQUIRE) != era) return -1;
    return im_keys_equal(stored, key);
}

IM_ALWAYS int64_t im_key_equals_kept(int64_t address, PyObject *key) {
    PyObject *stored = im_slot_peek(address);
    if (stored == key) return 1;
    return stored == NULL ? 0 : im_keys_equal(stored, key);
}

IM_ALWAYS int64_t im_key_equals(int64_t address, PyObject *key) {
    PyObject *stored = im_slot_peek(address);
    if (stored == key) return 1;
#ifdef Py_GIL_DISABLED
    stored = im_slot_get(address);
#endif
    if (stored == NULL) return 0;
    int64_t equal = im_keys_equal(stored, key);
#ifdef Py_GIL_DISABLED
    Py_DECREF(stored);
#endif
    return equal;
}

static PyObject *im_no_stored_dict(void) {
    PyErr_SetString(PyExc_TypeError, "the slot holds no dict");
    return NULL;
}

IM_ALWAYS PyObject *im_stored_dict_get(int64_t address, PyObject *key, PyObject *fallback) {
    PyObject *dict = im_slot_peek(address);
    if (dict == NULL || !PyDict_CheckExact(dict)) return im_no_stored_dict();
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *value;
    if (PyDict_GetItemRef(dict, key, &value) < 0) return NULL;
    return value != NULL ? value : Py_NewRef(fallback);
#else
    PyObject *value = PyDict_GetItemWithError(dict, key);
    if (value == NULL && PyErr_Occurred()) return NULL;
    return Py_NewRef(value != NULL ? value : fallback);
#endif
}

IM_ALWAYS bool im_key_is_str(PyObject *key) { return PyUnicode_CheckExact(key); }

#define IM_OTHER_KEY 0
#define IM_INT_KEY 1
#define IM_STR_KEY 2

/* The value of an int of one digit, in which no call is needed; anything else takes one. */
IM_ALWAYS bool im_small_int(PyObject *key, int64_t *value) {
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)key)) return false;
    *value = (int64_t)PyUnstable_Long_CompactValue((PyLongObject *)key);
#else
    Py_ssize_t size = Py_SIZE(key);
    if (size < -1 || size > 1) return false;
    *value = (int64_t)size * (int64_t)((PyLongObject *)key)->ob_digit[0];
#endif
    return true;
}

IM_COLD int64_t im_int_value(PyObject *key, int *overflow) {
    return (int64_t)PyLong_AsLongLongAndOverflow(key, overflow);
}

IM_ALWAYS int64_t im_key_kind(PyObject *key) {
    if (PyUnicode_CheckExact(key)) return IM_STR_KEY;
    if (!PyLong_CheckExact(key) && !PyBool_Check(key)) return IM_OTHER_KEY;
    int64_t value;
    if (im_small_int(key, &value)) return IM_INT_KEY;
    int overflow = 0;
    value = im_int_value(key, &overflow);
    return overflow == 0 && value != INT64_MIN && value != INT64_MAX ? IM_INT_KEY : IM_OTHER_KEY;
}

/* With characters that are not ASCII: encode as many as are needed. */
IM_COLD uint64_t im_str_word_rare(PyObject *key, Py_ssize_t position, Py_ssize_t length) {
    uint64_t word = 0;
    int kind = PyUnicode_KIND(key), room = 8;
    const void *data = PyUnicode_DATA(key);
    while (room > 0 && position < length) {
        Py_UCS4 c = PyUnicode_READ(kind, data, position++);
        int bytes = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (int i = bytes - 1; i >= 0 && room > 0; i--) {
            uint8_t byte = (uint8_t)((c >> (6 * i)) & 0x3F);
            if (bytes == 1) byte = (uint8_t)c;
            else if (i == bytes - 1) byte = (uint8_t)((0xF00u >> bytes) | byte);
            else byte |= 0x80;
            word |= (uint64_t)(uint8_t)(byte + 1) << (8 * --room);
        }
    }
    return word;
}

IM_ALWAYS uint64_t im_big_endian(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Each byte is one more than UTF-8 has it, at most 0xF5, so that a zero says where the string ends. In front of
 * the characters lies the object's header, longer than eight bytes: the last eight bytes of a short string can be
 * read, and those that are no characters shifted out. */
IM_ALWAYS int64_t im_str_word(PyObject *key, int64_t position) {
    const uint64_t ones = 0x0101010101010101u;
    Py_ssize_t length = PyUnicode_GET_LENGTH(key), rest = length - (Py_ssize_t)position;
    uint64_t word;
    if (rest <= 0) word = 0;
    else if (!PyUnicode_IS_ASCII(key)) word = im_str_word_rare(key, (Py_ssize_t)position, length);
    else if (rest >= 8) word = im_big_endian(PyUnicode_1BYTE_DATA(key) + position) + ones;
    else word = (im_big_endian(PyUnicode_1BYTE_DATA(key) + length - 8) + ones) << (8 * (8 - rest));
    return (int64_t)(word ^ ((uint64_t)1 << 63));
}

IM_ALWAYS int64_t im_key_word(PyObject *key, int64_t position) {
    if (PyUnicode_CheckExact(key)) return im_str_word(key, position);
    int64_t value;
    int overflow;
    return im_small_int(key, &value) ? value : im_int_value(key, &overflow);
}

IM_ALWAYS int64_t im_str_compare(PyObject *stored, PyObject *key) {
    if (PyUnicode_KIND(stored) != PyUnicode_1BYTE_KIND || PyUnicode_KIND(key) != PyUnicode_1BYTE_KIND)
        return PyUnicode_Compare(stored, key);
    Py_ssize_t left = PyUnicode_GET_LENGTH(stored), right = PyUnicode_GET_LENGTH(key);
    int order = memcmp(PyUnicode_1BYTE_DATA(stored), PyUnicode_1BYTE_DATA(key), (size_t)(left < right ? left : right));
    if (order == 0) return (left > right) - (left < right);
    return order < 0 ? -1 : 1;
}

IM_ALWAYS int64_t im_key_compare(int64_t address, PyObject *key) {
    PyObject *stored = im_slot_peek(address);
    if (stored == key && PyUnicode_CheckExact(key)) return 0;
#ifdef Py_GIL_DISABLED
    stored = im_slot_get(address);
#endif
    if (stored == NULL) return 2;
    int64_t order = PyUnicode_CheckExact(stored) && PyUnicode_CheckExact(key) ? im_str_compare(stored, key) : 2;
#ifdef Py_GIL_DISABLED
    Py_DECREF(stored);
#endif
    return order;
}

/* The byte is loaded by itself, which is shorter than to load its word and shift. */
IM_ALWAYS int64_t im_ordered_word(int64_t order, int64_t words, int64_t place) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    int64_t number = __atomic_load_n((const uint8_t *)(order + place), __ATOMIC_RELAXED);
#else
    int64_t number = (im_load(order + (place & ~(int64_t)7), IM_RELAXED) >> ((place & 7) * 8)) & 255;
#endif
    return im_load(words + 8 * number, IM_RELAXED);
}

/* How many of the words at *first*, *first* + *stride*... are less: loads that do not wait for each other. */
IM_ALWAYS int64_t im_count_some(int64_t order, int64_t words, int64_t first, int64_t stride, int some, int64_t limit) {
    int64_t less = 0;
#pragma GCC unroll 8
    for (int i = 0; i < some; i++) less += im_ordered_word(order, words, first + i * stride) < limit;
    return less;
}

/* A search that halves waits six times for the outcome of the last comparison to know the next word of 64. This one
 * waits once: it compares the last words of eight parts at the same time, then the words of the part that is left. Both
 * without a jump, since which part it is cannot be foretold. */
IM_ALWAYS int64_t im_count_below(int64_t order, int64_t words, int64_t count, int64_t limit) {
    int64_t below = 0;
    while (count > 64) {
        int64_t half = count >> 1;
        if (im_ordered_word(order, words, below + half - 1) < limit) below += half;
        count -= half;
    }
    if (count < 8) {
        int64_t less = 0;
        for (int64_t i = 0; i < count; i++) less += im_ordered_word(order, words, below + i) < limit;
        return below + less;
    }
    int64_t part = count >> 3, last = below + count - 7;
    below += part * im_count_some(order, words, below + part - 1, part, 8, limit);
    if (below > last) below = last; /* fewer than seven words are left: some that are less are counted here */
    return below + im_count_some(order, words, below, 1, 7, limit);
}

/* The slot must be held still by a lock of the caller's: the pointer is borrowed. */
IM_ALWAYS int64_t im_stored_hash(int64_t address, int64_t hash_address) {
    PyObject *key = im_slot_peek(address);
    return key != NULL && PyUnicode_CheckExact(key) ? im_str_hash(key) : im_load(hash_address, IM_RELAXED);
}

IM_ALWAYS bool im_stored_key_is_str(int64_t address) {
    PyObject *key = im_slot_peek(address);
    return key != NULL && PyUnicode_CheckExact(key);
}

IM_ALWAYS void im_reachability_fence(PyObject *object) { (void)object; }

/* ---- cells ---------------------------------------------------------------------------------------------
 * Words, object slots and more words in one object with its header, for nodes: a look-up that follows a slot
 * is at the words after one load. */

typedef struct {
    PyObject_VAR_HEAD
    uint32_t words, slots;
    int64_t items[1]; /* the words, the slots, the words after them: ob_size in all */
} im_Cell;

IM_ALWAYS PyObject **im_cell_slots(im_Cell *cell) { return (PyObject **)(cell->items + cell->words); }

IM_COLD int im_cell_traverse(im_Cell *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    PyObject **slots = im_cell_slots(self);
    for (uint32_t i = 0; i < self->slots; i++) Py_VISIT(slots[i]);
    return 0;
}

IM_COLD int im_cell_clear(im_Cell *self) {
    PyObject **slots = im_cell_slots(self);
    for (uint32_t i = 0; i < self->slots; i++)
        Py_XDECREF(__atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL));
    return 0;
}

#ifdef INTERMODAL_DEBUG
/* The registry of intermodal.memory is told of every cell, so that addresses in it can be checked. */
IM_COLD void im_cell_tell(const char *function, im_Cell *cell) {
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *saved = PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
#endif
    PyObject *memory = PyImport_ImportModule("intermodal.memory");
    PyObject *done = memory == NULL ? NULL
        : PyObject_CallMethod(memory, function, "LIIL", (long long)(intptr_t)cell->items, cell->words,
                              cell->slots, (long long)Py_SIZE(cell) - cell->words - cell->slots);
    if (done == NULL) PyErr_Clear(); /* the interpreter is being finalized */
    Py_XDECREF(done);
    Py_XDECREF(memory);
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(saved);
#else
    PyErr_Restore(type, value, traceback);
#endif
}
#else
#define im_cell_tell(function, cell) ((void)0)
#endif

IM_COLD void im_cell_dealloc(im_Cell *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, im_cell_dealloc)
    im_cell_clear(self);
    im_cell_tell("unregister_cell", self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

IM_COLD PyTypeObject *im_cell_make_type(PyTypeObject **published) {
    static PyType_Slot slots[] = {
        {Py_tp_traverse, (void *)im_cell_traverse},
        {Py_tp_clear, (void *)im_cell_clear},
        {Py_tp_dealloc, (void *)im_cell_dealloc},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "intermodal.atomics._Cell",
        .basicsize = offsetof(im_Cell, items),
        .itemsize = sizeof(int64_t),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };
    PyTypeObject *created = (PyTypeObject *)PyType_FromSpec(&spec);
    if (created == NULL) return NULL;
    PyTypeObject *type = NULL;
    if (!__atomic_compare_exchange_n(published, &type, created, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        Py_DECREF(created); /* another thread was first */
        return type;
    }
    return created;
}

IM_WARM PyObject *im_cell_new(int64_t words, int64_t objects, int64_t more_words) {
    static PyTypeObject *published = NULL;
    PyTypeObject *type = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
    if (type == NULL && (type = im_cell_make_type(&published)) == NULL) return NULL;
    if (((uint64_t)words | (uint64_t)objects | (uint64_t)more_words) >> 31) {
        PyErr_Format(PyExc_ValueError, "a cell cannot have %lld words, %lld object slots and %lld words",
                     (long long)words, (long long)objects, (long long)more_words);
        return NULL;
    }
    im_Cell *cell = PyObject_GC_NewVar(im_Cell, type, (Py_ssize_t)(words + objects + more_words));
    if (cell == NULL) return NULL;
    cell->words = (uint32_t)words;
    cell->slots = (uint32_t)objects;
    memset(cell->items, 0, (size_t)(words + objects + more_words) * 8);
    PyObject_GC_Track(cell);
    im_cell_tell("register_cell", cell);
    return (PyObject *)cell;
}

IM_ALWAYS int64_t im_cell_address(PyObject *cell) { return (int64_t)(intptr_t)((im_Cell *)cell)->items; }

IM_ALWAYS int64_t im_cell_of(int64_t address) {
    PyObject *cell = im_slot_peek(address);
    return cell == NULL ? 0 : im_cell_address(cell);
}

/* ---- blocks --------------------------------------------------------------------------------------------
 * Zeroed memory that a Python object owns: words first, then object slots, which the cyclic GC visits.
 *
 * Large blocks are mapped from the operating system: allocating one takes microseconds, whatever its size, and
 * pages never touched cost nothing. calloc does the same only until its threshold has adapted to the sizes
 * freed before; then it clears tens of megabytes at once, in the middle of one insertion. */

typedef struct {
    PyObject_HEAD
    void *allocation;
    size_t bytes;
    bool mapped;          /* whether to unmap them; else allocation is PyMem_RawFree's */
    int64_t address;      /* of the first word; a multiple of 64 */
    PyObject **slots;     /* the first object slot; a multiple of 64 */
    int64_t slot_count;   /* 0 after im_block_abandon_objects */
} im_Block;

#define IM_LARGE ((size_t)1 << 20)
#define IM_TRACE_DOMAIN 0x1d0da1u
#define IM_FREED 0xDB

IM_COLD bool im_block_allocate(im_Block *block, size_t bytes) {
    block->bytes = bytes;
    block->mapped = false;
#ifdef IM_MMAP
    if (bytes >= IM_LARGE) {
        void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED) return false;
        block->allocation = pages;
        block->mapped = true;
        PyTraceMalloc_Track(IM_TRACE_DOMAIN, (uintptr_t)pages, bytes);
        return true;
    }
#endif
    block->allocation = PyMem_RawCalloc(1, bytes);
    return block->allocation != NULL;
}

IM_COLD void im_block_free(im_Block *block) {
#ifdef IM_MMAP
    if (block->mapped) {
        PyTraceMalloc_Untrack(IM_TRACE_DOMAIN, (uintptr_t)block->allocation);
        munmap(block->allocation, block->bytes);
        return;
    }
#endif
#ifdef INTERMODAL_DEBUG
    memset(block->allocation, IM_FREED, block->bytes); /* whoever still looks at it is surprised at once */
#endif
    PyMem_RawFree(block->allocation);
}

IM_COLD int im_block_traverse(im_Block *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    for (int64_t i = 0; i < self->slot_count; i++) Py_VISIT(self->slots[i]);
    return 0;
}

IM_COLD int im_block_clear(im_Block *self) {
    for (int64_t i = 0; i < self->slot_count; i++) Py_XDECREF(__atomic_exchange_n(&self->slots[i], NULL, __ATOMIC_ACQ_REL));
    return 0;
}

IM_COLD void im_block_dealloc(im_Block *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, im_block_dealloc)
    im_block_clear(self);
    im_block_free(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

IM_COLD PyObject *im_block_type(void) {
    static PyObject *published = NULL;
    PyObject *type = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
    if (type != NULL) return type;
    static PyType_Slot slots[] = {
        {Py_tp_traverse, (void *)im_block_traverse},
        {Py_tp_clear, (void *)im_block_clear},
        {Py_tp_dealloc, (void *)im_block_dealloc},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "intermodal.memory._Storage",
        .basicsize = sizeof(im_Block),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };
    PyObject *created = PyType_FromSpec(&spec);
    if (created == NULL) return NULL;
    if (!__atomic_compare_exchange_n(&published, &type, created, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        Py_DECREF(created); /* another thread was first */
        return type;
    }
    return created;
}

IM_COLD PyObject *im_block_new(int64_t words, int64_t objects) {
    if (words < 0 || objects < 0 || words > (INT64_MAX >> 5) || objects > (INT64_MAX >> 5)) {
        PyErr_Format(PyExc_ValueError, "a block cannot have %lld words and %lld object slots", (long long)words,
                     (long long)objects);
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)im_block_type();
    if (type == NULL) return NULL;
    size_t word_bytes = ((size_t)words * 8 + 63) & ~(size_t)63;
    im_Block *block = PyObject_GC_New(im_Block, type);
    if (block == NULL) return NULL;
    if (!im_block_allocate(block, word_bytes + (size_t)objects * 8 + 63)) {
        PyTypeObject *owner = Py_TYPE(block);
        PyObject_GC_Del(block);
        Py_DECREF(owner);
        return PyErr_NoMemory();
    }
    block->address = (int64_t)(((uintptr_t)block->allocation + 63) & ~(uintptr_t)63);
    block->slots = (PyObject **)(block->address + (int64_t)word_bytes);
    block->slot_count = objects;
    PyObject_GC_Track(block);
    return (PyObject *)block;
}

IM_ALWAYS int64_t im_block_address(PyObject *block) { return ((im_Block *)block)->address; }

IM_ALWAYS int64_t im_block_objects(PyObject *block) { return (int64_t)((im_Block *)block)->slots; }

IM_ALWAYS void im_block_abandon_objects(PyObject *block) { ((im_Block *)block)->slot_count = 0; }

/* The storage of somebody else's words is the memoryview that exports them. */
IM_ALWAYS PyObject *im_buffer_new(PyObject *view) { return Py_NewRef(view); }

IM_ALWAYS int64_t im_buffer_address(PyObject *view) { return (int64_t)PyMemoryView_GET_BUFFER(view)->buf; }
