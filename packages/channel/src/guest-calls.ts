import http2 from 'node:http2';
import { once } from 'node:events';
import type { GuestCalls } from '@sylph/engine';
import { type GuestCall, guestCallLine, type GuestCallLine, maxCallLineBytes, SylphError } from '@sylph/model';
import { openStream } from './data-session.ts';
import { agentFailed } from './failure.ts';
import { parseJson } from './json-request.ts';
import { LineSplitter } from './lines.ts';

/** {@link GuestCalls} over a data session. */
export class HttpGuestCalls implements GuestCalls {
  readonly #session: () => http2.ClientHttp2Session;

  constructor(session: () => http2.ClientHttp2Session) {
    this.#session = session;
  }

  async *listen({ signal }: { signal: AbortSignal }): AsyncGenerator<GuestCallLine, void, undefined> {
    if (signal.aborted) return;
    const stream = openStream(this.#session(), 'GET', '/v1/calls', { endStream: true });
    const cancel = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
    signal.addEventListener('abort', cancel, { once: true });
    let status = 0;
    stream.on('response', (headers) => (status = headers[':status'] ?? 0));
    try {
      const lines = new LineSplitter(maxCallLineBytes);
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        if (status !== 200) throw agentFailed(`the guest's agent answered ${status} to who listens for its calls`);
        for (const line of lines.push(chunk)) yield parseJson(guestCallLine, line, 'a call');
      }
      if (!signal.aborted) throw agentFailed('the guest ended its calls');
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof SylphError ? error : agentFailed('the calls of the guest broke', error);
    } finally {
      signal.removeEventListener('abort', cancel);
      cancel();
    }
  }

  async answer(
    { id }: GuestCall,
    { status, contentType, body }: { status: number; contentType: string; body: AsyncIterable<string> },
    { signal }: { signal: AbortSignal },
  ): Promise<void> {
    signal.throwIfAborted();
    const stream = openStream(this.#session(), 'POST', `/v1/calls/${id}`, {
      endStream: false,
      headers: { 'x-status': String(status), 'content-type': contentType },
    });
    // The close tells of every end.
    stream.on('error', () => {});
    // A guest that has answered wants no more of the body, and may keep the stream open.
    const over = new Promise<void>((resolve) => stream.once('end', resolve).once('close', resolve));
    const cancel = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
    signal.addEventListener('abort', cancel, { once: true });
    stream.resume();
    try {
      for await (const piece of body) {
        if (stream.destroyed || stream.readableEnded || stream.writableEnded) break;
        if (!stream.write(piece)) await Promise.race([once(stream, 'drain', { signal }), over]);
      }
      stream.end();
      await over;
    } finally {
      signal.removeEventListener('abort', cancel);
      cancel();
    }
  }
}
