// Starts the thread of worker.ts with the cache of compiled code that the process uses: a thread has none of its own accord, and what strips types would then take another 17 MB and a third of a second. So this file is plain JavaScript.
import { enableCompileCache, flushCompileCache } from 'node:module';
import { workerData } from 'node:worker_threads';

const { compileCache } = workerData;
if (compileCache !== undefined) enableCompileCache(compileCache);
await import('./worker.ts');
if (compileCache !== undefined) flushCompileCache();
