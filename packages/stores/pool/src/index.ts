export { canReflink, closePool, isMounted, openPool, type OpenPool } from './mount.ts';
export { PoolDirectory } from './store.ts';
export { Trimmer } from './trim.ts';
