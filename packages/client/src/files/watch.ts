import type { FileWatchMessage } from '@sylph/model';
import { linkedController } from '../deadline.ts';
import { deferred } from '../deferred.ts';
import { ClientError } from '../errors.ts';
import type { Http } from '../http.ts';
import type { FileChange, FileOptions } from './options.ts';

/** Changes that wait for their reader; beyond, the socket is not read, and the sprite tells what got lost. */
const maxWaiting = 1024;

/** Changes of files from the moment the server has subscribed until the reader leaves. Resolves then. Throws when the sprite refuses, and when the connection breaks: what happened meanwhile nobody knows. */
export async function watch(
  http: Http,
  base: string,
  paths: readonly string[],
  options: FileOptions & { recursive?: boolean | undefined },
): Promise<AsyncIterable<FileChange>> {
  const { headers, timeouts, transport, signal } = http.options;
  const link = linkedController([options.signal, signal]);
  const waiting: FileWatchMessage[] = [];
  let ended: unknown;
  let changed = deferred();
  const wake = (): void => {
    changed.resolve();
    changed = deferred();
  };
  const socket = await transport.connect({
    url: http.url(`${base}/watch`),
    headers,
    connectMs: timeouts.connectMs,
    answerMs: timeouts.lifecycleMs,
    signal: link.controller.signal,
    events: {
      message: (data) => {
        if (typeof data !== 'string') return;
        waiting.push(JSON.parse(data) as FileWatchMessage);
        if (waiting.length >= maxWaiting) socket.pause();
        wake();
      },
      pong: () => undefined,
      closed: ({ code, reason }) => {
        ended ??= new ClientError('connection_lost', `the watch ended (${code}): ${reason}`, { retryable: true });
        wake();
      },
    },
  });
  const abort = (): void => {
    ended ??= link.controller.signal.reason;
    socket.terminate();
    wake();
  };
  link.controller.signal.addEventListener('abort', abort, { once: true });
  const next = async (): Promise<FileWatchMessage> => {
    for (;;) {
      const message = waiting.shift();
      if (message?.type === 'error')
        throw new ClientError((message.code ?? 'internal') as never, message.message, { status: undefined });
      if (message !== undefined) {
        if (waiting.length < maxWaiting / 2) socket.resume();
        return message;
      }
      // Whoever aborted gave the reason; the rest is our own error.
      if (ended !== undefined) throw ended as Error;
      await changed.promise;
    }
  };
  const leave = (): void => {
    link.controller.signal.removeEventListener('abort', abort);
    link.unlink();
    socket.close(1000);
  };
  try {
    await socket.send(
      JSON.stringify({
        type: 'subscribe',
        paths,
        recursive: options.recursive === true,
        workingDir: options.workingDir ?? '/',
        asRoot: options.asRoot === true,
      }),
    );
    while ((await next()).type !== 'subscribed');
  } catch (error) {
    leave();
    throw error;
  }
  return (async function* () {
    try {
      for (;;) {
        const message = await next();
        if (message.type === 'event' || message.type === 'overflow') yield message;
      }
    } finally {
      leave();
    }
  })();
}
