export { TestDaemon, vmsBelow, type DaemonOptions } from './daemon.ts';
export { checkLeaks } from './leaks.ts';
export { enterOwnNetwork } from './own-network.ts';
export { node, root, sylph, sylphd, testPool } from './paths.ts';
export { shell, until } from './shell.ts';
