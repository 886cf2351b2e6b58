import type { GuestServiceDefinition, Service, ServiceEvent, SignalName } from '@sylph/model';

/** Options of everything here; `signal` ends the waiting, not the work. */
export interface ServiceCallOptions {
  signal: AbortSignal;
}

/**
 * Services of a guest: programs its agent keeps running, whether a daemon is there or not. Everything rejects with `service_not_found`, `service_conflict` or `invalid_request` as the guest says, with
 * `agent_failed` when it does not answer in order, and with the reason of `signal`.
 *
 * What streams resolves when the guest has begun: from then on its work goes on whether its events are read or not. Their last is of type `complete`; they throw `agent_failed` when the stream broke before.
 */
export interface GuestServices {
  list(options: ServiceCallOptions): Promise<Service[]>;
  get(name: string, options: ServiceCallOptions): Promise<Service>;
  /** Creates or replaces it, durably, and starts it with what it needs. */
  put(
    name: string,
    definition: GuestServiceDefinition,
    options: { windowMs: number } & ServiceCallOptions,
  ): Promise<AsyncIterable<ServiceEvent>>;
  start(name: string, options: { windowMs: number } & ServiceCallOptions): Promise<AsyncIterable<ServiceEvent>>;
  restart(name: string, options: { windowMs: number } & ServiceCallOptions): Promise<AsyncIterable<ServiceEvent>>;
  /** TERM, and KILL after `timeoutMs`; boots do not start it again. */
  stop(name: string, options: { timeoutMs: number } & ServiceCallOptions): Promise<AsyncIterable<ServiceEvent>>;
  signal(name: string, signal: SignalName, options: ServiceCallOptions): Promise<void>;
  /** The newest lines, then what comes for `followMs`. */
  logs(
    name: string,
    options: { lines: number; followMs: number } & ServiceCallOptions,
  ): Promise<AsyncIterable<ServiceEvent>>;
  /** Ends and forgets it. */
  delete(name: string, options: ServiceCallOptions): Promise<void>;
}
