import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestDialError, type GuestChannel } from '@sylph/engine';
import type { GuestPort, Service } from '@sylph/model';
import { SylphError } from '@sylph/model';
import { EdgeFailure } from './failure.ts';
import type { Target } from './guest-pool.ts';
import type { EdgeLimits } from './limits.ts';
import { speaksHttp } from './probe.ts';

/** Where HTTP is expected when no service says so. */
const defaultPort = 8080;
/** Ports that are asked whether they speak HTTP, lowest first. */
const maxProbed = 16;
/** Between two looks at a service that starts. */
const lookMs = 100;
/** A guest that cannot say what it has within this is not asked longer, ms. */
const askTimeoutMs = 15_000;

/** What a search found. */
export interface FoundTarget {
  target: Target;
  /** The connection that showed that somebody listens, for the first who takes it: a server that gets connections without requests may not bear it. */
  stream: Duplex | undefined;
}

/**
 * Where the URL of a sprite leads: the service with an `http_port`, started when it does not run; else port 8080; else the lowest open port that speaks HTTP. Throws `no_http_server`.
 */
export async function findTarget(channel: GuestChannel, limits: EdgeLimits, signal: AbortSignal): Promise<FoundTarget> {
  const web = await webService(channel, signal);
  if (web !== undefined) return serving(channel, web, limits, signal);
  const usual = { host: 'localhost', port: defaultPort };
  const stream = await tryDial(channel, usual, signal);
  if (stream !== undefined) return { target: usual, stream };
  const ports = (await openPorts(channel, signal)).toSorted((a, b) => a.port - b.port).slice(0, maxProbed);
  const speaking = ports.map((port) =>
    speaksHttp(channel, { host: port.address, port: port.port }, limits.probeTimeoutMs, signal),
  );
  for (const [index, { address: host, port }] of ports.entries())
    if (await speaking[index]) return { target: { host, port }, stream: undefined };
  throw new EdgeFailure(
    'no_http_server',
    `nothing in the sprite serves HTTP: neither a service with an HTTP port nor port ${defaultPort} nor another`,
  );
}

/** A port that refused: if a service is to serve it, it is started. Throws `no_http_server`. */
export async function revivePort(
  channel: GuestChannel,
  port: number,
  limits: EdgeLimits,
  signal: AbortSignal,
): Promise<FoundTarget> {
  const web = await webService(channel, signal);
  if (web?.http_port === port) return serving(channel, web, limits, signal);
  throw new EdgeFailure('no_http_server', `nothing in the sprite listens on port ${port}`, {
    hint: `Start a server in the sprite on port ${port}.`,
  });
}

/** The service with an HTTP port; at most one has one. */
export async function webService(channel: GuestChannel, signal: AbortSignal): Promise<Service | undefined> {
  const services = await channel.services.list({
    signal: AbortSignal.any([signal, AbortSignal.timeout(askTimeoutMs)]),
  });
  return services.find((service) => service.http_port !== null);
}

/** Starts a service if need be and waits until somebody listens. */
async function serving(
  channel: GuestChannel,
  { name, http_port: port, state }: Service,
  { serviceTimeoutMs }: EdgeLimits,
  signal: AbortSignal,
): Promise<FoundTarget> {
  const target = { host: 'localhost', port: port ?? defaultPort };
  const first = await tryDial(channel, target, signal);
  if (first !== undefined) return { target, stream: first };
  if (state.status === 'stopped' || state.status === 'failed') await start(channel, name, signal);
  const end = performance.now() + serviceTimeoutMs;
  while (performance.now() < end) {
    const stream = await tryDial(channel, target, signal);
    if (stream !== undefined) return { target, stream };
    await sleep(lookMs, undefined, { signal });
  }
  const { state: last } = await channel.services.get(name, { signal });
  throw new EdgeFailure(
    'no_http_server',
    `the service ${name} is ${last.status} and nothing listens on its port ${target.port}${last.error === undefined ? '' : `: ${last.error}`}`,
    { hint: `sylph service logs ${name} shows what it printed.` },
  );
}

async function start(channel: GuestChannel, name: string, signal: AbortSignal): Promise<void> {
  try {
    for await (const { type, data } of await channel.services.start(name, { windowMs: 0, signal })) {
      if (type === 'error') throw new EdgeFailure('no_http_server', `the service ${name} cannot start: ${data ?? ''}`);
    }
  } catch (error) {
    // Somebody started or changed it in the same moment: whether it serves shows.
    if (!(error instanceof SylphError && error.code === 'service_conflict')) throw error;
  }
}

/** Undefined: nobody listens. */
async function tryDial(channel: GuestChannel, target: Target, signal: AbortSignal): Promise<Duplex | undefined> {
  try {
    return (await channel.dial(target, { signal })).stream;
  } catch (error) {
    if (error instanceof GuestDialError) return undefined;
    throw error;
  }
}

async function openPorts(channel: GuestChannel, signal: AbortSignal): Promise<GuestPort[]> {
  const over = new AbortController();
  try {
    const within = AbortSignal.any([signal, over.signal, AbortSignal.timeout(askTimeoutMs)]);
    for await (const line of channel.watchPorts({ signal: within })) return 'ports' in line ? line.ports : [];
    return [];
  } finally {
    over.abort();
  }
}
