import path from 'node:path';

/** Root of the checkout. */
export const root = path.resolve(import.meta.dirname, '../../..');
/** Where tests keep what outlives one test file: a reflink file system, an image and booted geneses. */
export const testRoot = path.join(root, '.cache/test');
/** The mounted file system; each daemon under test gets a data directory on it. */
export const testPool = path.join(testRoot, 'pool');
/** Data directory whose image and geneses the others start from. */
export const seedDir = path.join(testPool, 'seed');
/** How data directories of this test file begin: files run beside one another, each in a process of its own. */
export const ownRuns = `run-${process.pid}-`;
/** Node that runs the daemon: the one running the tests. */
export const node = process.execPath;
export const sylphd = path.join(root, 'packages/daemon/src/main.ts');
export const sylph = path.join(root, 'packages/cli/src/main.ts');
