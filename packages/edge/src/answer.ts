import type { ServerResponse } from 'node:http';
import { constants, type Http2ServerResponse } from 'node:http2';
import type { RawHeaders } from './heads.ts';

/** An answer as Node's servers take it. */
export type ClientAnswer = ServerResponse | Http2ServerResponse;

/** Begins an answer. HTTP/2 has no reason phrases, and wants an object. */
export function writeHead(answer: ClientAnswer, status: number, reason: string, headers: RawHeaders): void {
  if (isHttp2(answer)) answer.writeHead(status, grouped(headers));
  else answer.writeHead(status, reason, headers);
}

/** Sends a head whose body lets wait. HTTP/2 sends heads at once. */
export function flushHead(answer: ClientAnswer): void {
  if (!isHttp2(answer) && !answer.destroyed) answer.flushHeaders();
}

/** Says what follows the body. */
export function addTrailers(answer: ClientAnswer, trailers: [string, string][]): void {
  if (trailers.length === 0) return;
  if (isHttp2(answer)) answer.addTrailers(Object.fromEntries(trailers));
  else answer.addTrailers(trailers);
}

/** Breaks an answer off so that the client notices. */
export function cut(answer: ClientAnswer): void {
  if (isHttp2(answer)) answer.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else answer.destroy();
}

function isHttp2(answer: ClientAnswer): answer is Http2ServerResponse {
  return 'stream' in answer;
}

/** Headers as HTTP/2 wants them. */
export function grouped(headers: RawHeaders): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {};
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase();
    const value = headers[at + 1] as string;
    const before = out[name];
    out[name] = before === undefined ? value : [before, value].flat();
  }
  return out;
}
