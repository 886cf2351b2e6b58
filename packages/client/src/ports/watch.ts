import type { PortListMessage, PortMessage } from '@sylph/model';
import { isObject, parseObject } from '../json.ts';
import type { ResolvedOptions } from '../options.ts';
import { PortSocket } from './socket.ts';

/** First all ports, then each change. */
export type PortChange = PortListMessage | PortMessage;

/** Reads `…/ports/watch`. Leaving the loop closes it. Messages nobody knows are skipped. */
export async function* watchPorts(
  options: ResolvedOptions,
  url: URL,
  signal: AbortSignal | undefined,
): AsyncGenerator<PortChange, void, undefined> {
  const socket = await PortSocket.open(options, url, signal);
  try {
    for await (const { bytes, isText } of socket.messages) {
      const change = isText ? portChange(new TextDecoder().decode(bytes)) : undefined;
      if (change !== undefined) yield change;
    }
  } finally {
    socket.close();
  }
}

/** A message about ports; undefined for what is none. */
export function portChange(text: string): PortChange | undefined {
  // Servers may say what clients do not know; nothing depends on it.
  const value = parseObject(text);
  if (value?.['type'] === 'port_list' && Array.isArray(value['ports']))
    return { type: 'port_list', ports: value['ports'].filter(isPortMessage) };
  return isPortMessage(value) ? value : undefined;
}

/** Whether a message of the server tells of a port that was opened or closed. */
export function isPortMessage(value: unknown): value is PortMessage {
  if (!isObject(value)) return false;
  const { type, port, address, pid } = value;
  return (
    (type === 'port_opened' || type === 'port_closed') &&
    Number.isInteger(port) &&
    (port as number) > 0 &&
    (port as number) <= 65_535 &&
    typeof address === 'string' &&
    address.length <= 255 &&
    Number.isInteger(pid)
  );
}
