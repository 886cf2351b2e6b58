import { enableCompileCache, flushCompileCache } from 'node:module';
import path from 'node:path';

// Compiled code is kept between runs, in the installation, where only those write who could change the code itself: the daemon starts sooner, and neither it nor its threads hold a compiler in memory.
enableCompileCache(path.resolve(import.meta.dirname, '../../../.cache/compiled'));
const { main } = await import('./program.ts');
// Node itself does so only when a program ends by itself.
flushCompileCache();
await main();
