/* Divides a layer's parts over threads.  A part writes its own words of the output only, so
 * the result does not depend on the number of threads. */
#define _POSIX_C_SOURCE 200809L
#include "xh_engine.h"

#ifndef XH_THREADS

void xh_divide(xh_engine *engine, int32_t count, xh_part part, void *context)
{
    for (int32_t i = 0; i < count; i++)
        part(context, i, &engine->scratch[0]);
}

int xh_threads_start(xh_engine *engine, int32_t count)
{
    (void)engine;
    return count == 1 ? XH_OK : XH_NO_THREADS;
}

void xh_threads_stop(xh_engine *engine) { (void)engine; }

#else

#include <pthread.h>
#include <stdlib.h>

typedef struct worker {
    struct xh_pool_of_threads *pool;
    xh_scratch *scratch;
    pthread_t thread;
} worker;

struct xh_pool_of_threads {
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    uint64_t round;
    int32_t next, count, busy, workers, stop;
    xh_part part;
    void *context;
    worker worker[XH_MOST_THREADS];
};

/* Takes part after part; called and returns with the lock held. */
static void take_parts(struct xh_pool_of_threads *pool, xh_scratch *scratch)
{
    while (pool->next < pool->count) {
        const int32_t index = pool->next++;
        pthread_mutex_unlock(&pool->lock);
        pool->part(pool->context, index, scratch);
        pthread_mutex_lock(&pool->lock);
    }
}

static void *work(void *argument)
{
    worker *me = argument;
    struct xh_pool_of_threads *pool = me->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->round == seen && !pool->stop)
            pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->stop)
            break;
        seen = pool->round;
        take_parts(pool, me->scratch);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void xh_divide(xh_engine *engine, int32_t count, xh_part part, void *context)
{
    struct xh_pool_of_threads *pool = engine->pool;
    if (pool == NULL || count < 2) {
        for (int32_t i = 0; i < count; i++)
            part(context, i, &engine->scratch[0]);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->part = part;
    pool->context = context;
    pool->next = 0;
    pool->count = count;
    pool->busy = pool->workers;
    pool->round++;
    pthread_cond_broadcast(&pool->wake);
    take_parts(pool, &engine->scratch[0]);
    while (pool->busy)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

int xh_threads_start(xh_engine *engine, int32_t count)
{
    xh_threads_stop(engine);
    if (count == 1)
        return XH_OK;
    struct xh_pool_of_threads *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return XH_NO_MEMORY;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    engine->pool = pool;
    for (int32_t i = 1; i < count; i++) {
        worker *w = &pool->worker[i];
        w->pool = pool;
        w->scratch = &engine->scratch[i];
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            xh_threads_stop(engine);
            return XH_NO_THREADS;
        }
        pool->workers = i;
    }
    engine->threads = count;
    return XH_OK;
}

void xh_threads_stop(xh_engine *engine)
{
    struct xh_pool_of_threads *pool = engine->pool;
    engine->threads = 1;
    engine->pool = NULL;
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = 1;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int32_t i = 1; i <= pool->workers; i++)
        pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

#endif
