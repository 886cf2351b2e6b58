#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Compiled code is kept between runs, which halves the time to start. In the person's own directory: one that others can write to could hold their code.
// Where it cannot be kept everything works all the same.
enableCompileCache(join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sylph', 'compiled'));
const { main } = await import('./process.ts');
await main(process.argv.slice(2));
