import type { GuestChannel } from '@sylph/engine';
import type { Target } from './guest-pool.ts';

/** How an HTTP answer begins. */
const httpMark = 'HTTP/';

/** Whether what listens at a port answers a harmless request as an HTTP server would. Never rejects. */
export async function speaksHttp(
  channel: GuestChannel,
  target: Target,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const { stream } = await channel.dial(target, { signal: within });
    const cut = (): void => void stream.destroy();
    within.addEventListener('abort', cut, { once: true });
    if (within.aborted) cut();
    try {
      stream.write('HEAD / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: sylph\r\nConnection: close\r\n\r\n');
      let said = '';
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        said += chunk.subarray(0, httpMark.length).toString('latin1');
        if (said.length >= httpMark.length) break;
      }
      return said.startsWith(httpMark);
    } finally {
      within.removeEventListener('abort', cut);
      cut();
    }
  } catch {
    // It refused, was silent, or broke off: it is no HTTP server. A channel that broke shows at the request itself.
    return false;
  }
}
