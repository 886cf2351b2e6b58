import { ClientError } from '../errors.ts';
import { deferred, type Deferred } from '../deferred.ts';
import { linkedController } from '../deadline.ts';
import type { ResolvedOptions } from '../options.ts';
import { execFramesType } from './body-frames.ts';
import type { OutputChunk } from './frames.ts';
import type { ExecExit } from './session.ts';

/** A command over HTTP POST: no terminal, no signals, no coming back. */
export interface HttpExec {
  /** Has to be read for `exit` to come; leaving the loop early ends the request. */
  output: AsyncIterable<OutputChunk>;
  exit: Promise<ExecExit>;
}

/** Runs a command with one request. The request is sent when `output` is first read. */
export function httpExec(
  options: ResolvedOptions,
  request: { url: URL; body: AsyncIterable<Uint8Array> | undefined; signal: AbortSignal | undefined },
): HttpExec {
  const exit = deferred<ExecExit>();
  exit.promise.catch(() => undefined); // Who reads only the output learns of the failure there.
  return { output: read(options, request, exit), exit: exit.promise };
}

async function* read(
  options: ResolvedOptions,
  request: { url: URL; body: AsyncIterable<Uint8Array> | undefined; signal: AbortSignal | undefined },
  exit: Deferred<ExecExit>,
): AsyncGenerator<OutputChunk, void, undefined> {
  const lost = new ClientError('connection_lost', 'the answer ended before the command did');
  try {
    const link = linkedController([request.signal, options.signal]);
    try {
      const { connectMs, lifecycleMs } = options.timeouts;
      const frames = options.transport.postChunked({
        url: request.url,
        headers: { ...options.headers, accept: execFramesType },
        fetch: options.fetch,
        connectMs,
        answerMs: lifecycleMs,
        body: request.body,
        signal: link.controller.signal,
      });
      for await (const frame of frames) {
        if (frame.type === 'output') yield frame.chunk;
        else if (frame.type === 'exit') return exit.resolve({ code: frame.code });
      }
    } finally {
      link.unlink();
    }
    throw lost;
  } catch (thrown) {
    exit.reject(thrown);
    throw thrown;
  } finally {
    // No effect when it is settled; otherwise the reader left before the end.
    exit.reject(lost);
  }
}
