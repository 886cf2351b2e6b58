import type { Digest } from '@sylph/model';
import type { ChannelFactory } from './interfaces/guest-channel.ts';
import type { CallAnswerer } from './interfaces/guest-calls.ts';
import type { HostNetwork } from './interfaces/host-network.ts';
import type { PoolStore } from './interfaces/pool-store.ts';
import type { Repository } from './interfaces/repository.ts';
import type { SessionKeeper } from './interfaces/session-keeper.ts';
import type { VmDriver } from './interfaces/vm-driver.ts';
import type { Failpoints } from './failpoints.ts';

/** Structured log; pino's shape. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** Images and guests new sprites start from. */
export interface Catalog {
  /** Newest image of a name, or the default one: `dev` once it is built, else `minimal`. */
  image(name?: string): Promise<{ name: string; digest: Digest } | undefined>;
  /** Newest kernel and agent. `kernel` and `initrd` are files. */
  guest(): Promise<{ digest: Digest; kernel: string; initrd: string }>;
}

/** Numbers of the engine; each has a default in the daemon's configuration. */
export interface EngineOptions {
  /** First host user of VMs; sprite number n runs as `uidBase + 1 + n`, genesis boots as `uidBase`. */
  uidBase: number;
  /** Seconds without use before a sprite sleeps, where it says nothing itself. */
  defaultIdleTimeoutS: number;
  /** From process start to an answering agent: booting, and from memory. */
  bootDeadlineMs: number;
  resumeDeadlineMs: number;
  /** How long the agent of a sprite that runs may be silent before its VM is given up. */
  agentSilenceMs: number;
  /** Automatic checkpoints kept per sprite. */
  autoCheckpoints: number;
  /** VMs recovered or put to sleep at the same time at start and end. */
  parallelism: number;
  /** Sprites that may be awake at once; 0 = no limit. */
  maxAwake: number;
}

/** What the engine stands on. */
export interface EngineDeps {
  driver: VmDriver;
  store: PoolStore;
  channels: ChannelFactory;
  network: HostNetwork;
  repository: Repository;
  keeper: SessionKeeper;
  catalog: Catalog;
  /** Answers what programs of sprites ask; absent: nobody does. */
  answerer?: CallAnswerer;
  log: Logger;
  failpoints: Failpoints;
  options: EngineOptions;
}
