#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { makeDirectory } from './config/make-directory.ts';

// Compiled code is kept between runs, which halves the time to start. In the person's own directory: one that others can write to could hold their code.
const compiled = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sylph', 'compiled');
try {
  makeDirectory(compiled);
  enableCompileCache(compiled);
} catch {
  // Where it cannot be kept everything works all the same.
}
const { main } = await import('./process.ts');
await main(process.argv.slice(2));
