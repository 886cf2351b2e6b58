import { setTimeout as sleep } from 'node:timers/promises';
import type { OrgRow, SpriteService } from '@sylph/engine';
import type { GuestPort, PortMessage } from '@sylph/model';
import type { PortBoards, Ports } from './port-board.ts';

/** A sprite that sleeps is looked at so often: nothing opens a port meanwhile. */
const asleepLookMs = 2_000;
/** Longest time until a guest that refuses to be watched is asked again. */
const unwatchablePauseMs = 60_000;

/** Whose ports are followed, and how their changes are told. */
export interface PortFollowing {
  service: SpriteService;
  boards: PortBoards;
  org: OrgRow;
  name: string;
  /** Which ports are meant. */
  wanted: (port: GuestPort) => boolean;
  /** Changes since the last call; the first is all there is, also when that is nothing. */
  tell: (changes: PortMessage[]) => void;
  /** Whether the client has room for more; else it is told later. */
  ready: () => boolean;
  signal: AbortSignal;
}

/** Follows the ports of a sprite through its sleep, until `signal` fires. Neither wakes it nor keeps it awake. Never rejects. */
export async function followPorts({
  service,
  boards,
  org,
  name,
  wanted,
  tell,
  ready,
  signal,
}: PortFollowing): Promise<void> {
  let told: Ports = new Map();
  let latest: Ports | undefined;
  const tellNow = (): void => {
    if (latest === undefined || !ready()) return;
    const now = new Map([...latest].filter(([, port]) => wanted(port)));
    latest = undefined;
    const changes = differences(told, now);
    told = now;
    tell(changes);
  };
  // A client that had no room is told what is left to tell once it has.
  const again = setInterval(tellNow, asleepLookMs);
  try {
    let pauseMs = asleepLookMs;
    while (!signal.aborted) {
      const channel = await service.peekChannel(org, name);
      const began = performance.now();
      if (channel !== undefined) {
        await boards.of(channel).read((ports) => {
          latest = new Map(ports);
          tellNow();
        }, signal);
        // A guest that cannot be watched, such as one with an agent of the first days, is asked ever less often.
        pauseMs = performance.now() - began > asleepLookMs ? asleepLookMs : Math.min(2 * pauseMs, unwatchablePauseMs);
      }
      await sleep(pauseMs, undefined, { signal });
    }
  } catch {
    // The client left, or the sprite was deleted: there is nothing more to tell.
  } finally {
    clearInterval(again);
  }
}

/** What happened between two looks: closed ports first. A port whose process is another one was closed and opened. */
export function differences(before: Ports, now: Ports): PortMessage[] {
  return [
    ...missing(before, now).map((port) => portMessage('port_closed', port)),
    ...missing(now, before).map((port) => portMessage('port_opened', port)),
  ];
}

function missing(from: Ports, other: Ports): GuestPort[] {
  return [...from].flatMap(([key, port]) => {
    const match = other.get(key);
    return match !== undefined && match.pid === port.pid && match.session === port.session ? [] : [port];
  });
}

/** A port as sockets tell of it. */
export function portMessage(type: PortMessage['type'], { port, address, pid }: GuestPort): PortMessage {
  return { type, port, address, pid };
}
