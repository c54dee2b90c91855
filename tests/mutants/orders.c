/* Whether each operation of intermodal/atomics.h orders what it says, for ThreadSanitizer to judge: a plain word is
 * handed from one thread to another, and only the operation under test stands between the two accesses. One program
 * for each pair of operations, chosen by the first argument. Runs without an interpreter. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t words[16] __attribute__((aligned(64)));
static int64_t plain;
static PyObject object, *slots[2];
static const char *pair;

#define PAIR(name) (strcmp(pair, name) == 0)
#define AT ((int64_t)&words[0])
#define SLOT ((int64_t)&slots[0])

static void give(void) {
    plain = 42;
    if (PAIR("store, load")) im_store(AT, 1, IM_RELEASE);
    else if (PAIR("fetch_add, load")) im_fetch_add(AT, 1, IM_RELEASE);
    else if (PAIR("exchange, load")) im_exchange(AT, 1, IM_ACQ_REL);
    else if (PAIR("store, compare_exchange")) im_store(AT, 1, IM_RELEASE);
    else if (PAIR("compare_exchange, load")) im_compare_exchange(AT, 0, 1, IM_ACQ_REL);
    else if (PAIR("unlock, try_lock")) im_unlock(AT, 2);
    else if (PAIR("store_byte, load_byte")) im_store_byte(AT, 1);
    else if (PAIR("store_byte, compare_exchange_byte")) im_store_byte(AT, 1);
    else if (PAIR("store_byte, match_bytes")) im_store_byte(AT, 1);
    else if (PAIR("compare_exchange_byte, load_byte")) im_compare_exchange_byte(AT, 0, 1);
    else if (PAIR("object_store, object_is")) im_object_store(SLOT, &object);
    else if (PAIR("object_copy, object_is")) im_object_copy((int64_t)&slots[1], SLOT);
    else if (PAIR("object_forget, object_is_empty")) im_object_forget(SLOT);
    else abort();
}

static bool given(void) {
    if (PAIR("store, compare_exchange")) return im_compare_exchange(AT, 1, 2, IM_ACQ_REL);
    if (PAIR("unlock, try_lock")) return im_try_lock(AT, 2);
    if (PAIR("store_byte, load_byte") || PAIR("compare_exchange_byte, load_byte")) return im_load_byte(AT) == 1;
    if (PAIR("store_byte, compare_exchange_byte")) return im_compare_exchange_byte(AT, 1, 2);
    if (PAIR("store_byte, match_bytes")) return im_match_bytes_portable(AT, 1) != 0;
    if (PAIR("object_store, object_is") || PAIR("object_copy, object_is")) return im_object_is(SLOT, &object);
    if (PAIR("object_forget, object_is_empty")) return im_object_is_empty(SLOT);
    return im_load(AT, IM_ACQUIRE) == 1;
}

static void *giver(void *nothing) {
    give();
    return nothing;
}

static void *taker(void *nothing) {
    while (!given()) sched_yield();
    if (plain != 42) abort();
    return nothing;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    pair = arguments[1];
    slots[1] = &object;
    if (PAIR("object_forget, object_is_empty")) slots[0] = &object;
    pthread_t first, second;
    pthread_create(&second, NULL, taker, NULL);
    pthread_create(&first, NULL, giver, NULL);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    puts("ordered");
    return 0;
}
