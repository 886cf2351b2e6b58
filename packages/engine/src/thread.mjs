// Starts a thread's program with the cache of compiled code that the process uses, see thread.ts. It is plain JavaScript: what strips types would take 17 MB in each thread.
import { enableCompileCache, flushCompileCache } from 'node:module';
import { workerData } from 'node:worker_threads';

const { program, compileCache } = workerData;
if (compileCache !== undefined) enableCompileCache(compileCache);
await import(program);
if (compileCache !== undefined) flushCompileCache();
