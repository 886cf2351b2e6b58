import { usageError } from '../failure.ts';

/** A local port and what it leads to inside the sprite. */
export interface PortPair {
  /** 0: any that is free. */
  local: number;
  host: string;
  port: number;
}

const pattern = /^(?:(\d{1,5}):)?(?:(\[[0-9a-f:.]+\]|[^:[\]]*[^:[\]\d][^:[\]]*|\d+(?:\.\d+){3}):)?(\d{1,5})$/i;

/** Reads `REMOTE`, `LOCAL:REMOTE`, `LOCAL:HOST:REMOTE` or `HOST:REMOTE`. Throws wrong use. */
export function parsePair(text: string): PortPair {
  const [, local, host = 'localhost', remote] = pattern.exec(text) ?? [];
  const port = Number(remote);
  const from = local === undefined ? port : Number(local);
  if (remote === undefined || port < 1 || port > 65_535 || from > 65_535)
    throw usageError(`"${text}" is not a port to forward`, 'write 3000, 8080:80, or 5432:db.internal:5432');
  return { local: from, host: bare(host), port };
}

/** Reads `[HOST:]PORT`. Throws wrong use. */
export function parseTarget(text: string): { host: string; port: number } {
  const [, local, host = 'localhost', remote] = pattern.exec(text.replace(/^:/, '')) ?? [];
  const port = Number(remote);
  if (remote === undefined || local !== undefined || port < 1 || port > 65_535)
    throw usageError(`"${text}" is not a port`, 'write 22, or db.internal:5432');
  return { host: bare(host), port };
}

const bare = (host: string): string => host.replace(/^\[(.*)\]$/, '$1');
