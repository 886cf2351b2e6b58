export { resolveConfig, type Config } from './config.ts';
export { startDaemon, type Daemon } from './wiring/daemon.ts';
