// Builds the guest's kernel and initrd into .cache/guest and prints the directory. Used by setup.sh.
// Usage: guest.ts AGENT [--refresh-kernel]
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildGuest } from '../packages/images/src/index.ts';
import { runStep } from './step.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'refresh-kernel': { type: 'boolean', default: false } },
});
const cache = join(import.meta.dirname, '../.cache');
await runStep(async ({ progress, signal }) => {
  const agentPath = positionals[0] ?? join(cache, 'agent/sylph-agent');
  const guest = await buildGuest({
    outDir: join(cache, 'guest'),
    agentPath,
    refreshKernel: values['refresh-kernel'],
    progress,
    signal,
  });
  console.log(guest.dir);
});
